"""Split one answer into the password and the code behind it, for programs that can ask only once.

Pure. pam_totp/native/split.c is the same in C: there the password never leaves the application.
tests/vectors/one_answer.json holds both to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import recovery

if TYPE_CHECKING:
    from collections.abc import Collection

MAX_BYTES = 512  # PAM_MAX_RESP_SIZE: no application answers with more
MAX_RECOVERY_CODE = 64  # characters, with hyphens

_DIGITS = "0123456789"


def split(answer: str, digits: Collection[int]) -> tuple[str, str] | None:
    """Return password and code of ``answer``; None where no code is at its end.

    ``digits``: the lengths of the codes of this user. A code is as many digits at the end as the
    longest of them that fit; one space before is a separator, and no part of the password. Else a
    code is what looks like a recovery code, after the last space.
    """
    if len(answer.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        return None
    at_the_end = len(answer) - len(answer.rstrip(_DIGITS))
    before = answer[: len(answer) - at_the_end]
    if at_the_end in digits and before.endswith(" "):
        return before[:-1], answer[len(before) :]
    fitting = [length for length in digits if length <= at_the_end]
    if fitting:
        return answer[: -max(fitting)], answer[-max(fitting) :]
    password, space, last = answer.rpartition(" ")
    if not space or len(last) > MAX_RECOVERY_CODE or recovery.normalise(last) is None:
        return None
    return password, last
