"""Sealing anew while others have read the key, or have the store open; decoys outlast the key."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pam_totp import store
from pam_totp.core.users import Authenticator, UserRecord
from pam_totp.store.sealing import Sealer, new_sealer
from pam_totp.system.errors import SealingError
from tests.contract.backend import SHARED
from tests.support import thorough
from tests.support.place import Place
from tests.support.rotating import (
    PEOPLE,
    envelopes,
    keep_both,
    reseal,
    rotate,
    secrets,
)

pytestmark = pytest.mark.usefixtures("connections")


# Decoys


def test_decoys_outlast_the_key(people: Place) -> None:
    """Else an unknown user's wrong codes were forgotten, and a known user's were not."""
    with people.open() as opened:
        with opened.decoy_transaction("mallory") as transaction:
            transaction.save(transaction.record._replace(failures=4, throttled_until=99))
        before = opened.admission("mallory").decoy
    for _ in range(2):
        rotate(people)
        with people.open() as opened:
            assert before == opened.admission("mallory").decoy


def test_stores_with_the_same_key_have_decoys_of_their_own(people: Place) -> None:
    path = people.folder / "other" / "store.db"
    store.create_store(str(path), people.sealer())
    with people.open() as opened, store.open_store(str(path), people.sealer()) as other:
        assert opened.admission("mallory").decoy != other.admission("mallory").decoy


# Who had read the key before


def whole_rotation(place: Place) -> None:
    rotate(place)


def two_rotations(place: Place) -> None:
    rotate(place)
    rotate(place)


STEPS = (keep_both, reseal, whole_rotation, two_rotations)


@pytest.mark.parametrize("step", STEPS)
def test_who_has_read_the_key_before_opens_the_store_after(
    people: Place, step: Callable[[Place], object]
) -> None:
    sealer = people.sealer()
    step(people)
    with store.open_store(str(people.store_path), sealer) as opened:
        assert [] == opened.check()
        with opened.transaction("user3") as transaction:
            assert transaction.record is not None
            assert PEOPLE["user3"] == transaction.record.authenticators[0].secret


@pytest.mark.parametrize("step", STEPS)
def test_who_has_opened_the_store_before_reads_and_writes_after(
    people: Place, step: Callable[[Place], object]
) -> None:
    with people.open() as opened:
        decoy = opened.admission("mallory").decoy
        step(people)
        assert decoy == opened.admission("mallory").decoy
        with opened.transaction("user3") as transaction:
            assert transaction.record is not None
            assert PEOPLE["user3"] == transaction.record.authenticators[0].secret
            transaction.save(transaction.record._replace(failures=2))
        new = Authenticator(os.urandom(16).hex(), "phone", b"of a racing enrolment")
        with opened.transaction("racer") as transaction:
            transaction.save(UserRecord("racer", authenticators=(new,)))
    assert 2 == people.record("user3").failures
    rotate(people)
    assert {b"of a racing enrolment"} == secrets(people)["racer"]


def test_an_enrolment_inside_the_two_keys_is_sealed_with_what_the_store_names(
    people: Place,
) -> None:
    """In either order of key file and store: whoever has opened it before, or after."""
    old, new = people.sealer(), keep_both(people)
    people.enrol("early", b"e" * 20)
    with people.open() as opened:
        opened.reseal(new)
    people.enrol("late", b"l" * 20)
    with store.open_store(str(people.store_path), old) as opened:
        record = UserRecord("stale", authenticators=(Authenticator("s" * 32, "phone", b"s" * 20),))
        with opened.transaction("stale") as transaction:
            transaction.save(record)
    assert {new.key_id} == {envelope[1:5] for envelope in envelopes(people).values()}
    people.key_path.write_bytes(new.key_file())
    found = secrets(people)
    assert [{b"e" * 20}, {b"l" * 20}, {b"s" * 20}] == [found[n] for n in ("early", "late", "stale")]


def test_a_key_that_was_never_the_store_s_is_refused_however_it_changes(
    people: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []

    def read(path: str) -> Sealer:
        reads.append(path)
        return new_sealer(path)

    monkeypatch.setattr("pam_totp.store.sealing.read_sealer", read)
    with pytest.raises(SealingError, match="is sealed with another"):
        store.open_store(str(people.store_path), new_sealer(str(people.key_path)))
    assert 0 < len(reads) < 10


# Any order of steps


@given(st.lists(st.sampled_from(["keep both", "reseal", "finish", "enrol"]), max_size=12))
@settings(max_examples=thorough.examples(8), deadline=None, suppress_health_check=SHARED)
def test_after_any_steps_in_any_order_every_secret_opens(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    place, expected = Place(tmp_path_factory.mktemp("any")), {}
    for number, step in enumerate(steps):
        if step == "keep both":
            keep_both(place)
        elif step == "reseal":
            reseal(place)
        elif step == "finish":
            rotate(place)
        else:
            secret = bytes([number]) * 20
            place.enrol(f"user{number}", secret)
            expected[f"user{number}"] = {secret}
        assert expected == secrets(place)
