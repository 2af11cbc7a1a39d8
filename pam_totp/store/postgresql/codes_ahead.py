"""The codes of the next hours: what a host keeps of people, in place of their secrets.

Those of one authenticator are a run of bytes, big-endian: the step of the first (8 bytes), and for
each step a number (4 bytes), of which the code is the last digits. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ...core.hashes import compare_digest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...core.users import Authenticator, UserRecord
    from ...core.verifier import Policy

_FIRST_BYTES = 8
_CODE_BYTES = 4


class Fetched(NamedTuple):
    """Codes of the next hours, as the database gives them out at its unix time ``at``.

    ``records``: of those who were asked for, those who may have them, with a run of codes in place
    of each secret. ``hours``: for how long; 0: the fleet's policy allows none. ``last_merged``: the
    number of the last entry of this host that the database has seen.
    """

    at: int
    hours: int
    last_merged: int
    policy: Policy
    records: tuple[UserRecord, ...]


def run(first_step: int, numbers: bytes) -> bytes:
    """Return the run that begins with ``first_step``. Raises ValueError for no whole numbers."""
    if len(numbers) % _CODE_BYTES:
        raise ValueError("the last code is cut off")
    return first_step.to_bytes(_FIRST_BYTES, "big") + numbers


def matching_steps(authenticator: Authenticator, code: str, steps: Iterable[int]) -> list[int]:
    """Return those of ``steps`` whose code is ``code``, oldest first: see users.MatchingSteps.

    The secret of ``authenticator`` is a run of codes. Each step is compared in constant time. One
    that the run does not have matches nothing.
    """
    kept = authenticator.secret
    if kept is None:
        raise ValueError("the record was read without its codes")
    first = int.from_bytes(kept[:_FIRST_BYTES], "big")
    count = len(kept) // _CODE_BYTES - _FIRST_BYTES // _CODE_BYTES
    given = code.encode("ascii")
    digits = authenticator.digits
    found = []
    for step in sorted(steps):
        at = _FIRST_BYTES + _CODE_BYTES * (step - first)
        number = int.from_bytes(kept[at : at + _CODE_BYTES], "big") if at >= _FIRST_BYTES else 0
        is_right = compare_digest(b"%0*d" % (digits, number % 10**digits), given)
        if is_right and 0 <= step - first < count:
            found.append(step)
    return found
