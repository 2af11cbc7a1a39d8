from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pam_totp import config, config_values
from pam_totp.config import Arguments, Config, parse, parse_arguments
from pam_totp.errors import InsecureFile, Unavailable
from pam_totp.verifier import Policy

DEFAULTS = Config(
    store="/var/lib/pam_totp/store.db",
    sealing_key="/etc/security/pam_totp.key",
    issuer="",
    prompt="Verification code: ",
    echo=False,
    window=1,
    attempts=3,
    throttle_after=5,
    throttle_base=30,
    throttle_max=900,
    max_failures=100,
    unenrolled="deny",
    unenrolled_until=0,
    exempt_groups=(),
    quiet=False,
    unprivileged=False,
)

GOOD = [
    ("store", "/srv/totp.db", "/srv/totp.db"),
    ("store", "sqlite:/srv/totp.db", "sqlite:/srv/totp.db"),
    ("store", "/srv/a:b.db", "/srv/a:b.db"),
    ("sealing_key", "/srv/totp.key", "/srv/totp.key"),
    ("issuer", "Example GmbH", "Example GmbH"),
    ("issuer", "B\u00fccher", "B\u00fccher"),
    ("issuer", "", ""),
    ("prompt", "Code:", "Code:"),
    ("prompt", '"Code: "', "Code: "),
    ("prompt", '"', '"'),
    ("prompt", '"a = b # c"', "a = b # c"),
    ("prompt", "a#b", "a#b"),
    ("prompt", "x" * 128, "x" * 128),
    ("echo", "yes", True),
    ("echo", "No", False),
    ("quiet", "YES", True),
    ("window", "0", 0),
    ("window", "10", 10),
    ("window", "007", 7),
    ("attempts", "1", 1),
    ("attempts", "10", 10),
    ("throttle_after", "1", 1),
    ("throttle_after", "100", 100),
    ("throttle_base", "1", 1),
    ("throttle_max", "86400", 86400),
    ("max_failures", "1", 1),
    ("max_failures", "100", 100),
    ("unenrolled", "deny", "deny"),
    ("unenrolled", "skip", "skip"),
    ("unenrolled", "enroll", "enroll"),
    ("exempt_groups", "", ()),
    ("exempt_groups", "staff", ("staff",)),
    ("exempt_groups", "staff, robots,backup", ("staff", "robots", "backup")),
    ("exempt_groups", "staff robots", ("staff", "robots")),
]

BAD = [
    ("store", ""),
    ("store", "store.db"),
    ("store", "../store.db"),
    ("store", "sqlite:store.db"),
    ("store", "sqlite:"),
    ("store", "postgresql:/srv"),
    ("store", "SQLITE:/srv/totp.db"),
    ("store", "/srv/\0.db"),
    ("store", "/srv/B\u00fccher.db"),  # under pam_python the C locale encodes paths
    ("sealing_key", ""),
    ("sealing_key", "totp.key"),
    ("sealing_key", "/srv/\x1b.key"),
    ("sealing_key", "/srv/\0"),
    ("sealing_key", "/srv/\u00fc.key"),
    ("issuer", "a\tb"),
    ("issuer", "\u202eevil"),
    ("prompt", "x" * 129),
    ("prompt", "a\x1b[2Jb"),
    ("prompt", '"a\x00b"'),
    ("echo", ""),
    ("echo", "1"),
    ("echo", "true"),
    ("echo", "on"),
    ("quiet", "yes yes"),
    ("window", ""),
    ("window", "-1"),
    ("window", "+1"),
    ("window", "11"),
    ("window", "1.0"),
    ("window", "1e1"),
    ("window", "0x1"),
    ("window", "1_0"),
    ("window", "two"),
    ("window", "\u0661"),
    ("window", "\u00b2"),
    ("window", "9" * 5000),
    ("attempts", "0"),
    ("attempts", "11"),
    ("throttle_after", "0"),
    ("throttle_after", "101"),
    ("throttle_base", "0"),
    ("throttle_base", "3601"),
    ("throttle_max", "0"),
    ("throttle_max", "86401"),
    ("max_failures", "0"),
    ("max_failures", "101"),
    ("unenrolled", ""),
    ("unenrolled", "Skip"),
    ("unenrolled", "skip # for now"),
    ("unenrolled", "allow"),
    ("exempt_groups", "staff,\x07"),
]

