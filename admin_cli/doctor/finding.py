"""What a check is, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from pam_totp.system.errors import PamTotpError, places

from ..errors import os_error_in_words
from .facts import CannotTell, Facts

WRONG, NOTE = "wrong", "note"  # logins are broken or bypassed; or somebody may want to know
LEVELS = (WRONG, NOTE)  # the worst first
SHOWN = 10  # names in one line

Found = tuple[str, str]  # what is wrong, and the fix


class Finding(NamedTuple):
    """One thing that a check found: each text is a line, ``fix`` mostly a command."""

    check: str
    level: str
    problem: str
    why: str
    fix: str


class Check(NamedTuple):
    """``look`` yields what is wrong; ``why`` says what that does to logins."""

    name: str
    level: str
    why: str
    look: Callable[[Facts], Iterable[Found]]

    def findings(self, facts: Facts) -> Iterator[Finding]:
        """Never raises: a check that fails is a finding; one that cannot tell says nothing."""
        try:
            for problem, fix in self.look(facts):
                yield Finding(self.name, self.level, problem, self.why, fix)
        except CannotTell:
            return
        except PamTotpError as error:
            yield self._failed(str(error), error.hint or "fix that, then run it again")
        except OSError as error:
            yield self._failed(os_error_in_words(error), "fix that, then run it again")
        except Exception as error:  # its text may hold anything
            place = places(error)[-1]
            yield self._failed(
                f"unexpected {type(error).__name__} at {place}", "please report this"
            )

    def _failed(self, problem: str, fix: str) -> Finding:
        return Finding(self.name, WRONG, f"this could not be checked: {problem}", self.why, fix)


def check(name: str, level: str, why: str) -> Callable[[Callable[[Facts], Iterable[Found]]], Check]:
    """Make a Check of a function that yields problems, each with its fix."""

    def make(look: Callable[[Facts], Iterable[Found]]) -> Check:
        return Check(name, level, why, look)

    return make
