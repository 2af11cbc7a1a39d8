"""The real service on hosts of one fleet, with a real PostgreSQL: logins, outages, many at once."""

from __future__ import annotations

import os
import select
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pam_totp.core.admission import NO_CODES_KEPT
from pam_totp.login.messages import OFFLINE
from pam_totp.service.kept_fleet import MAX_CONNECTIONS
from pam_totp.store.postgresql.kept_kit import KeptKit
from pam_totp.system import fleet_file
from pam_totp.system.errors import StoreMissing
from tests.fleet.hosts import sessions
from tests.fleet.members import Member
from tests.fleet.reporting import allow, enroll
from tests.native import worker_side as side
from tests.native.test_worker_login import spawned
from tests.native.worker_side import EVERYBODY, IN_THE_FILE, Client, Outcome, Worker
from tests.support.logs import fields
from tests.support.place import Place, code_now, wrong_code
from tests.support.postgres import Cluster, Database
from tests.support.relay import SILENCE, Relay

PATIENCE = 4.0  # seconds, in the copy that is tested: 20 are long for a test
SHORTER = ("login/fleet.py", "PATIENCE = 20.0", f"PATIENCE = {PATIENCE}")


class Host:
    """A service of its own on one host of the fleet."""

    def __init__(self, member: Member, worker: Worker, name: str) -> None:
        self.member = member
        self.place = member.place
        self.worker = worker
        self.socket = worker.folder / f"socket-{name}"
        self.process = worker.listen(self.socket)

    def packet(self, user: str, *arguments: bytes) -> bytes:
        of_place = side.of_place(self.member.config_path, *arguments)
        return side.request(user.encode(), arguments=of_place)

    def log_in(self, user: str, *texts: str) -> Outcome:
        return side.log_in(self.socket, self.packet(user, b"attempts=1"), *texts)

    @contextmanager
    def at_the_prompt(self, user: str) -> Iterator[Client]:
        with Client(self.socket) as client:
            client.send(self.packet(user, b"attempts=1"))
            client.until_prompt()
            yield client


@pytest.fixture(scope="module")
def built() -> Iterator[Worker]:
    with side.worker_in_a_folder(EVERYBODY, IN_THE_FILE, SHORTER) as worker:
        yield worker


@pytest.fixture
def worker(built: Worker) -> Iterator[Worker]:
    yield built
    for process in built.processes:
        if process.poll() is None:
            assert 0 == side.end(process)
        _, complaints = process.communicate()
        assert "" == complaints
    built.processes.clear()


@pytest.fixture
def relay(cluster: Cluster) -> Iterator[Relay]:
    with Relay(cluster.port) as relay:
        yield relay


def place_in(folder: Path) -> Place:
    folder.mkdir()
    return Place(folder, in_use=True)


@pytest.fixture
def host(tmp_path: Path, database: Database, relay: Relay, worker: Worker) -> Host:
    """Host a, which reaches the database by way of the relay; root is local."""
    place = place_in(tmp_path / "a")
    place.enrol("root")
    member = Member(place, database, "a")
    member.configure(relay.port)
    return Host(member, worker, "a")


@pytest.fixture
def other(tmp_path: Path, database: Database, worker: Worker) -> Host:
    return Host(Member(place_in(tmp_path / "b"), database, "b"), worker, "b")


def answered(client: Client, text: str) -> Outcome:
    """Answer the prompt that ``client`` was shown."""
    client.send(side.answer(text))
    return client.answers()


# One enrollment for all of them


def test_a_code_that_was_good_on_one_host_is_good_on_no_other(
    host: Host, other: Host, database: Database
) -> None:
    enroll(database, "alice")
    code = code_now()
    assert side.PAM_SUCCESS == host.log_in("alice", code).code
    replayed = other.log_in("alice", code)
    assert side.PAM_AUTH_ERR == replayed.code
    assert "This code has already been used." in replayed.shown[-1]
    assert side.PAM_SUCCESS == other.log_in("alice", code_now(+1)).code


def test_wrong_codes_on_one_host_throttle_on_another(
    host: Host, other: Host, database: Database
) -> None:
    enroll(database, "alice")
    for number in range(5):
        assert side.PAM_AUTH_ERR == (host, other)[number % 2].log_in("alice", wrong_code()).code
    throttled = other.log_in("alice", code_now())
    assert side.PAM_MAXTRIES == throttled.code
    assert "Too many wrong codes." in throttled.shown[-1]


def test_a_host_that_was_removed_lets_nobody_of_the_fleet_in(
    host: Host, other: Host, database: Database
) -> None:
    enroll(database, "alice")
    with host.at_the_prompt("alice") as client:
        database.execute("DELETE FROM totp.hosts WHERE name = 'a'")
        assert side.PAM_AUTHINFO_UNAVAIL == answered(client, code_now()).code
    assert side.PAM_SUCCESS == other.log_in("alice", code_now()).code
    assert side.PAM_SUCCESS == host.log_in("root", code_now()).code


