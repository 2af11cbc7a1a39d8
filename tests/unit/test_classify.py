"""Say what an answer is before anything is computed from it."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pam_totp.core.recovery import ALPHABET
from pam_totp.core.verifier import (
    CODE,
    MALFORMED,
    RECOVERY_CODE,
    Answer,
    classify,
    is_password,
)
from tests.support.each import each

SIX = frozenset((6,))
BOTH = frozenset((6, 8))
anything = st.text(st.characters())  # lone surrogates as well


@each("text", ["123456", "123 456", " 123456", "123456 ", "1 2 3 4 5 6", "12   3456"])
def test_six_digits_with_spaces_between_are_a_code(text: str) -> None:
    assert Answer(CODE, "123456") == classify(text, SIX)


@each(
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
    assert kind == classify(text, digit_counts).kind


@each(
    "text",
    [
        "",
        " ",
        "\u0661\u0662\u0663\u0664\u0665\u0666",  # Arabic-Indic digits
        "12345\u0666",
        "123\u2013456",  # a code has no dash, of Unicode or not
        "\u221212345",
        "12345\u00bd",  # one half, folded to three characters
        "\ufdfa" * 4,  # 18 characters each, folded
        "123456\ufe0e",  # a variation selector: no character of any code
        "12345\u0456",  # Cyrillic
        "\ufffd",
        "12345\ud800",
        "123456\0",
        "\x00123456",
        "123\x00456",
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
    assert Answer(MALFORMED) == classify(text, SIX)


@pytest.mark.parametrize(
    "text", ["1" * 2**20, " " * 2**20, "0123456789ABCDEF" * 2**16, "123456" + " " * 59]
)
def test_a_long_answer_is_malformed(text: str) -> None:
    assert Answer(MALFORMED) == classify(text, SIX)


@pytest.mark.parametrize("text", ["123456" + " " * 58, "-" * 48 + "0123456789ABCDEF"])
def test_an_answer_of_64_characters_is_still_read(text: str) -> None:
    assert MALFORMED != classify(text, SIX).kind


@each(
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
    assert Answer(RECOVERY_CODE, "0123456789ABCDEF") == classify(text, SIX)


# Pasted

DASHES = "-\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2043\ufe58\ufe63\uff0d"
SPACES = " \t\r\n\v\f\x85\u00a0\u1680\u2000\u2003\u2007\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
INVISIBLE = "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202c\u2060\u2066\u2069\ufeff"
between_digits = st.text(SPACES + INVISIBLE, max_size=2)
between_characters = st.text(SPACES + INVISIBLE + DASHES, max_size=2)


def wide(character: str) -> str:
    """Return the full-width form, as East Asian keyboards and PDF files have it."""
    return chr(ord(character) + 0xFEE0)


@given(st.text("0123456789", min_size=6, max_size=6), st.data())
def test_a_code_is_understood_however_it_was_pasted(code: str, data: st.DataObject) -> None:
    pasted = data.draw(between_digits)
    for digit in code:
        pasted += data.draw(st.sampled_from((digit, wide(digit)))) + data.draw(between_digits)
    assert Answer(CODE, code) == classify(pasted, SIX)


@given(st.text(ALPHABET, min_size=16, max_size=16), st.data())
def test_a_recovery_code_is_understood_however_it_was_pasted(
    code: str, data: st.DataObject
) -> None:
    pasted = data.draw(between_characters)
    for character in code:
        forms = (character, character.lower(), wide(character), wide(character.lower()))
        pasted += data.draw(st.sampled_from(forms)) + data.draw(between_characters)
    if len(pasted) <= 64:
        assert Answer(RECOVERY_CODE, code) == classify(pasted, SIX)
    else:
        assert Answer(MALFORMED) == classify(pasted, SIX)


@given(anything)
def test_what_is_understood_was_written_in_its_own_characters(text: str) -> None:
    """Nothing is guessed: each digit and letter of the answer is there, in one form or another."""
    answer = classify(text, BOTH)
    folded = unicodedata.normalize("NFKC", text).upper()
    if answer.kind == CODE:
        assert answer.code == "".join(c for c in folded if c.isascii() and c.isdigit())
    elif answer.kind == RECOVERY_CODE:
        assert len(answer.code) == sum(c.isascii() and c.isalnum() for c in folded)
    else:
        assert "" == answer.code


@given(st.text(st.characters(max_codepoint=127)))
def test_an_answer_in_ascii_needs_no_table_of_unicode(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "pam_totp.core.pasted", None)  # to import it is an error
        classify(text, BOTH)


def test_the_password_is_compared_as_it_was_typed() -> None:
    assert not is_password("\uff11\uff12\uff13456", "123456")
    assert is_password("\uff11\uff12\uff13456", "\uff11\uff12\uff13456")


def test_sixteen_digits_are_a_recovery_code() -> None:
    assert RECOVERY_CODE == classify("1234567890123456", BOTH).kind


def test_a_recovery_code_comes_without_a_digest() -> None:
    answer = classify("0123-4567-89AB-CDEF", SIX)
    assert (None, b"") == (answer.salt, answer.digest)


@each(
    "password",
    ["hunter2", "123456", "0123-4567-89AB-CDEF", "p\u00e4ssword", "x" * 100_000, "\udcff", " "],
)
def test_the_password_given_again_is_told_apart(password: str) -> None:
    assert is_password(password, password)


@pytest.mark.parametrize("password", ["", "12345", "1234567", "123456 "])
def test_a_code_that_is_not_the_whole_password_is_none(password: str) -> None:
    assert not is_password("123456", password)


def test_an_empty_answer_is_malformed() -> None:
    assert Answer(MALFORMED) == classify("", SIX)


def test_an_answer_does_not_show_its_content() -> None:
    answer = Answer(RECOVERY_CODE, "0123456789ABCDEF", b"salt", b"digest")
    assert "<Answer recovery_code>" == repr(answer) == str(answer) == f"{answer}"


@given(anything, st.frozensets(st.sampled_from((6, 8))))
def test_classify_never_raises(text: str, digits: frozenset[int]) -> None:
    assert classify(text, digits).kind in (CODE, RECOVERY_CODE, MALFORMED)


@given(anything, anything)
def test_a_text_is_the_password_if_they_are_equal(text: str, password: str) -> None:
    assert is_password(password, password)
    assert (text == password) == is_password(text, password)


@given(
    st.text(st.characters(whitelist_categories=("Nd", "No", "Nl"), min_codepoint=128), min_size=1)
)
def test_digits_of_other_scripts_are_malformed(text: str) -> None:
    assume(not unicodedata.normalize("NFKC", text).isascii())
    assert MALFORMED == classify("12345"[: 6 - len(text)] + text, BOTH).kind


@given(anything, st.frozensets(st.sampled_from((6, 8))))
def test_what_is_taken_for_a_code_is_ascii_digits_of_a_length_asked_for(
    text: str, digits: frozenset[int]
) -> None:
    answer = classify(text, digits)
    if answer.kind == CODE:
        assert answer.code.isascii()
        assert answer.code.isdigit()
        assert len(answer.code) in digits
    elif answer.kind == MALFORMED:
        assert "" == answer.code
