"""Password and code in one answer: where they meet."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from pam_totp.core import otp, recovery
from pam_totp.core.one_answer import split
from pam_totp.core.verifier import CODE, RECOVERY_CODE, classify
from tests.support.each import each
from tests.support.place import ROOT

VECTORS = json.loads((ROOT / "tests" / "vectors" / "one_answer.json").read_text("utf-8"))["answers"]
DIGITS = frozenset(otp.DIGITS)
lengths = st.sets(st.sampled_from(otp.DIGITS), min_size=1)
passwords = st.text(st.characters(blacklist_characters="\0"), max_size=40)


@each("vector", VECTORS, ids=lambda vector: repr(vector["answer"][:40]))
def test_an_answer_is_split_where_the_vectors_say(vector: dict[str, object]) -> None:
    expected = None if vector["code"] is None else (vector["password"], vector["code"])
    assert expected == split(str(vector["answer"]), vector["digits"])  # type: ignore[arg-type]


@given(passwords, st.integers(0, 10**6 - 1))
def test_whatever_the_password_is_a_code_of_the_only_length_is_found(
    password: str, number: int
) -> None:
    """A password that ends in a space needs another one before the code."""
    code = f"{number:06d}"
    assert (password, code) == split(f"{password} {code}", (6,))
    if not password.endswith(" "):
        assert (password, code) == split(password + code, (6,))


@given(passwords, lengths, st.data())
def test_a_space_before_the_code_says_where_it_begins(
    password: str, digits: set[int], data: st.DataObject
) -> None:
    length = data.draw(st.sampled_from(sorted(digits)))
    code = data.draw(st.text("0123456789", min_size=length, max_size=length))
    assert (password, code) == split(f"{password} {code}", digits)


@given(passwords, lengths, st.binary(min_size=10, max_size=10))
def test_a_recovery_code_is_found_as_it_was_shown(
    password: str, digits: set[int], random_bytes: bytes
) -> None:
    code = recovery.format_code(random_bytes)
    for written in (code, code.lower()):
        assert (password, written) == split(f"{password} {written}", digits)


@given(st.text(st.characters(blacklist_characters="\0")), st.sets(st.sampled_from(otp.DIGITS)))
def test_what_is_found_is_a_code_and_the_rest_is_all_before_it(text: str, digits: set[int]) -> None:
    found = split(text, digits)
    if found is not None:
        password, code = found
        assert text in (password + code, f"{password} {code}")
        assert classify(code, DIGITS).kind in (CODE, RECOVERY_CODE)
