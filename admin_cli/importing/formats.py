"""The names of the formats, for the command line: their readers load much that Tab does not need.

recognition.py has the readers; a test compares the two.
"""

from __future__ import annotations

FORMATS = (
    "pam_totp",
    "google-authenticator",
    "otpauth-migration",
    "otpauth",
    "users-oath",
    "freeipa",
    "entra-csv",
    "privacyidea-csv",
    "aegis",
    "andotp",
    "freeotp-plus",
    "2fas",
    "bitwarden",
    "bitwarden-csv",
    "pskc",
    "safenet",
    "qr-picture",
)
