"""HMAC without OpenSSL, against the RFCs' vectors and the standard library."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pam_totp.core import hashes
from tests.support.each import each

VECTORS = json.loads(
    (Path(__file__).resolve().parents[1] / "vectors" / "hmac.json").read_text(encoding="utf-8")
)


@each("vector", VECTORS, ids=lambda v: f"{v['source']} {v['algorithm']}")
def test_hmac_gives_the_digests_of_rfc_2202_and_rfc_4231(vector: dict) -> None:
    key, message = bytes.fromhex(vector["key_hex"]), bytes.fromhex(vector["message_hex"])
    (digest,) = hashes.hmac_digests(key, [message], vector["algorithm"])
    expected = bytes.fromhex(vector["digest_hex"])
    assert expected == digest[: len(expected)]


def test_the_vectors_cover_every_algorithm() -> None:
    assert set(hashes.ALGORITHMS) == {vector["algorithm"] for vector in VECTORS}


@given(
    st.binary(max_size=300),
    st.lists(st.binary(max_size=300), max_size=4),
    st.sampled_from(hashes.ALGORITHMS),
)
@example(b"k" * 64, [b""], "SHA1")
@example(b"k" * 65, [b"", b"m", b""], "SHA256")
@example(b"k" * 128, [b""], "SHA512")
@example(b"k" * 129, [b"m", b"m"], "SHA512")
def test_hmac_agrees_with_the_standard_library(
    key: bytes, messages: list[bytes], algorithm: str
) -> None:
    expected = [hmac.digest(key, message, algorithm.lower()) for message in messages]
    assert expected == hashes.hmac_digests(key, messages, algorithm)


@pytest.mark.parametrize("algorithm", hashes.ALGORITHMS)
def test_a_key_of_any_length_up_to_two_blocks_and_more_is_right(algorithm: str) -> None:
    digests = [hashes.hmac_digests(b"k" * n, [b"message"], algorithm) for n in range(260)]
    expected = [[hmac.digest(b"k" * n, b"message", algorithm.lower())] for n in range(260)]
    assert expected == digests


@pytest.mark.parametrize("algorithm", ["MD5", "sha1", ""])
def test_another_algorithm_is_an_error(algorithm: str) -> None:
    with pytest.raises(KeyError):
        hashes.hmac_digests(b"key", [b"message"], algorithm)


def test_an_interpreter_without_built_in_hashes_falls_back_on_hashlib() -> None:
    source = Path(hashes.__file__).read_text(encoding="utf-8").replace("_sha1", "_no_such_hash")
    namespace: dict = {"__name__": "hashes_of_a_lean_interpreter"}
    exec(compile(source, hashes.__file__, "exec"), namespace)
    assert hashlib.sha1 is namespace["sha1"]
    assert [hmac.digest(b"key", b"message", "sha512")] == namespace["hmac_digests"](
        b"key", [b"message"], "SHA512"
    )
