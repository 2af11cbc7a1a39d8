"""Which PAM modules the configuration calls a second factor in the place of a code."""

from __future__ import annotations

from pam_totp.system import config
from pam_totp.system.errors import PamTotpError


def configured(path: str = config.DEFAULT_PATH) -> frozenset[str]:
    """Return their names. A file that cannot be trusted or read names none."""
    try:
        return frozenset(config.load(path).config.alternative)
    except PamTotpError:
        return frozenset()
