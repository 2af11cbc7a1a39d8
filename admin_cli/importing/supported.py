"""What this store and this verification can hold: the one place that refuses a token for that."""

from __future__ import annotations

from pam_totp.core import enrollment, otp
from pam_totp.core.resynchronisation import MOST_DRIFT

from .tokens import HOTP, Token

LEAST_SECRET_BYTES = 10  # 80 bits, google-authenticator's for years
RFC_SECRET_BYTES = 16  # RFC 4226 section 4, R6: at least 128 bits
MOST_SECRET_BYTES = 128
USUAL_DIGITS, USUAL_PERIODS = (6, 8), (30, 60)
MOST_STEP = 4_000_000_000  # at 60 s in the year 9575: no date is shown beyond 9999


def refusal(token: Token) -> str:
    """Return why ``token`` cannot be used here; "" where it can."""
    if token.algorithm not in otp.ALGORITHMS:
        return f"its algorithm is {token.algorithm}; there are {', '.join(otp.ALGORITHMS)}"
    if token.digits not in otp.DIGITS:
        return f"its codes have {token.digits} digits; there are {_choices(otp.DIGITS)}"
    if refused := secret_refusal(token.secret):
        return refused
    return _refusal_of_counter(token) if token.kind == HOTP else _refusal_of_clock(token)


def doubt(token: Token) -> str:
    """Return why the codes that a device shows may be others than ``token`` says; "" if they match.

    Many apps take what they do not know for 6 digits and 30 seconds.
    """
    if token.digits not in USUAL_DIGITS:
        return f"few apps show codes of {token.digits} digits; if its device does, add: --unusual"
    if token.kind != HOTP and token.period not in USUAL_PERIODS:
        return f"few apps know a period of {token.period} s; if its device does, add: --unusual"
    return ""


def secret_refusal(secret: bytes) -> str:
    """Return why a secret of that length cannot be used; "" where it can."""
    if LEAST_SECRET_BYTES <= len(secret) <= MOST_SECRET_BYTES:
        return ""
    bounds = f"between {8 * LEAST_SECRET_BYTES} and {8 * MOST_SECRET_BYTES}"
    return f"its secret has {8 * len(secret)} bits; it must have {bounds}"


def _refusal_of_counter(token: Token) -> str:
    if 0 <= token.next_counter <= enrollment.MOST_COUNTER:
        return ""
    return f"its counter is not between 0 and {enrollment.MOST_COUNTER}"


def _refusal_of_clock(token: Token) -> str:
    if not enrollment.LEAST_PERIOD <= token.period <= enrollment.MOST_PERIOD:
        bounds = f"from {enrollment.LEAST_PERIOD} to {enrollment.MOST_PERIOD}"
        return f"its period is {token.period} seconds; there are those {bounds}"
    if abs(token.drift) * token.period > MOST_DRIFT:
        return "its clock is wrong by more than 31 days"
    if token.last_accepted_step is not None and not 0 <= token.last_accepted_step <= MOST_STEP:
        return "its last used code is of no possible time"
    return ""


def remarks(token: Token) -> tuple[str, ...]:
    """Return what an administrator should know of a token that is imported."""
    if len(token.secret) >= RFC_SECRET_BYTES:
        return token.remarks
    bits = 8 * len(token.secret)
    return (*token.remarks, f"its secret has {bits} bits, fewer than the 128 of RFC 4226")


def _choices(numbers: tuple[int, ...]) -> str:
    return " and ".join(str(number) for number in numbers)
