"""Recovery codes: what a person types when the phone is gone (NIST SP 800-63B: look-up secrets).

Sixteen characters of Crockford's base32 in four groups carry 80 random bits. They are kept as
Argon2id digests (RFC 9106) with one salt a set. 80 random bits cannot be searched, so the cost
is set to what a small server affords while many people log in, not to what a password needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .hashes import compare_digest

if TYPE_CHECKING:
    from collections.abc import Iterable

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford: no I, L, O, U
LENGTH = 16
RANDOM_BYTES = LENGTH * 5 // 8
CODES_IN_A_SET = 10
FEW_LEFT = 3  # with these, and fewer, somebody is told to get new ones
SALT_BYTES = 16
DIGEST_BYTES = 32
ARGON2_PASSES = 2
ARGON2_MEMORY_BYTES = 19 * 1024 * 1024

_AS_WRITTEN = str.maketrans("OIL", "011", "- ")


def format_code(random_bytes: bytes) -> str:
    """Turn RANDOM_BYTES random bytes into ``XXXX-XXXX-XXXX-XXXX``."""
    if len(random_bytes) != RANDOM_BYTES:
        raise ValueError(f"a recovery code takes {RANDOM_BYTES} bytes, not {len(random_bytes)}")
    number = int.from_bytes(random_bytes, "big")
    characters = [ALPHABET[(number >> shift) & 31] for shift in range(LENGTH * 5 - 5, -1, -5)]
    return "-".join("".join(characters[i : i + 4]) for i in range(0, LENGTH, 4))


def normalise(text: str) -> str | None:
    """Return the 16 characters that ``text`` stands for, or None if it is no recovery code.

    Case, hyphens and spaces are ignored; O is read as 0, I and L as 1 (Crockford's base32).
    """
    if not text.isascii():
        return None
    code = text.upper().translate(_AS_WRITTEN)
    if len(code) != LENGTH or any(character not in ALPHABET for character in code):
        return None
    return code


def digest(normalised_code: str, salt: bytes) -> bytes:
    """Return the Argon2id digest, DIGEST_BYTES long, of what normalise() returned.

    ``salt`` is SALT_BYTES long. Takes some 20 ms and 19 MiB: never call it under a lock.
    """
    # Here, so that totpctl takes codes out of PAM files, and judges them, also without nacl.
    from nacl import bindings

    return bindings.crypto_pwhash_alg(
        DIGEST_BYTES,
        normalised_code.encode("ascii"),
        salt,
        ARGON2_PASSES,
        ARGON2_MEMORY_BYTES,
        bindings.crypto_pwhash_ALG_ARGON2ID13,
    )


def match(code_digest: bytes, digests: Iterable[bytes]) -> bytes | None:
    """Return the element of ``digests`` that equals ``code_digest``, comparing all of them."""
    found = [known for known in digests if compare_digest(known, code_digest)]
    return found[0] if found else None
