"""How many logins of one user may wait at their prompts."""

from __future__ import annotations

from pam_totp.prompts import MAX_OF_ONE_NAME, Prompts


def filled(name: bytes) -> Prompts:
    prompts = Prompts()
    assert [True] * MAX_OF_ONE_NAME == [prompts.enter(name) for _ in range(MAX_OF_ONE_NAME)]
    return prompts


def test_one_user_has_so_many_places_and_no_more() -> None:
    assert not filled(b"bob").enter(b"bob")


def test_other_users_have_their_own() -> None:
    assert filled(b"bob").enter(b"carol")


def test_a_name_spelt_otherwise_has_no_places_of_its_own() -> None:
    assert not filled(b"bob").enter(b"BOB")


def test_a_place_that_is_left_is_free() -> None:
    prompts = filled(b"bob")
    prompts.leave(b"Bob")
    assert prompts.enter(b"bob")
    assert not prompts.enter(b"bob")


def test_nothing_is_kept_of_who_has_left() -> None:
    prompts = Prompts()
    assert prompts.enter(b"bob")
    prompts.leave(b"bob")
    assert {} == prompts._of
