"""The token of totpctl fleet add, which fleet join reads."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest

from admin_cli.commands.fleet import token as tokens
from admin_cli.commands.fleet.token import JoinToken

IN_A_LINE = 4096  # bytes that a terminal takes: termios(3), canonical mode


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a CA's certificate with a long key, as openssl writes it."""
    folder: Path = tmp_path_factory.mktemp("ca")
    new = ("openssl", "req", "-x509", "-newkey", "rsa:3072", "-noenc", "-subj", "/CN=a CA")
    files = ("-keyout", folder / "key", "-out", folder / "ca")
    subprocess.run([*new, *files], check=True, capture_output=True)
    return (folder / "ca").read_text("ascii")


def token(ca: str, **fields: str) -> JoinToken:
    url = "postgresql://db1,db2/totp"
    one = JoinToken(url, "web1", bytes(range(32)), "totp_login", "", "", "", ca)
    return one._replace(password="x" * 32)._replace(**fields)  # type: ignore[arg-type]


def test_what_is_encoded_is_decoded(ca: str) -> None:
    for one in (token(ca), token(ca, password="", certificate="/a.pem", private_key="/a.key")):
        assert one == tokens.decode(tokens.encode(one).encode())


def test_several_certificates_stay_several(ca: str) -> None:
    assert 2 * ca == tokens.decode(tokens.encode(token(2 * ca)).encode()).ca


def test_it_is_one_word_that_no_shell_reads_and_fits_into_a_line(ca: str) -> None:
    text = tokens.encode(token(ca))
    assert text.replace("-", "").replace("_", "").rstrip("=").isalnum()
    assert len(text) + len("printf %s '' | totpctl fleet join -\n") < IN_A_LINE


def test_no_secret_is_in_its_name(ca: str) -> None:
    assert "<JoinToken of web1>" == f"{token(ca)!r}" == str(token(ca))


def test_a_ca_that_is_no_certificate_is_refused() -> None:
    with pytest.raises(ValueError, match="no certificate"):
        tokens.encode(token("-----BEGIN PRIVATE KEY-----"))


def test_what_was_cut_or_changed_is_refused(ca: str) -> None:
    text = tokens.encode(token(ca)).encode()
    der = base64.urlsafe_b64decode(text)
    for other in (
        text[:-8], text[4:], text + b"AAAA", b"", b"\xff", b"%%%",
        base64.urlsafe_b64encode(b"[]\0"), base64.urlsafe_b64encode(b'{"host": 1}\0'),
        base64.urlsafe_b64encode(b'{"odd": "x"}\0'), base64.urlsafe_b64encode(der + b"\x30\x82"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="no token"):
            tokens.decode(other)
