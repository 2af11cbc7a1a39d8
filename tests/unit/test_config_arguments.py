"""The arguments of a PAM line, and whatever else may come."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pam_totp.system import config_values
from pam_totp.system.config import Arguments, Config, parse, parse_arguments
from tests.support.each import each
from tests.unit.configurations import BAD, DEFAULTS, GOOD

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
        st.sampled_from(
            ("nullok", "debug", "config=", "config=/x", "first_factor=key", "echo", "one_prompt")
        ),
        st.tuples(st.sampled_from(Config._fields), st.text(st.characters(), max_size=20)).map(
            "=".join
        ),
    ),
    max_size=8,
)


def test_no_arguments_mean_the_defaults() -> None:
    assert Arguments((), "/etc/security/pam_totp.conf", False, "", ()) == parse_arguments([])


def test_nullok_means_that_the_unenrolled_are_skipped() -> None:
    assert Arguments(settings=(("unenrolled", "skip"),)) == parse_arguments(["nullok"])


def test_debug_config_and_first_factor_are_taken() -> None:
    for first_factor in ("key", "password"):
        expected = Arguments(path="/srv/x.conf", debug=True, first_factor=first_factor)
        argument = f"first_factor={first_factor}"
        assert expected == parse_arguments(["debug", "config=/srv/x.conf", argument])


def test_one_prompt_counts_beside_the_first_factor_that_it_is_about() -> None:
    both = parse_arguments(["first_factor=password", "one_prompt"])
    assert ((("one_prompt", "yes"),), ()) == (both.settings, both.problems)
    for argv in (["one_prompt"], ["one_prompt=yes", "first_factor=key"]):
        (problem,) = parse_arguments(argv).problems
        assert "PAM argument: one_prompt counts only beside first_factor=password" == problem
    assert () == parse_arguments(["one_prompt=no"]).problems


@pytest.mark.parametrize("key", ["echo", "quiet"])
def test_a_switch_may_stand_without_a_value(key: str) -> None:
    assert Arguments(settings=((key, "yes"),)) == parse_arguments([key])


def test_a_value_may_contain_an_equals_sign() -> None:
    assert Arguments(settings=(("prompt", "a=b"),)) == parse_arguments(["prompt=a=b"])


@each(
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
        "first_factor=passwords",
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
    expected = Arguments(problems=("PAM argument: unprivileged is allowed only in pam_totp.conf",))
    assert expected == parse_arguments([argument])


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/srv/x.db", ("sqlite", "/srv/x.db")),
        ("sqlite:/srv/x.db", ("sqlite", "/srv/x.db")),
        ("/srv/a:b", ("sqlite", "/srv/a:b")),
        ("sqlite:/srv/a:b", ("sqlite", "/srv/a:b")),
        ("postgresql://db1,db2/totp", ("postgresql", "//db1,db2/totp")),
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
