from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pam_totp.core import recovery
from tests.support.each import each

SALT = bytes(range(16))
random_bytes = st.binary(min_size=recovery.RANDOM_BYTES, max_size=recovery.RANDOM_BYTES)


@pytest.fixture
def quick_digests() -> None:
    """Not here: digests are those of every login."""


def test_the_alphabet_is_crockford_base32() -> None:
    assert "0123456789ABCDEFGHJKMNPQRSTVWXYZ" == recovery.ALPHABET


def test_a_code_carries_eighty_bits() -> None:
    assert 10 == recovery.RANDOM_BYTES
    assert 10 == recovery.CODES_IN_A_SET


@each(
    ("number", "code"),
    [
        (0, "0000-0000-0000-0000"),
        (1, "0000-0000-0000-0001"),
        (31, "0000-0000-0000-000Z"),
        (32, "0000-0000-0000-0010"),
        (2**79, "G000-0000-0000-0000"),
        (2**80 - 1, "ZZZZ-ZZZZ-ZZZZ-ZZZZ"),
        (int("0123456789abcdef0123", 16), "04HM-ASW9-NF6Y-Y093"),
    ],
)
def test_random_bytes_are_written_in_four_groups(number: int, code: str) -> None:
    assert code == recovery.format_code(number.to_bytes(10, "big"))


@pytest.mark.parametrize("length", [0, 9, 11, 16])
def test_another_number_of_random_bytes_is_an_error(length: int) -> None:
    with pytest.raises(ValueError, match=f"takes 10 bytes, not {length}"):
        recovery.format_code(bytes(length))


@given(random_bytes)
def test_no_bit_of_the_random_bytes_is_lost(content: bytes) -> None:
    characters = recovery.format_code(content).replace("-", "")
    number = 0
    for character in characters:
        number = 32 * number + recovery.ALPHABET.index(character)
    assert content == number.to_bytes(10, "big")


@given(random_bytes, st.data())
def test_normalise_undoes_the_ways_in_which_people_type(
    content: bytes, data: st.DataObject
) -> None:
    code = recovery.format_code(content)
    spellings = {"0": "0oO", "1": "1iIlL"}
    typed = "".join(
        data.draw(st.sampled_from(spellings.get(c, c + c.lower())))
        + data.draw(st.sampled_from(["", " ", "-", "- "]))
        for c in code.replace("-", "")
    )
    assert code.replace("-", "") == recovery.normalise(typed)


@each("mistyped", ["O", "o", "I", "i", "L", "l"])
def test_look_alike_letters_are_read_as_digits(mistyped: str) -> None:
    meant = "0" if mistyped in "Oo" else "1"
    assert meant + "234567890ABCDEF" == recovery.normalise(mistyped + "234-5678-90AB-CDEF")


@each(
    "text",
    [
        "",
        "123456789ABCDEF",  # 15
        "0123456789ABCDEFG",  # 17
        "U123456789ABCDEF",  # U is not in the alphabet
        "0123456789ABCDE\n",
        "0123456789ABCDE\0",
        "0123456789ABCDE=",
        "0123_4567_89AB_CDE",
        "\uff10123456789ABCDEF",  # full-width 0
        "\u0660123456789ABCDEF",  # Arabic-Indic 0
        "\u0131123456789ABCDEF",  # dotless i, whose upper case is I
        "\u212a123456789ABCDEF",  # the Kelvin sign, whose lower case is k
        "\ud800123456789ABCDEF",
        "0123\u20104567\u201089AB\u2010CDEF",  # hyphens of Unicode
    ],
)
def test_what_is_no_recovery_code_is_none(text: str) -> None:
    assert recovery.normalise(text) is None


@given(st.text(st.characters(), max_size=40))
def test_normalise_returns_sixteen_characters_of_the_alphabet_or_none(text: str) -> None:
    code = recovery.normalise(text)
    assert code is None or (len(code) == 16 and set(code) <= set(recovery.ALPHABET))


def test_the_digest_is_the_one_of_the_reference_implementation_of_argon2id() -> None:
    """From argon2-cffi: two passes over 19456 KiB, one lane, 32 bytes."""
    expected = "1e98eaeacc79c527b841740a85cb8efdab8aa2da59a32064bb35d7437a74098b"
    assert expected == recovery.digest("0123456789ABCDEF", SALT).hex()


def test_the_digest_depends_on_code_and_salt_alone() -> None:
    digests = [
        recovery.digest("0123456789ABCDEF", SALT),
        recovery.digest("0123456789ABCDEG", SALT),
        recovery.digest("0123456789ABCDEF", bytes(16)),
    ]
    assert 3 == len(set(digests))
    assert digests[0] == recovery.digest("0123456789ABCDEF", SALT)


def test_a_match_returns_the_stored_digest() -> None:
    known = [bytes([n]) * 32 for n in range(10)]
    assert known[7] == recovery.match(bytes([7]) * 32, known)


def test_nothing_matches_a_digest_that_is_not_there() -> None:
    assert recovery.match(b"x" * 32, [b"y" * 32]) is None
    assert recovery.match(b"x" * 32, []) is None


@each("changed", range(32))
def test_a_digest_that_differs_in_one_byte_does_not_match(changed: int) -> None:
    digest = bytearray(32)
    digest[changed] = 1
    assert recovery.match(bytes(digest), [bytes(32)]) is None


def test_every_stored_digest_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def watched(left: bytes, right: bytes) -> bool:
        compared.append(left)
        return left == right

    monkeypatch.setattr(recovery, "compare_digest", watched)
    known = [bytes([n]) * 32 for n in range(10)]
    recovery.match(known[0], known)
    assert known == compared
