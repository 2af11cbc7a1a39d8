"""otpauth:// URIs, as apps read them from a QR code (the Key URI format)."""

from __future__ import annotations

from pam_totp.core.users import Authenticator
from pam_totp.system import issuing


def provisioning_uri(authenticator: Authenticator, account: str, issuer: str) -> str:
    """Return the URI: issuer as prefix and as parameter, defaults left out, %20 for a space."""
    assert authenticator.secret is not None
    import hashlib

    import pyotp

    digests = {"SHA1": hashlib.sha1, "SHA256": hashlib.sha256, "SHA512": hashlib.sha512}
    secret, digits = issuing.base32(authenticator.secret), authenticator.digits
    digest = digests[authenticator.algorithm]
    names = {"name": account, "issuer_name": without_colon(issuer)}
    if authenticator.counts:
        hotp = pyotp.HOTP(secret, digits=digits, digest=digest)
        uri = hotp.provisioning_uri(**names, initial_count=authenticator.counter)
    else:
        totp = pyotp.TOTP(secret, digits=digits, digest=digest, interval=authenticator.period)
        uri = totp.provisioning_uri(**names)
    path, question_mark, parameters = str(uri).partition("?")
    # As in the format's own examples: a path may hold it (RFC 3986 section 3.3), and it is shorter.
    return path.replace("%40", "@") + question_mark + parameters


def without_colon(issuer: str) -> str:
    """Return ``issuer`` as apps show it.

    A colon ends the issuer in the label, and readers do not agree on its escaped form.
    """
    return issuer.replace(":", " ").strip()
