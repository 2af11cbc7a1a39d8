"""unenrolled_until: the day after which nobody is skipped any more."""

from __future__ import annotations

from pam_totp.system.config import Arguments, parse, parse_arguments
from tests.support.each import each
from tests.unit.configurations import DEFAULTS

PASSED = 1


NO_DEADLINE = [
    "",
    "0",
    "None",
    "never",
    "2027",
    "2027-01",
    "27-01-31",
    "2027-1-31",
    "2027-01-031",
    "2027-02-29",
    "2100-02-29",
    "2027-04-31",
    "2027-13-01",
    "2027-00-10",
    "2027-01-00",
    "1969-12-31",
    "2027/01/31",
    "20270131",
    "31.01.2027",
    "2027-01-31 # the end",
    "2027-01-31T00:00",
    "-027-01-31",
    "2027-01--1",
    "\u0662027-01-31",
    "tomorrow",
]


@each(
    ("day", "until"),
    [
        ("none", 0),
        ("1970-01-01", 86_400),
        ("2027-01-31", 1_801_440_000),
        ("2028-02-29", 1_835_481_600),
        ("2000-02-29", 951_868_800),
        ("9999-12-31", 253_402_300_800),
    ],
)
def test_a_deadline_is_the_first_second_after_its_day(day: str, until: int) -> None:
    expected = (DEFAULTS._replace(unenrolled="skip", unenrolled_until=until), ())
    assert expected == parse(f"unenrolled = skip\nunenrolled_until = {day}\n".encode())
    assert expected == parse(b"unenrolled = skip", [("unenrolled_until", day)])
    assert Arguments(settings=(("unenrolled_until", day),)) == parse_arguments(
        [f"unenrolled_until={day}"]
    )


@each("value", NO_DEADLINE)
def test_a_bad_deadline_counts_as_passed_and_is_reported(value: str) -> None:
    """Its default, no deadline, would let people in for ever."""
    expected = DEFAULTS._replace(unenrolled="skip", unenrolled_until=PASSED)
    loaded = parse(f"unenrolled = skip\nunenrolled_until = {value}\n".encode(), path="c")
    assert expected == loaded.config
    (problem,) = loaded.problems
    assert problem.startswith("c:2: unenrolled_until must be ")
    assert problem.endswith("; it counts as passed")
    assert expected == parse(b"unenrolled = skip", [("unenrolled_until", value)]).config


@each("unenrolled", ["", "unenrolled = deny", "unenrolled = enroll"])
@each("settings", [(), (("window", "0"),)])
def test_a_deadline_for_what_is_not_allowed_is_reported(
    unenrolled: str, settings: tuple[tuple[str, str], ...]
) -> None:
    loaded = parse(f"{unenrolled}\nunenrolled_until = 2027-01-31\n".encode(), settings)
    assert ("unenrolled_until has no effect without unenrolled = skip",) == loaded.problems


def test_a_deadline_on_a_pam_line_that_skips_nobody_is_reported() -> None:
    settings = [("unenrolled_until", "2027-01-31")]
    assert 1 == len(parse(b"", settings).problems)
    assert 1 == len(parse(b"unenrolled = skip", [*settings, ("unenrolled", "deny")]).problems)
    assert () == parse(b"unenrolled = skip", settings).problems
    assert () == parse(b"", [*settings, ("unenrolled", "skip")]).problems


def test_a_deadline_in_the_file_is_no_mistake_where_one_pam_line_is_stricter() -> None:
    text = b"unenrolled = skip\nunenrolled_until = 2027-01-31\n"
    assert () == parse(text, [("unenrolled", "deny")]).problems


def test_the_last_of_two_deadlines_counts_and_a_pam_line_wins() -> None:
    text = b"unenrolled=skip\nunenrolled_until=2027-01-31\nunenrolled_until=2027-02-28\n"
    loaded = parse(text, path="c")
    assert 1_803_859_200 == loaded.config.unenrolled_until
    assert ("c:3: unenrolled_until is set more than once; the last one counts",) == loaded.problems
    assert PASSED == parse(text, [("unenrolled_until", "x")]).config.unenrolled_until
