"""HMAC (RFC 2104) and constant-time comparison from CPython's own C modules.

hmac and hashlib would load OpenSSL for hashes that the interpreter has built in: 3.3 ms of the
25 that a worker for one login takes, more than is left of what it may take (see BANNED in
tests/unit/test_imports.py). Nor is OpenSSL's HMAC faster: for each of the 200 steps that a wrong
code is compared with, it takes 0.72 us, and this 0.77. An interpreter without built-in hashes uses
hashlib.
"""

from __future__ import annotations

from _operator import _compare_digest as compare_digest
from typing import TYPE_CHECKING

try:
    from _sha1 import sha1

    try:
        from _sha2 import sha256, sha512  # CPython 3.12 and later
    except ImportError:
        from _sha256 import sha256
        from _sha512 import sha512
except ImportError:
    from hashlib import sha1, sha256, sha512

if TYPE_CHECKING:
    from collections.abc import Iterable

_HASHES = {"SHA1": (sha1, 64), "SHA256": (sha256, 64), "SHA512": (sha512, 128)}
ALGORITHMS = tuple(_HASHES)

_OUTER = bytes(byte ^ 0x5C for byte in range(256))
_INNER = bytes(byte ^ 0x36 for byte in range(256))


def hmac_digests(key: bytes, messages: Iterable[bytes], algorithm: str) -> list[bytes]:
    """Return HMAC (RFC 2104) of each message with one of ALGORITHMS. Raises KeyError for another.

    The key is hashed once for all of them.
    """
    hash_function, block_size = _HASHES[algorithm]
    if len(key) > block_size:
        key = hash_function(key).digest()
    key = key.ljust(block_size, b"\0")
    inner, outer = hash_function(key.translate(_INNER)), hash_function(key.translate(_OUTER))
    digests = []
    for message in messages:
        of_message, of_both = inner.copy(), outer.copy()
        of_message.update(message)
        of_both.update(of_message.digest())
        digests.append(of_both.digest())
    return digests


__all__ = ["ALGORITHMS", "compare_digest", "hmac_digests", "sha256"]
