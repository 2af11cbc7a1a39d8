"""Restarts, killed sessions, and a primary that is lost: no code is accepted twice."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from pam_totp.core import verifier
from pam_totp.store.postgresql.administration import Administration
from pam_totp.store.postgresql.client import Client
from pam_totp.store.postgresql.opening import open_fleet
from pam_totp.system.errors import StoreRefused, StoreUnavailable, StoreUnreachable
from tests.fleet.hosts import identity_of, url_of, verify
from tests.fleet.reporting import code_of, enroll
from tests.fleet.standby import cancel_waits, receiver_of, standby_of
from tests.support import fleet, thorough
from tests.support.fleet import ADMINISTRATOR
from tests.support.postgres import ADMIN_KEY, Cluster, Database

pytestmark = pytest.mark.usefixtures("nothing_left")

NOW = 1_800_000_000
STEP = NOW // 30
CHAOS_SECONDS = 28 if thorough.NIGHTLY else 6
PEOPLE, THREADS = 20, 8


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    """A server that a test may stop and kill."""
    own = Cluster()
    yield own
    own.remove()


def set_up(database: Database, *users: str) -> None:
    database.stop_clock(NOW)
    database.execute("UPDATE totp.policy SET throttle_after = 1000, slow_guesses = 100000")
    for user in users:
        enroll(database, user)


def test_no_restart_and_no_killed_session_makes_a_code_good_twice(
    own_cluster: Cluster, tmp_path: Path
) -> None:
    """Several ask for the same codes at the same time, and no session lives long."""
    people = [f"user{number}" for number in range(PEOPLE)]
    accepted: Counter[tuple[str, int]] = Counter()
    denied: list[StoreUnavailable] = []
    steps = [STEP]
    over = threading.Event()

    def log_in(seed: int) -> None:
        chosen = random.Random(seed)
        while not over.is_set():
            user, step = chosen.choice(people), steps[-1]
            try:
                outcome = verify(client, code_of(step), user, patience=12).outcome
            except StoreUnavailable as error:
                denied.append(error)
                continue
            if outcome == verifier.ACCEPTED:
                accepted[user, step] += 1

    with own_cluster.database() as database:
        set_up(database, *people)
        client = Client(url_of(database), identity_of(database, tmp_path))
        with ThreadPoolExecutor(THREADS) as threads:
            logins = [threads.submit(log_in, seed) for seed in range(THREADS)]
            try:
                disturb(database, steps, lambda: len(accepted) > 2 * PEOPLE)
            finally:
                over.set()
        for login in logins:
            login.result()
        set_clock(database, steps)
        assert verifier.ACCEPTED == verify(client, code_of(steps[-1]), people[0]).outcome
        client.close()
    assert {1} == set(accepted.values())
    assert {StoreUnreachable} >= {type(error) for error in denied}


def disturb(database: Database, steps: list[int], enough: Callable[[], bool]) -> None:
    """Kill sessions, move the clock, and restart the server twice at least, until it is enough."""
    chosen, restarts = random.Random(1), 0
    start = time.monotonic()
    while (spent := time.monotonic() - start) < CHAOS_SECONDS or restarts < 2 or not enough():
        assert spent < 120, "no login came through between the restarts"
        for _ in range(4):
            time.sleep(chosen.uniform(0.05, 0.2))
            database.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE usename = 'totp_login' AND random() < 0.5"
            )
            set_clock(database, steps)
        database.cluster.stop(chosen.choice(("INT", "QUIT")))
        database.cluster.start()
        restarts += 1


def set_clock(database: Database, steps: list[int]) -> None:
    """Let the next codes be good."""
    database.stop_clock((steps[-1] + 1) * 30)
    steps.append(steps[-1] + 1)


def test_a_code_is_accepted_once_however_the_primary_is_lost(
    own_cluster: Cluster, tmp_path: Path
) -> None:
    """With a synchronous standby: what it does not have, nobody was told.

    The standby stands still, a wait for it is cancelled, and then the primary is gone for good.
    """
    with own_cluster.database() as database:
        set_up(database, "alice", "bob", "carol")
        identity = identity_of(database, tmp_path)
        # Any host can make this the setting of them all, and the warning went unheard.
        database.execute(
            f"ALTER ROLE totp_login IN DATABASE {database.name} SET client_min_messages = error"
        )
        with standby_of(own_cluster) as standby:
            with closing(open_fleet(fleet.socket_url(database), ADMINISTRATOR, "")) as opened:
                administration = Administration(opened, ADMIN_KEY)
                assert administration.has_standby()
                administration.change_policy({"require_standby": 1})
            client = Client(url_of(database, standby.port, own_cluster.port), identity)
            assert verifier.ACCEPTED == verify(client, code_of(STEP)).outcome
            receiver = receiver_of(standby)
            os.kill(receiver, signal.SIGSTOP)
            with pytest.raises(StoreUnreachable):
                verify(client, code_of(STEP), "bob", patience=1)
            with ThreadPoolExecutor(1) as threads:
                login = threads.submit(verify, client, code_of(STEP), "carol", patience=2)
                assert 1 < cancel_waits(database, "totp_login", login)
            assert StoreUnavailable is type(login.exception())
            own_cluster.stop("QUIT")
            os.kill(receiver, signal.SIGKILL)  # with what it has not read
            standby.stop("QUIT")
            standby.start()
            with pytest.raises(StoreUnreachable, match="does not write"):
                verify(client, code_of(STEP), "bob", patience=1)
            standby.promote()
            with pytest.raises(StoreRefused, match="standby"):
                verify(client, code_of(STEP), "bob")
            promoted = Database(standby, database.name)
            promoted.execute("UPDATE totp.policy SET require_standby = false")
            for user in ("bob", "carol"):
                assert verifier.ACCEPTED == verify(client, code_of(STEP), user).outcome
                assert verifier.REPLAYED == verify(client, code_of(STEP), user).outcome
            assert verifier.REPLAYED == verify(client, code_of(STEP)).outcome
            client.close()
        own_cluster.configure({"synchronous_standby_names": ""})
        own_cluster.start()
