"""What a person is handed: a picture to scan, the secret and the recovery codes."""

from __future__ import annotations

import datetime
from typing import NamedTuple

from pam_totp.system import issuing

from ..enrollment import handover
from ..enrollment.handover import Offer

CODES_HEADING = "Recovery codes, each good for one login without the phone:"


class Sheet(NamedTuple):
    """``full_name``: "" where the account has none."""

    offer: Offer
    full_name: str
    codes: list[str]

    def __repr__(self) -> str:
        return f"<Sheet of {self.offer.user!r}>"

    @property
    def title(self) -> str:
        return f"Second factor for logins at {self.offer.entry.issuer}"

    @property
    def person(self) -> str:
        behind = f" ({self.full_name})" if self.full_name else ""
        return f"For {self.offer.user}{behind}"

    @property
    def what_to_do(self) -> tuple[str, str, str]:
        """Return three sentences."""
        return (
            "Scan the picture with an authenticator app on your phone, or type the secret into it.",
            f'At each login, enter the code that the app shows for "{self.offer.entry}".',
            "Keep the recovery codes away from the phone, and destroy the rest of this sheet: "
            "whoever has it can log in as you.",
        )

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Return what an app asks for that cannot scan."""
        return (
            ("Entry in the app", str(self.offer.entry)),
            ("Secret", issuing.to_type(self.offer.secret)),
            ("Codes", handover.parameters_in_words(self.offer.authenticator)),
        )

    @property
    def made_at(self) -> str:
        day = datetime.datetime.fromtimestamp(self.offer.authenticator.created_at, datetime.UTC)
        return f"Made on {day:%Y-%m-%d} by totpctl"
