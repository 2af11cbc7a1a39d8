"""How many codes a second the fleet's database judges, beside what pgbench has it update.

Both come from pgbench, as prepared statements, by the same number of clients, and wait for the
disk: its simple update, an UPDATE and two statements more in a transaction, and totp.verify with a
right code. Nobody's code is used twice: the clock goes on from one run to the next.
"""

from __future__ import annotations

import os
import re
import subprocess

from pam_totp.core import otp
from tests.fleet.reporting import Reporter
from tests.support.place import SECRET
from tests.support.postgres import ADMIN_KEY, Cluster, Database, programs

from .people import FOLDER
from .rounds import IS_QUICK, rounds

CLIENTS = (1, 8, 64)
UPDATES, VERIFICATIONS = "simple updates", "verifications"
ROUNDS = rounds(10)
SECONDS = 3
QUICK = 10  # transactions of each client: not for as long as a second
PEOPLE = 10_000 if IS_QUICK else 60_000
_ENROLL = """
INSERT INTO totp.users (name, status)
SELECT 'u' || n, 'active' FROM generate_series(1, %(people)s) n;
INSERT INTO totp.authenticators (id, user_name, label, algorithm, digits, period, sealed_secret)
SELECT 'i' || n, 'u' || n, 'phone', 'SHA1', 6, 30,
    totp.seal(%(secret)s, k.key, totp.secret_binding('u' || n, 'i' || n, 'SHA1', 6, 30, 'totp'))
FROM generate_series(1, %(people)s) n, (SELECT totp.open_data_key(%(key)s) AS key OFFSET 0) k
"""
_VERIFY = r"""
\set number :number + 1
\set who 1 + (:client_id * {people} / {clients} + :number) % {people}
\set half random(1, 9000000000000000000)
CALL totp.verify('{host}', '\x{key}', int8send(:half) || int8send(:half), 'u' || :who, '{code}',
    NULL, NULL, false, 1, 'sshd', '198.51.100.7', '198.51.100.7', NULL,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
"""


def judging() -> dict[str, dict[str, list[float]]]:
    """Return transactions a second, by clients and by what they ask: one figure for each round."""
    found: dict[str, dict[str, list[float]]] = {
        str(clients): {UPDATES: [], VERIFICATIONS: []} for clients in CLIENTS
    }
    cluster = Cluster({"fsync": "on", "full_page_writes": "on"}, parent=FOLDER)
    try:
        with cluster.database() as database:
            host = Reporter(database)
            for statement in _ENROLL.split(";"):
                values = {"people": PEOPLE, "secret": SECRET, "key": ADMIN_KEY}
                database.execute(statement, values)
            _pgbench(database, "-i", "-q", "-s", "1" if IS_QUICK else "8")
            now = 1_800_000_000
            for _ in range(ROUNDS):
                for clients in CLIENTS:
                    now += 3000
                    of_these = found[str(clients)]
                    of_these[UPDATES].append(_rate(database, clients, "-N"))
                    of_these[VERIFICATIONS].append(_verifications(database, host, clients, now))
    finally:
        cluster.remove()
    return found


def _verifications(database: Database, host: Reporter, clients: int, now: int) -> float:
    database.stop_clock(now)
    database.execute("TRUNCATE totp.events")
    database.execute("VACUUM ANALYZE totp.users")
    database.execute("VACUUM ANALYZE totp.authenticators")
    script = database.cluster.folder / "verify.sql"
    script.write_text(
        _VERIFY.format(
            people=PEOPLE,
            clients=clients,
            host=host.name,
            key=host.key.hex(),
            code=otp.hotp(SECRET, now // 30),
        )
    )
    rate = _rate(database, clients, "-U", "totp_login", "-D", "number=0", "-f", str(script))
    assert [("accepted",)] == database.execute("SELECT DISTINCT event FROM totp.events")
    return rate


def _rate(database: Database, clients: int, *options: str) -> float:
    counts = ("-c", str(clients), "-j", str(min(clients, os.cpu_count() or 1)))
    length = ("-t", str(QUICK)) if IS_QUICK else ("-T", str(SECONDS))
    said = _pgbench(database, "-n", "-M", "prepared", *counts, *length, *options)
    found = re.search(r"^tps = ([0-9.]+)", said, flags=re.MULTILINE)
    assert found, said
    return float(found[1])


def _pgbench(database: Database, *options: str) -> str:
    where = ("-h", database.cluster.folder, "-p", str(database.cluster.port), "-U", "postgres")
    command = [programs() / "pgbench", *where, *options, database.name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
