"""What several commands say alike with --json."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pam_totp.core.users import Authenticator


def how_codes_are_made(authenticator: Authenticator) -> dict[str, object]:
    """Return what an app has to know beside the secret, and how a token is told from others."""
    return {
        "type": authenticator.kind,
        "algorithm": authenticator.algorithm,
        "digits": authenticator.digits,
        "period": None if authenticator.counts else authenticator.period,
        "counter": authenticator.counter,
        "serial": authenticator.serial or None,
    }
