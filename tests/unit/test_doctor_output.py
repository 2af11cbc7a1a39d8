"""What doctor makes of its checks, whatever these do; and that its page agrees with them."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable
from typing import cast

import pytest

from admin_cli.doctor import clock, examination
from admin_cli.doctor.examination import CHECKS
from admin_cli.doctor.facts import CannotTell, Facts
from admin_cli.doctor.finding import NOTE, WRONG, Check, Finding, Found
from admin_cli.host import sudoers
from pam_totp.system.errors import StoreCorrupt
from tests.support.each import each
from tests.unit.pages import codes, read, rows

NO_FACTS = cast("Facts", None)


def check(level: str, *found: Found, error: BaseException | None = None) -> Check:
    def look(_facts: Facts) -> Iterable[Found]:
        yield from found
        if error is not None:
            raise error

    return Check("example", level, "it matters", look)


def examine(monkeypatch: pytest.MonkeyPatch, *examples: Check) -> list[Finding]:
    monkeypatch.setattr(examination, "CHECKS", examples)
    return examination.examine(NO_FACTS)


def test_what_is_wrong_comes_before_the_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    found = examine(monkeypatch, check(NOTE, ("a", "x"), ("b", "x")), check(WRONG, ("c", "x")))
    assert ["c", "a", "b"] == [finding.problem for finding in found]


def test_the_same_problem_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = examine(monkeypatch, check(WRONG, ("a", "first")), check(NOTE, ("a", "second")))
    assert [Finding("example", WRONG, "a", "it matters", "first")] == found


@each("first", CHECKS, ids=[check.name for check in CHECKS])
def test_of_two_checks_that_say_the_same_the_worse_finding_is_shown(
    monkeypatch: pytest.MonkeyPatch, first: Check
) -> None:
    """For all pairs of checks, in either order: a note hides no fault."""

    def look(_facts: Facts) -> Iterable[Found]:
        yield "the same words", first.name

    for second in CHECKS:
        pair = [check._replace(look=look) for check in (first, second)]
        (shown,) = examine(monkeypatch, *pair)
        worst = WRONG if WRONG in (first.level, second.level) else NOTE
        assert worst == shown.level, (first.name, second.name)


def test_a_note_said_in_the_words_of_a_check_that_failed_hides_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failing = check(NOTE, error=StoreCorrupt("/s", "is empty", "restore it"))
    found = examine(
        monkeypatch, check(NOTE, ("this could not be checked: /s: is empty", "x")), failing
    )
    assert [WRONG] == [finding.level for finding in found]


def test_a_check_that_cannot_tell_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [] == examine(monkeypatch, check(WRONG, error=CannotTell()))


@pytest.mark.parametrize(
    ("error", "problem", "fix"),
    [
        (StoreCorrupt("/s", "is empty", "restore it"), "/s: is empty", "restore it"),
        (sudoers.NotRead("/s", "is odd"), "/s: is odd", "fix that, then run it again"),
        (
            OSError(errno.EACCES, "Permission denied", "/f"),
            "/f: Permission denied",
            "fix that, then run it again",
        ),
        (OSError(), "OSError", "fix that, then run it again"),
    ],
)
def test_a_check_that_fails_is_a_finding(
    monkeypatch: pytest.MonkeyPatch, error: Exception, problem: str, fix: str
) -> None:
    """Even a note that cannot be looked for is wrong: nobody knows how things are."""
    first, failed = examine(monkeypatch, check(NOTE, ("a", "x"), error=error))
    (wrong,) = [finding for finding in (first, failed) if finding.level == WRONG]
    expected = f"this could not be checked: {problem}"
    assert Finding("example", WRONG, expected, "it matters", fix) == wrong


def test_an_unexpected_error_shows_its_place_and_not_its_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (found,) = examine(monkeypatch, check(WRONG, error=ValueError("the secret")))
    place = r"unexpected ValueError at test_doctor_output\.py:\d+"
    assert re.fullmatch(f"this could not be checked: {place}", found.problem)
    assert "please report this" == found.fix


def test_an_interrupt_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        examine(monkeypatch, check(WRONG, error=KeyboardInterrupt()))


def test_kernel_that_says_nothing_of_its_clock_is_no_finding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock, "is_synchronised", lambda: None)
    both = [clock.clock.findings(NO_FACTS), clock.clock_of_host.findings(NO_FACTS)]
    assert [[], []] == [list(found) for found in both]


# The page


def test_page_describes_every_check_with_its_level_and_why() -> None:
    table = [row for row in rows(read("docs/reference/doctor.md")) if len(row) == 5]
    described = [(codes(row[0])[0], row[1], row[3]) for row in table]
    assert [(check.name, check.level, check.why) for check in CHECKS] == described
    assert all(row[2] and row[4] for row in table)


def test_no_two_checks_have_one_name() -> None:
    assert len(CHECKS) == len({check.name for check in CHECKS})
