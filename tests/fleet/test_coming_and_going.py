"""Hosts that lose the database and find it again, while others ask about the same people."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from pam_totp.core import verifier
from pam_totp.core.verifier import Answer, Policy
from pam_totp.store import LoginAttempt, sealing
from pam_totp.store.postgresql.client import Client
from pam_totp.store.postgresql.host_store import HostStore
from pam_totp.store.postgresql.kept_kit import KeptKit
from pam_totp.store.postgresql.offline import OfflineStore
from pam_totp.system.errors import StoreBusy, StoreUnreachable
from tests.fleet.hosts import SOURCE, identity_of, url_of
from tests.fleet.outage import UNREACHABLE
from tests.fleet.reporting import allow, code_of, enroll
from tests.support import thorough
from tests.support.place import wrong_code
from tests.support.postgres import ADMIN_KEY, Database

pytestmark = pytest.mark.usefixtures("nothing_left")

SECONDS = 60 if thorough.NIGHTLY else 4
HOSTS = ("a", "b", "c")
THREADS = 2  # of a host
RIGHT = 0.95  # of the codes
PEOPLE = tuple(f"user{number:02}" for number in range(20))


class Accepted(NamedTuple):
    """One acceptance, from ``begun`` to ``ended``, by time.monotonic()."""

    user: str
    step: int
    host: str
    is_offline: bool
    begun: float
    ended: float


class Member:
    """A host whose network comes and goes."""

    def __init__(self, database: Database, folder: Path, name: str) -> None:
        self.name = name
        self.accepted: list[Accepted] = []
        self.reported: list[tuple[float, int]] = []  # when, and how many of ``accepted`` with it
        self.failed: Counter[str] = Counter()
        folder.mkdir()
        (folder / "store").mkdir(mode=0o700)
        key = folder / "key"
        key.touch(mode=0o600)
        key.write_bytes(sealing.generate_key_file())
        self._is_away = False
        self._lock = threading.Lock()
        self._kit = KeptKit(str(folder / "store" / "offline.db"), str(key), may_answer=True)
        self._client = Client(url_of(database), identity_of(database, folder, name))

    def log_in(self, user: str, step: int) -> None:
        """Give a code that is right, or now and then one that is not."""
        answer = Answer(verifier.CODE, code_of(step) if random.random() < RIGHT else wrong_code())
        begun = time.monotonic()
        try:
            verdict = self._store().verify(
                LoginAttempt(user, answer, Policy(), is_decoy=False, source=SOURCE)
            )
        except (StoreBusy, StoreUnreachable) as error:
            self.failed[str(error)] += 1
            return
        assert verdict is not None
        if verdict.outcome == verifier.ACCEPTED:
            with self._lock:
                self.accepted.append(
                    Accepted(user, step, self.name, verdict.is_offline, begun, time.monotonic())
                )

    def come_and_go(self) -> None:
        self._is_away = not self._is_away
        if not self._is_away:
            self.report()

    def report(self) -> None:
        """Report what was accepted here meanwhile, and renew the kit."""
        with self._lock:
            until = len(self.accepted)
        try:
            self._store().refresh(PEOPLE, at_once=True)
        except (StoreBusy, StoreUnreachable) as error:
            self.failed[str(error)] += 1
            return
        self.reported.append((time.monotonic(), until))

    def back(self) -> None:
        self._is_away = False
        self.report()

    def close(self) -> None:
        self._kit.close()
        self._client.close()

    def _store(self) -> OfflineStore:
        trouble = UNREACHABLE if self._is_away else None
        return OfflineStore(HostStore(self._client, 8), self._kit, trouble=trouble)


@pytest.fixture
def members(database: Database, tmp_path: Path) -> Iterator[list[Member]]:
    allow(database, 4)
    database.execute(
        "UPDATE totp.policy SET throttle_after = 100, max_failures = 100, slow_guesses = 100000"
    )
    for user in PEOPLE:
        enroll(database, user)
    with contextlib.ExitStack() as closed:
        found = []
        for name in HOSTS:
            found.append(Member(database, tmp_path / name, name))
            closed.callback(found[-1].close)
            keep_everybody(database, found[-1])
        yield found


def keep_everybody(database: Database, member: Member) -> None:
    """Let ``member`` keep the codes of all; their next ones are good again in the database."""
    for user in PEOPLE:
        while not any(one.user == user for one in member.accepted):
            member.log_in(user, int(time.time()) // 30 - 1)
    member.report()
    assert set(PEOPLE) == {one.user for one in member.accepted}
    member.accepted.clear()
    member.reported.clear()
    database.execute("UPDATE totp.authenticators SET last_accepted_step = 1")
    database.execute("DELETE FROM totp.events")


def test_what_was_used_up_on_one_host_is_used_up_on_all_once_it_is_reported(
    database: Database, members: list[Member]
) -> None:
    over = time.monotonic() + SECONDS

    def log_in(member: Member, seed: int) -> None:
        chosen = random.Random(seed)
        while time.monotonic() < over:
            step = int(time.time()) // 30 + chosen.choice((-1, 0, 0, 1))
            member.log_in(chosen.choice(PEOPLE), step)

    def come_and_go(seed: int) -> None:
        chosen = random.Random(seed)
        while time.monotonic() < over:
            time.sleep(chosen.uniform(0.05, 0.5))
            chosen.choice(members).come_and_go()

    def disturb() -> None:
        while time.monotonic() < over:
            time.sleep(1)
            database.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE usename = 'totp_login' AND random() < 0.3"
            )
            database.execute("SELECT totp.rotate(%s, %s)", (ADMIN_KEY, random.randbytes(32)))

    with ThreadPoolExecutor(len(HOSTS) * THREADS + 2) as threads:
        tasks = [
            threads.submit(log_in, member, number * 10 + thread)
            for number, member in enumerate(members)
            for thread in range(THREADS)
        ]
        tasks += [threads.submit(come_and_go, 1), threads.submit(disturb)]
    for task in tasks:
        task.result()
    for member in members:
        member.back()
    accepted = [one for member in members for one in member.accepted]
    online = Counter((one.user, one.step) for one in accepted if not one.is_offline)
    offline = Counter((one.host, one.user, one.step) for one in accepted if one.is_offline)
    assert {1} == set(online.values())
    assert {1} == set(offline.values())
    assert [] == list(again(members))
    noted = database.execute(
        "SELECT host, user_name, step, count(*) FROM totp.events WHERE offline AND event LIKE "
        "'accepted%' GROUP BY host, user_name, step"
    )
    assert offline == Counter({(host, user, step): count for host, user, step, count in noted})
    last = dict(database.execute("SELECT user_name, last_accepted_step FROM totp.authenticators"))
    assert last == {user: max(one.step for one in accepted if one.user == user) for user in last}


def again(members: list[Member]) -> Iterator[tuple[Accepted, Accepted]]:
    """Yield what the database accepted after a host had reported it."""
    online = [one for member in members for one in member.accepted if not one.is_offline]
    by_code: dict[tuple[str, int], list[Accepted]] = {}
    for one in online:
        by_code.setdefault((one.user, one.step), []).append(one)
    for member in members:
        for number, one in enumerate(member.accepted):
            if one.is_offline:
                when = next(at for at, until in member.reported if until > number)
                yield from (
                    (one, other)
                    for other in by_code.get((one.user, one.step), [])
                    if other.begun > when
                )
