"""Ways to damage a store, a key and a configuration."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

from pam_totp.login.flow import PAM_SUCCESS
from tests.faults.fake_pam import Clock, log_in
from tests.support.place import Place

News = Callable[[], list[str]]
Damage = Callable[[Path], object]
PAGE, SECTOR = 4096, 512


def noise(length: int) -> bytes:
    return random.Random(length).randbytes(length)


def sql(*statements: str) -> Damage:
    def damage(path: Path) -> None:
        connection = sqlite3.connect(path, isolation_level=None)
        for statement in statements:
            connection.execute(statement)
        connection.close()

    return damage


def alices_place(folder: Path, clock: Clock) -> Place:
    """Alice, who has logged in once."""
    folder.mkdir()
    place = Place(folder)
    place.enrol("alice")
    assert PAM_SUCCESS == log_in(place, clock.code())
    clock.now += 30
    return place
