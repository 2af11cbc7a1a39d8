"""Remembered places in a fleet: each host's own, ended by whatever happens on any of them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pam_totp.core.remembering import ADDRESS, AT_MOST, Remembered, Wish
from pam_totp.core.users import UserRecord
from pam_totp.core.verifier import ACCEPTED, REJECTED
from tests.fleet.asking import Host, insert, stored
from tests.fleet.reporting import Reporter, allow, code_of, enroll
from tests.support.each import each
from tests.support.place import SECRET
from tests.support.postgres import Database
from tests.unit.alice import ALICE

NOW = 1_800_000_000
STEP = NOW // 30
HOME = (ADDRESS, "192.0.2.7")
WISH = Wish("sshd", (HOME,), 3600, "20000.0a1b2c3d")
OF_ALL_HOSTS = 128


@pytest.fixture
def hosts(database: Database) -> Iterator[tuple[Host, Host]]:
    database.stop_clock(NOW)
    made = Host(database, "a"), Host(database, "b")
    yield made
    for host in made:
        host.close()


def holder(**fields: Any) -> UserRecord:
    phone = ALICE.authenticators[0]._replace(secret=SECRET, last_accepted_step=-1)
    return ALICE._replace(authenticators=(phone,), **fields)


def told(host: Host) -> list[dict[str, Any]]:
    row = host.connection.execute(
        "CALL totp.admission(%s, %s, 'alice', '', NULL)", (host.name, host.key)
    ).fetchone()
    assert row is not None
    remembered: list[dict[str, Any]] = row[0]["remembered"]
    return remembered


def test_a_place_is_that_of_the_host_where_the_code_was_right(
    database: Database, hosts: tuple[Host, Host]
) -> None:
    with database.connect() as owner:
        insert(owner, [holder()])
        a, b = hosts
        assert ACCEPTED == a.verify("alice", code_of(STEP), remember=WISH).outcome
        assert [HOME] == [(one["kind"], one["place"]) for one in told(a)]
        assert "host" not in told(a)[0]
        assert [] == told(b)
        assert ACCEPTED == b.verify("alice", code_of(STEP + 1), remember=WISH).outcome
        assert ["a", "b"] == [one.host for one in stored(owner, "alice").remembered]


def test_a_wrong_code_on_one_host_ends_those_of_all(
    database: Database, hosts: tuple[Host, Host]
) -> None:
    with database.connect() as owner:
        insert(owner, [holder()])
        a, b = hosts
        a.verify("alice", code_of(STEP), remember=WISH)
        assert REJECTED == b.verify("alice", "000000").outcome
        assert [] == told(a)


def test_one_host_pushes_out_its_own_places_alone_until_there_are_very_many(
    database: Database, hosts: tuple[Host, Host]
) -> None:
    def of(host: str, count: int) -> tuple[Remembered, ...]:
        return tuple(
            Remembered("sshd", ADDRESS, f"{host}{n}", NOW, NOW + 60, "-", host)
            for n in range(count)
        )

    with database.connect() as owner:
        insert(owner, [holder(remembered=(*of("b", 3), *of("a", AT_MOST)))])
        hosts[0].verify("alice", code_of(STEP), remember=WISH)
        kept = stored(owner, "alice").remembered
        assert ["b0", "b1", "b2", "a1"] == [one.place for one in kept[:4]]
        assert (3 + AT_MOST, "192.0.2.7") == (len(kept), kept[-1].place)
        many = tuple(one for n in range(16) for one in of(f"h{n}-", 8))
        owner.execute("DELETE FROM totp.users")
        insert(owner, [holder(remembered=many)])
        hosts[0].verify("alice", code_of(STEP), remember=WISH)
        kept = stored(owner, "alice").remembered
        assert (OF_ALL_HOSTS, "h0-1") == (len(kept), kept[0].place)


def test_a_host_of_another_group_hears_nothing(database: Database) -> None:
    host = Host(database, "a", groups="{web}")
    entry = Remembered("sshd", *HOME, NOW, NOW + 60, "-", "a")
    with database.connect() as owner:
        insert(owner, [holder(remembered=(entry,))])
        owner.execute("UPDATE totp.users SET groups = '{web}'")
        assert 1 == len(told(host))
        owner.execute("UPDATE totp.users SET groups = '{mail}'")
        assert [] == told(host)
    host.close()


def test_a_wrong_code_that_was_judged_offline_ends_all(database: Database) -> None:
    allow(database, 4)
    reporter, step = Reporter(database, "a"), int(time.time()) // 30
    enroll(database, "alice")
    assert "accepted" == reporter.verify("alice", code_of(step))
    reporter.codes_ahead("alice")
    entry = f"('sshd', 'address', '192.0.2.7', {step * 30}, {step * 30 + 3600}, '-', 'a')"
    database.execute(f"UPDATE totp.users SET remembered = ARRAY[ROW{entry}::totp.remembered]")
    reported = {"number": 1, "user": "alice", "outcome": "rejected", "at": int(time.time())}
    reporter.report({**reported, "used": [], "service": "sshd", "rhost": "192.0.2.1"})
    ((count, untold),) = database.execute("SELECT cardinality(remembered), untold FROM totp.users")
    assert (0, 1) == (count, untold)


@each(
    "wish",
    [
        None, 5, "x", [], {}, {"seconds": 60}, WISH._replace(seconds=86_401)._asdict(),
        WISH._replace(seconds=2**70)._asdict(), {**WISH._asdict(), "seconds": "60"},
        {**WISH._asdict(), "seconds": None}, {**WISH._asdict(), "notes": {"address": "x"}},
        {**WISH._asdict(), "notes": ["x", None, {}, 5, [], ["address"], ["address", ""]]},
        {**WISH._asdict(), "notes": [["caller", "x"]]}, {**WISH._asdict(), "service": None},
        {**WISH._asdict(), "password": None}, {**WISH._asdict(), "service": "x" * 2048},
    ],
    ids=str,
)  # fmt: skip
def test_what_no_release_asks_for_is_not_remembered_and_costs_no_login(
    database: Database, hosts: tuple[Host, Host], wish: object
) -> None:
    a, _ = hosts
    database.empty()
    with database.connect() as owner:
        insert(owner, [holder()])
        row = a.connection.execute(
            "CALL totp.verify(%s, %s, %s, 'alice', %s, NULL, NULL, false, 1, 'sshd', '', '', %s, "
            "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
            (a.name, a.key, os.urandom(16), code_of(STEP), json.dumps(wish)),
        ).fetchone()
        assert row is not None
        assert ACCEPTED == row[0]
        assert () == stored(owner, "alice").remembered