bytes_of_a_file = st.one_of(
    st.binary(max_size=300),
    st.lists(
        st.tuples(
            st.sampled_from(Config._fields) | st.text(max_size=10),
            st.sampled_from(("=", " = ", "", "==")),
            st.sampled_from(sorted({value for _, value in BAD} | {v for _, v, _ in GOOD}))
            | st.text(max_size=20),
        ),
        max_size=8,
    ).map(lambda lines: "\n".join(map("".join, lines)).encode("utf-8", "surrogatepass")),
)
arguments = st.lists(
    st.one_of(
        st.text(st.characters(), max_size=30),
        st.sampled_from(("nullok", "debug", "config=", "config=/x", "first_factor=key", "echo")),
        st.tuples(st.sampled_from(Config._fields), st.text(st.characters(), max_size=20)).map(
            "=".join
        ),
    ),
    max_size=8,
)


def test_an_empty_file_gives_the_defaults() -> None:
    assert (DEFAULTS, ()) == parse(b"")


def test_the_policy_is_made_of_the_configuration() -> None:
    settings = Config(window=0, throttle_after=2, throttle_base=3, throttle_max=4, max_failures=5)
    assert Policy(0, 2, 3, 4, 5) == settings.policy()


@pytest.mark.parametrize(("key", "value", "expected"), GOOD)
def test_a_good_value_counts_in_the_file_and_as_an_argument(
    key: str, value: str, expected: object
) -> None:
    settings = DEFAULTS._replace(**{key: expected})
    assert (settings, ()) == parse(f"{key} = {value}\n".encode())
    assert (settings, ()) == parse(b"", [(key, value)])
    assert Arguments(settings=((key, value),)) == parse_arguments([f"{key}={value}"])


@pytest.mark.parametrize(("key", "value"), BAD)
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


@pytest.mark.parametrize("name", ["policy", "_replace", "__class__", "Window", "config", ""])
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


# The deadline

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


@pytest.mark.parametrize(
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


@pytest.mark.parametrize("value", NO_DEADLINE)
def test_a_bad_deadline_counts_as_passed_and_is_reported(value: str) -> None:
    """Its default, no deadline, would let people in for ever."""
    expected = DEFAULTS._replace(unenrolled="skip", unenrolled_until=PASSED)
    loaded = parse(f"unenrolled = skip\nunenrolled_until = {value}\n".encode(), path="c")
    assert expected == loaded.config
    (problem,) = loaded.problems
    assert problem.startswith("c:2: unenrolled_until must be ")
    assert problem.endswith("; it counts as passed")
    assert expected == parse(b"unenrolled = skip", [("unenrolled_until", value)]).config


@pytest.mark.parametrize("unenrolled", ["", "unenrolled = deny", "unenrolled = enroll"])
@pytest.mark.parametrize("settings", [(), (("window", "0"),)])
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


# PAM arguments


def test_no_arguments_mean_the_defaults() -> None:
    assert Arguments((), "/etc/security/pam_totp.conf", False, False, ()) == parse_arguments([])


def test_nullok_means_that_the_unenrolled_are_skipped() -> None:
    assert Arguments(settings=(("unenrolled", "skip"),)) == parse_arguments(["nullok"])


def test_debug_config_and_first_factor_are_taken() -> None:
    expected = Arguments(path="/srv/x.conf", debug=True, first_factor_key=True)
    assert expected == parse_arguments(["debug", "config=/srv/x.conf", "first_factor=key"])


@pytest.mark.parametrize("key", ["echo", "quiet"])
def test_a_switch_may_stand_without_a_value(key: str) -> None:
    assert Arguments(settings=((key, "yes"),)) == parse_arguments([key])


def test_a_value_may_contain_an_equals_sign() -> None:
    assert Arguments(settings=(("prompt", "a=b"),)) == parse_arguments(["prompt=a=b"])


@pytest.mark.parametrize(
    "argument",
    [
        "",
        "=",
        "window",
        "store",
        "nullok=yes",
        "NULLOK",
        "nullok ",
        "debug=yes",
        "config",
        "config=",
        "config=pam_totp.conf",
        "config=../pam_totp.conf",
        "first_factor=password",
        "first_factor",
        "first_factor=KEY",
        "use_first_pass",
        "no_such_key=1",
        "=/etc/x",
    ],
)
def test_an_unknown_argument_is_reported_and_changes_nothing(argument: str) -> None:
    expected = Arguments(problems=(f"PAM argument: unknown: {argument}",))
    assert expected == parse_arguments([argument])


@pytest.mark.parametrize("argument", ["unprivileged", "unprivileged=yes", "unprivileged=no"])
def test_whoever_writes_the_arguments_cannot_admit_programs_without_root(argument: str) -> None:
    expected = Arguments(problems=("PAM argument: unprivileged is for pam_totp.conf alone",))
    assert expected == parse_arguments([argument])


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/srv/x.db", ("sqlite", "/srv/x.db")),
        ("sqlite:/srv/x.db", ("sqlite", "/srv/x.db")),
        ("/srv/a:b", ("sqlite", "/srv/a:b")),
        ("sqlite:/srv/a:b", ("sqlite", "/srv/a:b")),
    ],
)
def test_a_store_is_named_by_a_path_or_a_scheme_and_a_path(
    url: str, expected: tuple[str, str]
) -> None:
    assert expected == config_values.split_store_url(url)