def test_a_login_costs_two_round_trips(host: Host, relay: Relay, database: Database) -> None:
    enroll(database, "alice")
    assert side.PAM_SUCCESS == host.log_in("alice", code_now()).code  # connects
    before = relay.asked, relay.connections
    assert side.PAM_SUCCESS == host.log_in("alice", code_now(+1)).code
    assert (before[0] + 2, before[1]) == (relay.asked, relay.connections)
    host.log_in("mallory", code_now())  # nor does the number tell who is known
    assert before[0] + 4 == relay.asked


@pytest.fixture
def patient_host(tmp_path: Path, database: Database) -> Iterator[Host]:
    """Host p, with all the patience that a login has: a machine may have much to do."""
    with side.worker_in_a_folder(EVERYBODY, IN_THE_FILE) as worker:
        yield Host(Member(place_in(tmp_path / "p"), database, "p"), worker, "p")


def test_a_hundred_logins_at_once_share_eight_connections(
    patient_host: Host, cluster: Cluster, database: Database
) -> None:
    users = [f"user{number}" for number in range(50)]
    for user in users:
        enroll(database, user)
    most = 0

    def log_in(number: int) -> Outcome:
        nonlocal most
        with patient_host.at_the_prompt(users[number % 50]) as client:
            most = max(most, sessions(cluster)) if number % 10 == 0 else most
            return answered(client, code_now())

    outcomes = side.many(100, log_in)
    assert {side.PAM_SUCCESS: 50, side.PAM_AUTH_ERR: 50} == Counter(o.code for o in outcomes)
    assert 1 <= most <= MAX_CONNECTIONS


# While the database is away


def test_while_it_is_a_black_hole_root_logs_in_and_others_are_denied_in_time(
    host: Host, relay: Relay, database: Database
) -> None:
    enroll(database, "alice")
    assert side.PAM_SUCCESS == host.log_in("alice", code_now()).code
    relay.fail_open(SILENCE)
    relay.fail(SILENCE)
    with Client(host.socket) as waiting:
        began = time.monotonic()
        waiting.send(host.packet("alice"))
        for number in range(2):
            assert side.PAM_SUCCESS == host.log_in("root", code_now(number)).code
        assert ([], [], []) == select.select([waiting.socket], [], [], 0)  # still not denied
        denied = waiting.answers()
    assert side.PAM_AUTHINFO_UNAVAIL == denied.code
    assert PATIENCE - 0.1 < time.monotonic() - began < 3 * PATIENCE
    assert ["Verification codes cannot be checked right now."] == [
        text.split(". ")[0] + "." for text in denied.shown
    ]
    errors = [line for line in host.worker.log.lines() if "event=error" in line]
    assert "in time" in fields(errors[-1])["reason"]


@pytest.mark.serial  # what is left of a second is not much
def test_in_all_a_login_has_no_more_than_its_patience(
    host: Host, relay: Relay, database: Database
) -> None:
    """However it is spread: half of it before the prompt, and then nothing comes."""
    enroll(database, "alice")
    relay.delay = PATIENCE / 30  # a handshake takes some chunks, and so does the question
    began = time.monotonic()
    with host.at_the_prompt("alice") as client:
        before = time.monotonic() - began
        assert before > PATIENCE / 4
        relay.fail_open(SILENCE)
        relay.fail(SILENCE)
        began = time.monotonic()
        assert side.PAM_AUTHINFO_UNAVAIL == answered(client, code_now()).code
    assert before + time.monotonic() - began < 3 * PATIENCE


def test_once_the_server_is_back_the_next_login_is_as_any(
    host: Host, cluster: Cluster, relay: Relay, database: Database
) -> None:
    """It dies between the prompt and the answer: the code is not used up."""
    enroll(database, "alice")
    with host.at_the_prompt("alice") as client:
        relay.fail(SILENCE)
        relay.cut()
        side.wait_until(lambda: sessions(cluster) == 0)
        assert side.PAM_AUTHINFO_UNAVAIL == answered(client, code_now()).code
    relay.heal()
    assert side.PAM_SUCCESS == host.log_in("alice", code_now()).code


# While this host answers alone


def kept_codes(host: Host) -> KeptKit:
    """Return what the host keeps for an outage."""
    path = host.place.store_path.with_name("offline.db")
    return KeptKit(str(path), str(host.place.key_path), may_answer=True)


def keeps(host: Host, user: str) -> bool:
    kit = kept_codes(host)
    try:
        return kit.ask(lambda kit: kit.keeps(user))
    except StoreMissing:
        return False
    finally:
        kit.close()


def cut_off(relay: Relay) -> None:
    relay.fail_open(SILENCE)
    relay.fail(SILENCE)


