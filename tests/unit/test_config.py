from __future__ import annotations

import pytest

from pam_totp.core.verifier import Policy
from pam_totp.system.config import Arguments, Config, parse, parse_arguments
from pam_totp.system.config_values import IN_FILE_ONLY
from tests.support.each import each
from tests.unit.configurations import BAD, DEFAULTS, GOOD


def test_an_empty_file_gives_the_defaults() -> None:
    assert (DEFAULTS, ()) == parse(b"")


def test_the_policy_is_made_of_the_configuration() -> None:
    settings = Config(window=0, throttle_after=2, throttle_base=3, throttle_max=4, max_failures=5)
    assert Policy(0, 2, 3, 4, 5) == settings.policy()


@each(("key", "value", "expected"), GOOD)
def test_a_good_value_counts_in_the_file_and_as_an_argument(
    key: str, value: str, expected: object
) -> None:
    settings = DEFAULTS._replace(**{key: expected})
    assert (settings, ()) == parse(f"{key} = {value}\n".encode())
    assert (settings, ()) == parse(b"", [(key, value)])
    expected_arguments = Arguments(settings=((key, value),))
    if key in IN_FILE_ONLY:
        problem = f"PAM argument: {key} is allowed only in pam_totp.conf"
        expected_arguments = Arguments(problems=(problem,))
    assert expected_arguments == parse_arguments([f"{key}={value}"])


@each(("key", "value"), BAD)
def test_a_bad_value_leaves_the_default_and_is_reported(key: str, value: str) -> None:
    in_file = parse(f"{key} = {value}\n".encode(), path="/etc/x.conf")
    assert DEFAULTS == in_file.config
    assert 1 == len(in_file.problems)
    assert in_file.problems[0].startswith(f"/etc/x.conf:1: {key} must be ")
    assert in_file.problems[0].endswith(f"; using the default {getattr(DEFAULTS, key)!r}")
    as_argument = parse(b"", [(key, value)])
    assert DEFAULTS == as_argument.config
    assert as_argument.problems[0].startswith(f"PAM argument: {key} must be ")


def test_every_key_has_good_and_bad_values_here() -> None:
    in_both = set(Config._fields) - {"unprivileged", "unenrolled_until"}
    assert in_both == {key for key, _, _ in GOOD}
    assert in_both == {key for key, _ in BAD}


@pytest.mark.parametrize(("value", "expected"), [("yes", True), ("no", False), ("YES", True)])
def test_programs_without_root_are_admitted_in_the_file(value: str, expected: bool) -> None:
    settings = DEFAULTS._replace(unprivileged=expected)
    assert (settings, ()) == parse(f"unprivileged = {value}\n".encode())


@pytest.mark.parametrize("value", ["", "1", "true", "yes # for now"])
def test_a_bad_value_admits_no_program_without_root(value: str) -> None:
    loaded = parse(f"unprivileged = {value}\n".encode(), path="c")
    assert DEFAULTS == loaded.config
    assert 1 == len(loaded.problems)


@pytest.mark.parametrize(
    ("key", "good", "bad"), [("unenrolled", "skip", "skop"), ("window", "9", "x")]
)
def test_a_bad_value_falls_back_to_the_default_and_not_to_an_earlier_value(
    key: str, good: str, bad: str
) -> None:
    assert DEFAULTS == parse(f"{key} = {good}\n{key} = {bad}\n".encode()).config
    assert DEFAULTS == parse(f"{key} = {good}\n".encode(), [(key, bad)]).config


def test_an_argument_wins_over_the_file() -> None:
    loaded = parse(b"unenrolled = skip\nwindow = 3\n", [("unenrolled", "deny")])
    assert (DEFAULTS._replace(window=3), ()) == loaded


def test_the_last_of_two_arguments_counts() -> None:
    assert 2 == parse(b"", [("window", "1"), ("window", "2")]).config.window


def test_a_key_set_twice_in_the_file_is_reported_and_the_last_one_counts() -> None:
    loaded = parse(b"window = 0\nwindow = 2\n", path="c")
    assert 2 == loaded.config.window
    assert ("c:2: window is set more than once; the last one counts",) == loaded.problems


def test_comments_blank_lines_and_blanks_around_are_ignored() -> None:
    text = b"# window = 9\n\n   \t\r\n  window=2  \r\n\t# echo = yes\nquiet  =  yes\n"
    assert (DEFAULTS._replace(window=2, quiet=True), ()) == parse(text)


def test_an_unknown_key_is_reported_with_its_line() -> None:
    loaded = parse(b"\nwindwo = 0\n", path="/etc/x.conf")
    assert (DEFAULTS, ("/etc/x.conf:2: unknown key: windwo",)) == loaded


@each("name", ["policy", "_replace", "__class__", "Window", "config", ""])
def test_no_attribute_but_the_keys_can_be_set(name: str) -> None:
    loaded = parse(f"{name} = 1\n".encode())
    assert DEFAULTS == loaded.config
    assert 1 == len(loaded.problems)


def test_a_line_without_an_equals_sign_is_reported() -> None:
    loaded = parse(b"nullok\n", path="c")
    assert (DEFAULTS, ("c:1: not 'key = value': nullok",)) == loaded


def test_bytes_that_are_not_utf_8_spoil_their_value_alone() -> None:
    loaded = parse(b"issuer = B\xfccher\nunenrolled = sk\xefp\nwindow = 2\n", path="c")
    assert DEFAULTS._replace(issuer="B\ufffdcher", window=2) == loaded.config
    assert ("c:2: unenrolled must be deny, skip or enroll; using the default 'deny'",) == loaded[1]


def test_lines_end_at_newlines_only() -> None:
    """Else a form feed or U+2028 in a comment would begin a line that an editor does not show."""
    text = "# issuer\x0cunenrolled = skip\u2028unenrolled = skip\x85unenrolled = skip\r"
    assert (DEFAULTS, ()) == parse(text.encode())


def test_a_long_line_is_not_repeated_whole() -> None:
    for line in ("x" * 9000, "x" * 9000 + " = 1"):
        assert len(parse(line.encode()).problems[0]) < 100
    assert len(parse_arguments(["x" * 9000]).problems[0]) < 100


def test_a_maximum_below_the_first_wait_is_reported_and_does_not_weaken_it() -> None:
    loaded = parse(b"throttle_max = 10\n")
    assert 30 == loaded.config.throttle_max
    assert ("throttle_max is below throttle_base; throttle_base is used for both",) == loaded[1]


def test_equal_waits_are_no_problem() -> None:
    assert () == parse(b"throttle_max = 60\nthrottle_base = 60\n").problems