# Whatever comes


@given(bytes_of_a_file, arguments)
def test_no_file_and_no_arguments_make_the_parser_raise(content: bytes, argv: list[str]) -> None:
    parsed = parse_arguments(argv)
    assert os.path.isabs(parsed.path)
    settings = parse(content, parsed.settings, "c").config
    assert 0 <= settings.window <= 10
    assert 1 <= settings.attempts <= 10
    assert 1 <= settings.max_failures <= 100
    assert 1 <= settings.throttle_after <= 100
    assert 1 <= settings.throttle_base <= settings.throttle_max <= 86400
    assert settings.unenrolled in ("deny", "skip", "enroll")
    assert settings.prompt.isprintable()
    assert all(type(value) is type(DEFAULTS[n]) for n, value in enumerate(settings))


@given(
    st.sampled_from(Config._fields),
    st.text(st.characters(), max_size=40) | st.integers(-10, 10**5).map(str),
)
def test_a_value_is_taken_or_reported_and_then_the_default(key: str, value: str) -> None:
    loaded = parse(b"", [(key, value)])
    others = loaded.config._replace(**{"throttle_max": 900, key: getattr(DEFAULTS, key)})
    assert DEFAULTS == others
    if any("using the default" in problem for problem in loaded.problems):
        assert DEFAULTS == loaded.config


@given(arguments)
def test_nothing_but_its_own_words_lets_the_unenrolled_pass(argv: list[str]) -> None:
    settings = parse(b"", parse_arguments(argv).settings).config
    words = [a for a in argv if a == "nullok" or a.startswith("unenrolled=")]
    expected = {"nullok": "skip", "unenrolled=skip": "skip", "unenrolled=enroll": "enroll"}
    assert (expected.get(words[-1], "deny") if words else "deny") == settings.unenrolled


# The file itself


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    path = tmp_path / "pam_totp.conf"
    path.write_bytes(b"window = 2\n")
    path.chmod(0o644)
    return path


def test_a_file_that_others_may_read_is_read(path: Path) -> None:
    assert (DEFAULTS._replace(window=2), ()) == config.load(str(path))


def test_arguments_are_applied_over_the_file(path: Path) -> None:
    assert DEFAULTS._replace(window=0) == config.load(str(path), [("window", "0")]).config


def test_a_problem_names_the_file_and_the_line(path: Path) -> None:
    path.write_bytes(b"window = 2\nwindow = x\n")
    problems = config.load(str(path)).problems
    assert f"{path}:2: window must be a whole number from 0 to 10; using the default 1" in problems


def test_absence_of_the_default_file_means_the_defaults_and_the_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "DEFAULT_PATH", str(tmp_path / "absent.conf"))
    loaded = config.load(config.DEFAULT_PATH, [("window", "0")])
    assert (DEFAULTS._replace(window=0), ()) == loaded


def test_a_file_that_was_named_and_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        config.load(str(tmp_path / "absent.conf"))
    assert str(tmp_path / "absent.conf") == caught.value.subject


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("exempt_groups", "# e.g. staff"),
        ("exempt_groups", "wheel # e.g. staff"),
        ("unenrolled", "skip # for now"),
        ("prompt", "Code: # the prompt"),
        ("window", "0 # strict"),
    ],
)
def test_a_comment_behind_a_value_is_no_part_of_it(key: str, value: str) -> None:
    loaded = config.parse(f"{key} = {value}".encode())
    assert DEFAULTS == loaded.config
    (problem,) = loaded.problems
    assert "comment" in problem


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666, 0o622])
def test_a_file_that_others_may_write_is_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(InsecureFile) as caught:
        config.load(str(path))
    assert (str(path), "is writable by others") == (caught.value.subject, caught.value.problem)
    assert f"run: chmod go-w {path}" == caught.value.hint


def test_a_link_is_refused(path: Path) -> None:
    link = path.with_name("link.conf")
    link.symlink_to(path)
    with pytest.raises(InsecureFile, match="is a symbolic link"):
        config.load(str(link))


def test_a_file_of_64_kib_is_read_and_a_larger_one_is_refused(path: Path) -> None:
    path.write_bytes(b"#" * 65535 + b"\n")
    assert DEFAULTS == config.load(str(path)).config
    path.write_bytes(b"#" * 65536 + b"\n")
    with pytest.raises(Unavailable, match="is larger than 65536 bytes"):
        config.load(str(path))


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(InsecureFile, match="is not a regular file"):
        config.load(str(tmp_path))
