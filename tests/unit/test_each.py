"""Many cases in one test: none is left out because another fails, and each that fails is named."""

from __future__ import annotations

import pytest

from tests.support.each import each


def test_cases_after_one_that_fails_are_tried_and_each_that_fails_is_named() -> None:
    tried = []

    @each("number", range(5))
    @each(("letter", "even"), [pytest.param("a", True), ("b", False)])
    def check(number: int, letter: str, even: bool) -> None:
        tried.append((number, letter))
        if number == 3 and letter == "a":
            pytest.fail("three")
        assert even == (number % 2 == 0) or number in (1, 2, 3)

    with pytest.raises(BaseExceptionGroup) as failed:
        check()
    assert [(number, letter) for number in range(5) for letter in "ab"] == tried
    notes = [failure.__notes__ for failure in failed.value.exceptions]
    assert [["case 0: (0,)"], ["case 3: (3,)"], ["case 4: (4,)"]] == notes
    (three,) = failed.value.exceptions[1].exceptions
    assert ["case 0: ('a', True)"] == three.__notes__


def test_nothing_to_try_is_refused() -> None:
    with pytest.raises(AssertionError):
        each("number", [])


@each("number", [1, 2])
@pytest.mark.parametrize("letter", ["a", "b"])
def test_fixtures_and_other_parameters_are_given_as_ever(
    number: int, letter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert number in (1, 2)
    assert letter in ("a", "b")
    assert isinstance(monkeypatch, pytest.MonkeyPatch)


class TestOfAClass:
    @each("number", [1, 2], ids=["one", "two"])
    def test_it_is_given_its_object(self, number: int) -> None:
        assert isinstance(self, TestOfAClass)
        assert number in (1, 2)
