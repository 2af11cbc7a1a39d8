"""A full disk, and many people: none is denied for want of a block, as none needs a new one."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pam_totp.core.users import Authenticator, UserRecord
from pam_totp.login.flow import PAM_AUTH_ERR, PAM_SUCCESS
from tests.faults.conftest import disk_of
from tests.faults.fake_pam import Clock, log_in
from tests.faults.test_disk import fill
from tests.support import thorough
from tests.support.place import SECRET, Place

PEOPLE = 320
STRANGERS = 2500 if thorough.NIGHTLY else 400


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MiB. Needs root."""
    with disk_of("24m", tmp_path) as folder:
        yield folder


def enrol_one_by_one(place: Place) -> None:
    for number in range(PEOPLE):
        place.enrol(f"user{number}")


def enrol_in_one_run(place: Place) -> None:
    _enrol_all(place, administers=True)


def enrol_at_logins(place: Place) -> None:
    _enrol_all(place, administers=False)


def _enrol_all(place: Place, *, administers: bool) -> None:
    with place.open(administers=administers) as store:
        for number in range(PEOPLE):
            name = f"user{number}"
            new = Authenticator(os.urandom(16).hex(), "phone", SECRET)
            with store.transaction(name) as transaction:
                transaction.save(UserRecord(name, authenticators=(new,)))


@pytest.mark.root
@pytest.mark.parametrize(
    "enrol",
    [
        pytest.param(enrol_one_by_one, marks=pytest.mark.night),
        pytest.param(enrol_in_one_run, marks=pytest.mark.night),
        enrol_at_logins,
    ],
)
def test_nobody_is_denied_for_want_of_a_block_however_many_people_there_are(
    disk: Path, clock: Clock, enrol: Callable[[Place], None]
) -> None:
    """Every row becomes longer: by wrong codes, and at the first login."""
    place = Place(disk)
    enrol(place)
    fill(disk)
    strangers = Counter(
        log_in(place, clock.wrong_code(), f"stranger{number}") for number in range(STRANGERS)
    )
    wrong, right = Counter[int](), Counter[int]()
    for number in range(PEOPLE):
        user = f"user{number}"
        wrong.update(log_in(place, clock.wrong_code(), user) for _ in range(number % 4))
        right[log_in(place, clock.code(), user)] += 1
    assert {PAM_AUTH_ERR: STRANGERS} == strangers
    assert {PAM_AUTH_ERR: PEOPLE // 4 * 6} == wrong
    assert {PAM_SUCCESS: PEOPLE} == right
    with place.open() as store:
        assert [] == store.check()
