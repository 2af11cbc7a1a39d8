"""Who has waited too long."""

from __future__ import annotations

from pam_totp.service.deadlines import Deadlines


def test_nobody_waits_at_first() -> None:
    nobody: Deadlines[str] = Deadlines()
    assert (None, []) == (nobody.next(), list(nobody.expired(10.0**9)))


def test_each_is_over_at_its_time_and_once() -> None:
    waits: Deadlines[str] = Deadlines()
    waits.add("long", 600.0, 100.0)
    waits.add("short", 2.0, 101.0)
    waits.add("later", 2.0, 102.0)
    assert 103.0 == waits.next()
    assert [] == list(waits.expired(102.999))
    assert ["short"] == list(waits.expired(103.0))
    assert ["later"] == list(waits.expired(699.0))
    assert 700.0 == waits.next()
    assert ["long"] == list(waits.expired(701.0))
    assert (None, []) == (waits.next(), list(waits.expired(10.0**9)))


def test_whoever_is_taken_back_waits_no_longer() -> None:
    waits: Deadlines[str] = Deadlines()
    for name in ("first", "second", "third"):
        waits.add(name, 2.0, 100.0)
    for name in ("first", "second", "first", "nobody"):
        waits.remove(name, 2.0)
    waits.remove("third", 600.0)  # that is not where it waits
    assert ["third"] == list(waits.expired(102.0))


def test_whoever_waits_anew_waits_its_whole_time() -> None:
    waits: Deadlines[str] = Deadlines()
    waits.add("again", 2.0, 100.0)
    waits.add("other", 2.0, 100.5)
    waits.remove("again", 2.0)
    waits.add("again", 2.0, 101.0)
    assert ["other"] == list(waits.expired(102.9))
    assert ["again"] == list(waits.expired(103.0))


def test_thousands_cost_no_more_than_one() -> None:
    """As often as anybody looks, nobody looks at those whose time has not come."""
    waits: Deadlines[Looked] = Deadlines()
    for _ in range(1000):
        waits.add(Looked(), 600.0, 100.0)
    Looked.looks = 0
    list(waits.expired(200.0))
    waits.next()
    assert Looked.looks < 10


class Looked:
    looks = 0

    def __hash__(self) -> int:
        Looked.looks += 1
        return id(self)
