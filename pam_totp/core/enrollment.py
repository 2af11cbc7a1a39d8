"""The rules of an enrollment, at a login and by totpctl: what is issued, and its first code."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from . import verifier
from .users import UserRecord

if TYPE_CHECKING:
    from .users import Account, Authenticator
    from .verifier import Answer, Policy, Verdict

LABEL, ALGORITHM, DIGITS, PERIOD = "phone", "SHA1", 6, 30  # what every app understands
LEAST_PERIOD, MOST_PERIOD = 15, 120  # seconds that codes may be shown
MOST_COUNTER = 10**15  # of HOTP
MOST_LABEL = MOST_SERIAL = 64  # characters
ATTEMPTS = 3  # to enter a code of the new authenticator


def is_label(text: str) -> bool:
    """Tell whether an authenticator may be called ``text``."""
    return bool(text.strip()) and text.isprintable() and len(text) <= MOST_LABEL


def judge_first_code(
    new: Authenticator, answer: Answer, now: int, policy: Policy
) -> tuple[Verdict, Authenticator]:
    """Return the verdict on a code of ``new`` at unix time ``now``, and what to keep once accepted.

    The code is used up by that, but it is no login.
    """
    record = UserRecord("", authenticators=(new,))
    verdict, changed = verifier.verify(record, answer, now, policy)
    (judged,) = changed.authenticators
    return verdict, new.confirmed(judged.last_accepted_step)


class Enrollment(NamedTuple):
    """What a first enrollment keeps. ``account``: whose it is, where that is known."""

    authenticator: Authenticator
    salt: bytes
    digests: frozenset[bytes]
    account: Account | None

    def __repr__(self) -> str:
        return "<Enrollment>"
