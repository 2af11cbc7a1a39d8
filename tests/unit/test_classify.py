"""Rule 1: say what an answer is before anything is computed from it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pam_totp.verifier import CODE, MALFORMED, PASSWORD, RECOVERY_CODE, Answer, classify

SIX = frozenset((6,))
BOTH = frozenset((6, 8))
anything = st.text(st.characters())  # lone surrogates as well


@pytest.mark.parametrize(
    "text", ["123456", "123 456", " 123456", "123456 ", "1 2 3 4 5 6", "12   3456"]
)
def test_six_digits_with_spaces_between_are_a_code(text: str) -> None:
    assert Answer(CODE, "123456") == classify(text, None, SIX)


@pytest.mark.parametrize(
    ("text", "digit_counts", "kind"),
    [
        ("12345678", BOTH, CODE),
        ("1234 5678", BOTH, CODE),
        ("123456", BOTH, CODE),
        ("1234567", BOTH, MALFORMED),
        ("12345678", SIX, MALFORMED),
        ("123456", frozenset((8,)), MALFORMED),
        ("12345", SIX, MALFORMED),
        ("1234567", SIX, MALFORMED),
        ("123456", frozenset(), MALFORMED),
    ],
)
def test_a_code_has_the_length_of_an_authenticator_of_the_user(
    text: str, digit_counts: frozenset[int], kind: str
) -> None:
    assert kind == classify(text, None, digit_counts).kind


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\uff11\uff12\uff13\uff14\uff15\uff16",  # full-width digits
        "12345\uff16",
        "\u0661\u0662\u0663\u0664\u0665\u0666",  # Arabic-Indic digits
        "\u00b9\u00b2\u00b3\u2074\u2075\u2076",  # superscripts
        "12345\u00b2",
        "123\u00a0456",  # no-break space
        "123\u2009456",  # thin space
        "123\u200b456",  # zero-width space
        "\ufeff123456",
        "\ufffd",
        "12345\ud800",
        "123456\0",
        "\x00123456",
        "123\x00456",
        "123456\n",
        "123456\r\n",
        "123\t456",
        "123-456",
        "+12345",
        "-12345",
        "0x1234",
        "1e5000",
        "12_345",
        "12345a",
        "\b\n\r\177INCORRECT",
        "INCORRECT",
        "correct horse battery staple",
        "\x1b[2J123456",
        "123456; 123456",
    ],
)
def test_anything_else_is_malformed(text: str) -> None:
    assert Answer(MALFORMED) == classify(text, "secret", SIX)


@pytest.mark.parametrize(
    "text", ["1" * 2**20, " " * 2**20, "0123456789ABCDEF" * 2**16, "123456" + " " * 59]
)
def test_a_long_answer_is_malformed(text: str) -> None:
    assert Answer(MALFORMED) == classify(text, "secret", SIX)


@pytest.mark.parametrize("text", ["123456" + " " * 58, "-" * 48 + "0123456789ABCDEF"])
def test_an_answer_of_64_characters_is_still_read(text: str) -> None:
    assert MALFORMED != classify(text, None, SIX).kind


@pytest.mark.parametrize(
    "text",
    [
        "0123-4567-89AB-CDEF",
        "0123456789ABCDEF",
        "0123456789abcdef",
        "0123 4567 89ab cdef",
        "oi23-4567-89ab-cdef",
        "OL23-4567-89AB-CDEF",
        " 0123-4567-89AB-CDEF ",
    ],
)
def test_sixteen_characters_of_base32_are_a_recovery_code(text: str) -> None:
    assert Answer(RECOVERY_CODE, "0123456789ABCDEF") == classify(text, None, SIX)


def test_sixteen_digits_are_a_recovery_code() -> None:
    assert RECOVERY_CODE == classify("1234567890123456", None, BOTH).kind


def test_a_recovery_code_comes_without_a_digest() -> None:
    answer = classify("0123-4567-89AB-CDEF", None, SIX)
    assert (None, b"") == (answer.salt, answer.digest)


@pytest.mark.parametrize(
    "password",
    ["hunter2", "123456", "0123-4567-89AB-CDEF", "p\u00e4ssword", "x" * 100_000, "\udcff", " "],
)
def test_the_password_given_again_is_told_apart(password: str) -> None:
    assert Answer(PASSWORD) == classify(password, password, SIX)


@pytest.mark.parametrize("password", [None, "", "12345", "1234567", "123456 "])
def test_a_code_that_is_not_the_whole_password_is_a_code(password: str | None) -> None:
    assert Answer(CODE, "123456") == classify("123456", password, SIX)


def test_an_empty_answer_to_an_empty_password_is_malformed() -> None:
    assert Answer(MALFORMED) == classify("", "", SIX)


def test_an_answer_does_not_show_its_content() -> None:
    answer = Answer(RECOVERY_CODE, "0123456789ABCDEF", b"salt", b"digest")
    assert "<Answer recovery_code>" == repr(answer) == str(answer) == f"{answer}"


@given(anything, st.none() | anything, st.frozensets(st.sampled_from((6, 8))))
def test_classify_never_raises(text: str, password: str | None, digits: frozenset[int]) -> None:
    answer = classify(text, password, digits)
    assert answer.kind in (CODE, RECOVERY_CODE, MALFORMED, PASSWORD)


@given(anything)
def test_classify_finds_every_password(password: str) -> None:
    assert (PASSWORD if password else MALFORMED) == classify(password, password, SIX).kind


@given(
    st.text(st.characters(whitelist_categories=("Nd", "No", "Nl"), min_codepoint=128), min_size=1)
)
def test_digits_of_other_scripts_are_malformed(text: str) -> None:
    assert MALFORMED == classify("12345"[: 6 - len(text)] + text, None, BOTH).kind


@given(anything, st.frozensets(st.sampled_from((6, 8))))
def test_what_is_taken_for_a_code_is_ascii_digits_of_a_length_asked_for(
    text: str, digits: frozenset[int]
) -> None:
    answer = classify(text, None, digits)
    if answer.kind == CODE:
        assert answer.code.isascii()
        assert answer.code.isdigit()
        assert len(answer.code) in digits
    elif answer.kind == MALFORMED:
        assert "" == answer.code
