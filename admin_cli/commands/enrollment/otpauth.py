"""otpauth:// URIs, as apps read them from a QR code (the Key URI format)."""

from __future__ import annotations

from pam_totp.core.users import Authenticator
from pam_totp.system import issuing


def provisioning_uri(authenticator: Authenticator, user: str, issuer: str) -> str:
    """Return the URI: issuer as prefix and as parameter, defaults left out, %20 for a space."""
    assert authenticator.secret is not None
    import hashlib

    import pyotp

    digests = {"SHA1": hashlib.sha1, "SHA256": hashlib.sha256, "SHA512": hashlib.sha512}
    totp = pyotp.TOTP(
        issuing.base32(authenticator.secret),
        digits=authenticator.digits,
        digest=digests[authenticator.algorithm],
        interval=authenticator.period,
    )
    # A colon ends the issuer in the label, and readers do not agree on its escaped form.
    return str(totp.provisioning_uri(name=user, issuer_name=issuer.replace(":", " ").strip()))