def test_people_who_logged_in_before_log_in_during_an_outage_and_it_is_reported(
    host: Host, other: Host, relay: Relay, database: Database
) -> None:
    allow(database, 4)
    for user in ("alice", "bob"):
        enroll(database, user)
    host.member.configure(relay.port, offline="cache")
    first, second = code_now(), code_now(+1)
    assert side.PAM_SUCCESS == host.log_in("alice", first).code
    side.wait_until(lambda: keeps(host, "alice"))
    cut_off(relay)
    accepted = host.log_in("alice", second)
    assert (side.PAM_SUCCESS, OFFLINE) == (accepted.code, accepted.shown[-1])
    assert side.PAM_AUTH_ERR == host.log_in("alice", second).code
    assert side.PAM_AUTH_ERR == host.log_in("bob", first).code  # whose codes are not kept
    lines = [fields(line) for line in host.worker.log.lines()][-5:]
    assert ["accepted", "replayed", "unenrolled", "rejected"] == [
        line["event"] for line in lines if line["event"] != "debug"
    ][-4:]
    assert NO_CODES_KEPT == lines[-2]["reason"]
    assert "yes" == lines[-1]["offline"]

    assert side.PAM_SUCCESS == other.log_in("alice", second).code  # once on each that is cut off
    relay.heal()
    assert side.PAM_SUCCESS == host.log_in("bob", code_now()).code
    events = database.execute(
        "SELECT event, host, service FROM totp.events WHERE offline ORDER BY id"
    )
    assert [("accepted_twice", "a", "sshd")] == events


def test_a_worker_for_one_login_renews_what_is_kept_when_that_is_over(
    host: Host, relay: Relay, database: Database
) -> None:
    allow(database, 4)
    enroll(database, "alice")
    host.member.configure(relay.port, offline="cache")
    asked = host.packet("alice", b"attempts=1")
    first, status = spawned(host.worker, asked, code_now())
    assert (side.PAM_SUCCESS, 0) == (first.code, status)
    assert keeps(host, "alice")
    cut_off(relay)
    assert OFFLINE == spawned(host.worker, asked, code_now(+1))[0].shown[-1]


# What a connection rests on


def test_a_password_that_is_no_good_any_more_denies_from_the_next_login_on(
    host: Host, database: Database
) -> None:
    enroll(database, "alice")
    assert side.PAM_SUCCESS == host.log_in("alice", code_now()).code
    path = host.member.identity
    good = path.read_bytes()
    identity = fleet_file.read(str(path))
    path.write_bytes(fleet_file.content(identity._replace(password="another")))
    assert side.PAM_AUTHINFO_UNAVAIL == host.log_in("alice", code_now(+1)).code
    path.write_bytes(good)
    assert side.PAM_SUCCESS == host.log_in("alice", code_now(+1)).code


def test_of_another_ca_no_server_is_believed(host: Host, database: Database) -> None:
    enroll(database, "alice")
    assert side.PAM_SUCCESS == host.log_in("alice", code_now()).code
    identity = fleet_file.read(str(host.member.identity))
    stranger = Cluster()
    try:
        Path(identity.ca).write_bytes(stranger.ca.read_bytes())
    finally:
        stranger.remove()
    denied = host.log_in("alice", code_now(+1))
    assert side.PAM_AUTHINFO_UNAVAIL == denied.code
    errors = [line for line in host.worker.log.lines() if "event=error" in line]
    assert "certificate verify failed" in fields(errors[-1])["reason"]


def test_no_secret_reaches_the_log_or_the_command_line(host: Host, database: Database) -> None:
    enroll(database, "alice")
    identity = fleet_file.read(str(host.member.identity))
    code = code_now()
    for text in (wrong_code(), code):
        host.log_in("alice", text)
    database.execute("DELETE FROM totp.hosts")
    host.log_in("alice", code)
    written = host.worker.log.text()
    written += Path(f"/proc/{host.process.pid}/cmdline").read_text()
    written += Path(f"/proc/{host.process.pid}/environ").read_text()
    for secret in (identity.password, identity.key.hex(), code):
        assert secret not in written


def test_nothing_of_postgresql_is_loaded_where_the_store_is_a_file(
    tmp_path: Path, worker: Worker
) -> None:
    place = place_in(tmp_path / "file")
    place.enrol("alice")
    path = worker.folder / "socket-file"
    process = worker.listen(path)
    asked = side.request(arguments=side.of_place(place.config_path))
    assert side.PAM_SUCCESS == side.log_in(path, asked, code_now()).code
    mapped = Path(f"/proc/{process.pid}/maps").read_text()
    assert ("sqlite3" in mapped, "libpq" in mapped) == (True, False)
    assert not [fd for fd in os.listdir(f"/proc/{process.pid}/fd") if _is_inet(process.pid, fd)]


def _is_inet(pid: int, descriptor: str) -> bool:
    numbers = {
        line.split()[9]
        for name in ("tcp", "tcp6", "udp")
        for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]
    }
    try:
        target = os.readlink(f"/proc/{pid}/fd/{descriptor}")
    except FileNotFoundError:  # closed since
        return False
    return target.startswith("socket:[") and target[8:-1] in numbers
