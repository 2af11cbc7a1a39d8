"""otpauth:// addresses, as apps read them (the Key URI format)."""

from __future__ import annotations

import base64
import string
from urllib.parse import parse_qsl, unquote, urlsplit

import pyotp
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from admin_cli.commands.enrollment import otpauth
from pam_totp.core import otp
from pam_totp.core.users import Authenticator
from pam_totp.system import issuing
from tests.support.place import SECRET

# What a configuration lets in as an issuer, and more than a passwd entry lets in as a name.
PRINTABLE = st.characters().filter(str.isprintable)
ISSUERS = st.text(PRINTABLE, min_size=1, max_size=64).map(str.strip).filter(lambda t: t.strip(": "))
USERS = st.text(PRINTABLE, min_size=1, max_size=64).map(str.strip).filter(bool)
# pyotp.parse_uri takes a whole address for quoted twice: it cannot read these.
READABLE_BY_PYOTP = st.text(
    string.ascii_letters + string.digits + " ._-@/éß日✓", min_size=1, max_size=64
).map(str.strip)
AUTHENTICATORS = st.builds(
    Authenticator,
    id=st.just("id"),
    label=st.just("phone"),
    secret=st.binary(min_size=20, max_size=64),
    algorithm=st.sampled_from(otp.ALGORITHMS),
    digits=st.sampled_from(otp.DIGITS),
    period=st.sampled_from((30, 60)),
)


def uri(issuer: str = "web", user: str = "alice", **fields: object) -> str:
    authenticator = Authenticator("id", "phone", SECRET)._replace(**fields)  # type: ignore[arg-type]
    return otpauth.provisioning_uri(authenticator, user, issuer)


def test_the_usual_address_is_exactly_this() -> None:
    assert ("otpauth://totp/web:alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=web") == uri()


def test_a_blank_is_percent_20() -> None:
    assert uri("My Host", "al ice").startswith("otpauth://totp/My%20Host:al%20ice?secret=")
    assert uri("My Host").endswith("&issuer=My%20Host")


@pytest.mark.parametrize(
    ("field", "value", "parameter"),
    [
        ("algorithm", "SHA256", "algorithm=SHA256"),
        ("algorithm", "SHA512", "algorithm=SHA512"),
        ("digits", 8, "digits=8"),
        ("period", 60, "period=60"),
    ],
)
def test_only_what_is_unusual_is_a_parameter(field: str, value: object, parameter: str) -> None:
    assert f"{uri()}&{parameter}" == uri(**{field: value})


@example("a:b", "alice", Authenticator("id", "phone", SECRET))
@example("50% & more + #1?", "a&b=c%20", Authenticator("id", "phone", SECRET))
@example("web:", "日本", Authenticator("id", "phone", SECRET))
@given(ISSUERS, USERS, AUTHENTICATORS)
def test_whatever_the_names_an_address_reads_back(
    issuer: str, user: str, authenticator: Authenticator
) -> None:
    address = otpauth.provisioning_uri(authenticator, user, issuer)
    assert address.isascii()
    assert address.isprintable()
    assert not set(address) & set(' +"<>\\^`{|}#')
    parts = urlsplit(address)
    assert ("otpauth", "totp") == (parts.scheme, parts.netloc)
    prefix, colon, name = parts.path.removeprefix("/").partition(":")
    parameters = dict(parse_qsl(parts.query, strict_parsing=True))
    expected = issuer.replace(":", " ").strip()
    assert (expected, ":", user) == (unquote(prefix), colon, unquote(name))
    assert expected == parameters["issuer"]
    text = parameters["secret"]
    assert "=" not in text
    assert authenticator.secret == base64.b32decode(text + "=" * (-len(text) % 8))
    assert authenticator.algorithm == parameters.get("algorithm", "SHA1")
    assert str(authenticator.digits) == parameters.get("digits", "6")
    assert str(authenticator.period) == parameters.get("period", "30")


@given(READABLE_BY_PYOTP.filter(bool), READABLE_BY_PYOTP.filter(bool), AUTHENTICATORS)
def test_pyotp_reads_issuer_name_and_codes_back(
    issuer: str, user: str, authenticator: Authenticator
) -> None:
    read = pyotp.parse_uri(otpauth.provisioning_uri(authenticator, user, issuer))
    assert isinstance(read, pyotp.TOTP)
    assert (issuer, user) == (read.issuer, read.name)
    assert authenticator.secret is not None
    for step in (0, 37_037_036):
        expected = otp.hotp(
            authenticator.secret, step, authenticator.algorithm, authenticator.digits
        )
        assert expected == read.generate_otp(step)
    assert authenticator.period == read.interval


@given(st.binary(min_size=1, max_size=64))
def test_base32_is_unpadded_and_reads_back(secret: bytes) -> None:
    text = issuing.base32(secret)
    assert set(text) <= set(string.ascii_uppercase + "234567")
    assert secret == base64.b32decode(text + "=" * (-len(text) % 8))
