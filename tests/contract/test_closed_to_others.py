"""A store that others may read: who can open its file can hold a lock on it, and deny logins."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pam_totp.store.sqlite import names
from tests.support.place import Place


def modes(place: Place) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in place.store_path.parent.iterdir()}


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_each_file_of_it_is_closed_to_others_when_it_is_opened(place: Place, suffix: str) -> None:
    with place.open() as first:
        assert [] == first.check()
        Path(f"{place.store_path}{suffix}").chmod(0o644)
        with place.open() as second:
            assert [] == second.check()
            assert {0o600} == set(modes(place).values())


def test_where_that_cannot_be_done_it_is_opened_all_the_same(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    place.store_path.chmod(0o644)
    monkeypatch.setattr(os, "chmod", refuse)
    with place.open() as opened:
        assert [] == opened.check()


def test_reading_names_leaves_it_as_it_is(place: Place) -> None:
    place.store_path.chmod(0o644)
    assert [] == names.people(str(place.store_path))
    assert 0o644 == modes(place)["store.db"]
