"""The database's verdicts and rows are those of core/verifier.py, which is the specification."""

from __future__ import annotations

import itertools
import json
import os
import random
from collections import Counter
from collections.abc import Iterator

import psycopg
import pytest

from pam_totp.core import clock_skew, otp, verifier
from pam_totp.core.places import KnownPlace
from pam_totp.core.remembering import KINDS, Remembered, Wish
from pam_totp.core.users import STATUSES, SUSPENDED, Authenticator, UserRecord
from pam_totp.core.verifier import CODE, RECOVERY_CODE, Answer, Policy, Verdict
from tests.fleet.asking import Host, insert, stored, without_secrets
from tests.support import thorough
from tests.support.place import ROOT
from tests.support.postgres import Database

RECORDS = 1700 if thorough.NIGHTLY else 600  # for each seed
WITH_ONE_POLICY = 50 if thorough.NIGHTLY else 20
LEAST = 5 if thorough.NIGHTLY else 1  # some 15 come of the rarest kind by day
SEEDS = {"first": 6238, "second": 4226, "random": int.from_bytes(os.urandom(4))}
SECRET_BYTES = {"SHA1": 20, "SHA256": 32, "SHA512": 64}


@pytest.fixture
def host(database: Database) -> Iterator[Host]:
    """A host whose clock, and that of the database, is the setting test.now of its session."""
    host = Host(database)
    database.execute(
        "CREATE OR REPLACE FUNCTION totp.unix_time() RETURNS bigint VOLATILE "
        "RETURN current_setting('test.now')::bigint"
    )
    yield host
    host.close()


def set_policy(connection: psycopg.Connection, policy: Policy) -> None:
    connection.execute(
        "UPDATE totp.policy SET code_window = %s, throttle_after = %s, throttle_base = %s, "
        "throttle_max = %s, max_failures = %s, slow_guesses = %s, slow_period = %s, "
        "look_ahead = %s, recovery_unlocks = %s",
        policy,
    )


def set_clock(host: Host, now: int) -> None:
    host.connection.execute("SELECT set_config('test.now', %s::text, false)", (now,))


def random_policy(chance: random.Random) -> Policy:
    return Policy(
        window=chance.choice([0, 1, 1, 2]),
        throttle_after=chance.choice([1, 3, 5]),
        throttle_base=chance.choice([1, 30]),
        throttle_max=chance.choice([30, 900]),
        max_failures=chance.choice([10, 100]),
        slow_guesses=chance.choice([1, 7, 100]),
        slow_period=chance.choice([86_400, 2_592_000]),
        look_ahead=chance.choice([1, 5, 5, 20]),
        recovery_unlocks=chance.random() < 0.3,
    )


PLACES = ("192.0.2.1", "2001:db8::/64", "by alice", "at tty1", "203.0.113.9")
NEVER = ("", None, "home.example", "w: by alice", "x" * 600)


def in_database(place: str | None) -> str:
    """Return the name of a place that the host w tells."""
    if place is None or place in NEVER:
        return ""
    return f"w: {place}" if place.startswith(("by ", "at ")) else place


def random_places(chance: random.Random, now: int, policy: Policy) -> tuple[KnownPlace, ...]:
    others = [f"198.51.100.{n}" for n in range(8)]
    names = chance.sample([in_database(place) for place in PLACES], chance.randrange(4))
    names += others[: chance.choice([0, 0, 1, 4, 5, 6])]
    until = policy.slow_period // policy.slow_guesses
    return tuple(
        KnownPlace(
            name,
            used_at=now - now % 3600 - 3600 * chance.choice([0, 1, 1, 5, 8759, 8760, -30]),
            failures=chance.choice([0, 0, 0, 1, 4, 5, 9, 10]),
            throttled_until=chance.choice([0, 0, now - 1, now + 7, now + 10**6]),
            guesses_until=chance.choice(
                [0, 0, now - 1, now + until, now + 10 * until, now + 10**7]
            ),
        )
        for name in names[:8]
    )


def random_authenticator(
    chance: random.Random, name: str, number: int, now: int, secret: bytes | None
) -> Authenticator:
    algorithm = chance.choice(["SHA1", "SHA1", "SHA256", "SHA512"])
    made = Authenticator(
        id=f"{name}-{number}",
        label=chance.choice(["phone", "Zoë", "a b", "B", "~"]) + str(number),
        secret=secret or chance.randbytes(SECRET_BYTES[algorithm]),
        algorithm=algorithm,
        digits=chance.choice([6, 6, 7, 8]),
        period=chance.choice([30, 30, 60, 7]),
        drift=chance.choice([0, 0, 0, -1, 2, 20, -20, -21]),
        created_at=now - 10**6,
        last_used_at=chance.choice([None, now - 1000]),
        clock_offset=chance.choice([0, 0, 3, -4, 120]),
        clock_sightings=chance.choice([0, 0, 1, 5]),
        serial=chance.choice(["", "2600000000001"]),
        learned=chance.choice([0, 0, 2, -11, 12, -12, -45, 59, -61, 200, 599, -600]),
    )
    if chance.random() < 0.3:
        counter = chance.choice([-1, 0, 3, 10**6, 10**15])
        return made._replace(kind=otp.HOTP, drift=0, learned=0, last_accepted_step=counter)
    ahead = chance.choice([None, -3, -1, 0, 1, 2, 50])
    if ahead is None:
        return made
    return made._replace(last_accepted_step=made.current_step(now) + ahead)


def random_wish(chance: random.Random) -> Wish | None:
    if chance.random() < 0.3:
        return None
    notes = [(kind, f"place {chance.randrange(3)}") for kind in KINDS]
    return Wish("sshd", tuple(chance.sample(notes, chance.randrange(3))), 3600, "20000")


def random_remembered(chance: random.Random, now: int) -> tuple[Remembered, ...]:
    found = []
    for number in range(chance.choice([0, 0, 1, 3, 11, 12])):
        place = f"place {number}"
        since = now + chance.choice([-10, -10, -7200, 0, 50])
        kind = chance.choice(KINDS)
        found.append(Remembered("sshd", kind, place, since, since + 3600, "-", "w"))
    return tuple(found)


def on_this_host(record: UserRecord) -> UserRecord:
    """Return it with the name of the host w where something is remembered."""
    return record._replace(remembered=tuple(x._replace(host="w") for x in record.remembered))


def random_record(chance: random.Random, name: str, now: int, policy: Policy) -> UserRecord:
    authenticators: list[Authenticator] = []
    for number in range(chance.choice([1, 1, 1, 2, 3])):
        same = authenticators[0].secret if authenticators and chance.random() < 0.3 else None
        authenticators.append(random_authenticator(chance, name, number, now, same))
    digests = frozenset(chance.randbytes(32) for _ in range(chance.choice([0, 2, 10])))
    return UserRecord(
        name,
        status=chance.choice(["active"] * 4 + list(STATUSES)),
        failures=chance.choice([*[0] * 8, 1, 2, 3, 4, 7, 8, 9, 79, 80, 99]),
        throttled_until=chance.choice([0, 0, now - 5, now, now + 10, now + 10**6]),
        recovery_salt=chance.randbytes(16) if digests else None,
        recovery_digests=digests,
        authenticators=tuple(sorted(authenticators, key=lambda a: a.label)),
        created_at=now - 10**7,
        updated_at=now - 10**5,
        exempt_until=chance.choice([0, now - 1, now + 1000]),
        untold=chance.choice([0, 0, 3]),
        guesses_until=chance.choice(
            [0, 0, now - 9, now + 100, now + policy.slow_period, now + policy.slow_period + 1]
        ),
        known_places=random_places(chance, now, policy),
        remembered=random_remembered(chance, now),
    )


def random_answer(chance: random.Random, record: UserRecord, now: int, policy: Policy) -> Answer:
    kind = chance.random()
    if kind < 0.2:
        known = sorted(record.recovery_digests)
        digest = chance.choice(known) if known and chance.random() < 0.7 else chance.randbytes(32)
        salt = record.recovery_salt if chance.random() < 0.9 else chance.randbytes(16)
        return Answer(RECOVERY_CODE, "X" * 16, salt, digest)
    if kind < 0.3:
        return Answer(CODE, chance.choice(["000000", "00000000", f"{chance.randrange(10**6):06}"]))
    chosen = chance.choice(record.authenticators)
    assert chosen.secret is not None
    ahead = chance.choice([-3, -2, -1, -1, 0, 0, 0, 0, 1, 1, 2, 19, -20, 120, -119, 240, 61, 3000])
    if chosen.counts and chance.random() < 0.7:
        edges = (policy.look_ahead - 1, policy.look_ahead, 201, 202, 203, 208, 210, 215, 219)
        ahead = chance.choice([-1, 0, 0, 1, *edges])
    if chance.random() < 0.3:
        ahead += chosen.base_step(now) - chosen.current_step(now)
    step = max(chosen.current_step(now) + ahead, 0)
    return Answer(CODE, otp.hotp(chosen.secret, step, chosen.algorithm, chosen.digits))


def learned(record: UserRecord) -> list[int]:
    return [authenticator.learned for authenticator in record.authenticators]


def counters(record: UserRecord) -> list[int | None]:
    return [authenticator.counter for authenticator in record.authenticators]


@pytest.mark.parametrize("name", SEEDS if thorough.NIGHTLY else ["random"])
def test_verdicts_and_rows_are_those_of_the_verifier(
    name: str, database: Database, host: Host
) -> None:
    seed = SEEDS[name]
    chance = random.Random(seed)
    outcomes: Counter[str] = Counter()
    with database.connect() as owner:
        for group in range(RECORDS // WITH_ONE_POLICY):
            policy, base = random_policy(chance), 1_800_000_000 + chance.randrange(10**7)
            set_policy(owner, policy)
            expected = [
                random_record(chance, f"Zoë {group} {number}", base, policy)
                for number in range(WITH_ONE_POLICY)
            ]
            with owner.transaction():
                insert(owner, expected)
            for number, record in enumerate(expected):
                now = base
                for _ in range(chance.choice([1, 1, 2, 3])):
                    window = chance.choice([None, None, 0, 9])
                    narrower = policy.window if window is None else min(policy.window, window)
                    narrowed = policy._replace(window=narrower)
                    answer = random_answer(chance, record, now, narrowed)
                    place = chance.choice([*PLACES, *PLACES, *NEVER])
                    wish = random_wish(chance)
                    verdict, after = verifier.verify(
                        record, answer, now, narrowed, place=in_database(place), remember=wish
                    )
                    after = on_this_host(after)
                    set_clock(host, now)
                    told = host.verify(
                        record.name, answer, window=window, place=place, remember=wish
                    )
                    assert verdict == told, (seed, record, answer, place, now, narrowed)
                    outcomes[verdict.outcome] += 1
                    outcomes["offset"] += verdict.clock_offset != 0
                    outcomes["learned"] += learned(record) != learned(after)
                    outcomes["counter"] += counters(record) != counters(after)
                    outcomes["behind"] += verdict.clock_is_behind
                    outcomes["budget"] += verdict.codes_only
                    known = record.place(in_database(place), now)
                    waited = verifier.standing(record, now, narrowed, answer.kind)
                    outcomes["known"] += known is not None and verdict.outcome != (
                        waited.outcome if waited else verdict.outcome
                    )
                    outcomes["remembered"] += len(after.remembered) > 0 and wish is not None
                    outcomes["forgotten"] += len(after.remembered) < len(record.remembered)
                    record = after
                    now += chance.choice([0, 1, 30, 60, -40])
                expected[number] = record
            for record in expected:
                assert without_secrets(record) == stored(owner, record.name), (seed, policy)
    kinds = (
        "accepted recovery_used rejected replayed throttled locked offset behind budget "
        "learned counter known remembered forgotten"
    )
    assert set(kinds.split()) == {kind for kind, count in outcomes.items() if count > LEAST}
    assert outcomes.total() > RECORDS


def forget_failures(owner: psycopg.Connection) -> None:
    """Of 60 names, two meet in one of the 65,536 buckets in every fortieth run."""
    owner.execute(
        "UPDATE totp.decoys SET failures = 0, throttled_until = 0, guesses_until = 0"
        " WHERE failures > 0"
    )


def test_decoys_are_throttled_as_the_verifier_would_and_accept_nothing(
    database: Database, host: Host
) -> None:
    chance = random.Random(1)
    with database.connect() as owner:
        for number in range(60):
            policy, now = random_policy(chance), 1_800_000_000
            set_policy(owner, policy)
            name = f"nobody {number}"
            record = UserRecord(
                name, status=SUSPENDED, authenticators=(Authenticator("", "", b""),)
            )
            enrolled = number % 3
            if enrolled:  # 1: without an authenticator; 2: denied before the prompt
                of_user = random_record(chance, name, now, policy)
                held = () if enrolled == 1 else of_user.authenticators
                insert(owner, [of_user._replace(authenticators=held)])
            forget_failures(owner)
            for _ in range(8):
                answer = Answer(CODE, f"{chance.randrange(10**6):06}")
                if chance.random() < 0.3:
                    answer = Answer(RECOVERY_CODE, "X" * 16, bytes(16), bytes(32))
                verdict, record = verifier.verify(record, answer, now, policy)
                set_clock(host, now)
                assert verdict == host.verify(name, answer, is_decoy=enrolled == 2), (
                    number,
                    policy,
                )
                now += chance.choice([0, 1, 40])
            if enrolled:
                assert without_secrets(of_user._replace(authenticators=held)) == stored(owner, name)
            count = owner.execute("SELECT count(*) FROM totp.decoys WHERE failures > 0").fetchone()
            assert (1,) == count


def test_a_recovery_code_is_hashed_only_where_it_will_be_looked_at(
    database: Database, host: Host
) -> None:
    not_hashed = Answer(RECOVERY_CODE, "X" * 16)
    now = 1_800_000_000
    authenticator = Authenticator("a", "phone", bytes(20))
    alice = UserRecord(  # whose slow budget is spent, by wrong codes alone
        "alice", authenticators=(authenticator,), guesses_until=now + Policy().slow_period
    )
    eve = UserRecord(
        "eve", failures=9, throttled_until=now + 3, authenticators=(authenticator._replace(id="e"),)
    )
    with database.connect() as owner:
        insert(owner, [alice, eve])
        set_clock(host, now)
        assert Verdict("hash first") == host.verify("alice", not_hashed)
        assert Verdict("hash first") == host.verify("nobody", not_hashed)
        assert without_secrets(alice) == stored(owner, "alice")
        assert Verdict("throttled", wait=3) == host.verify("eve", not_hashed)
        told = owner.execute(
            "SELECT user_name, event FROM totp.events WHERE service <> 'database' ORDER BY id"
        ).fetchall()
        assert [("", "joined"), ("eve", "throttled")] == told


def test_codes_are_those_of_the_rfcs(database: Database) -> None:
    """RFC 4226 appendix D, RFC 6238 appendix B."""
    hotp, totp = (
        json.loads((ROOT / "tests/vectors" / name).read_text("utf-8"))
        for name in ("rfc4226_appendix_d.json", "rfc6238_appendix_b.json")
    )
    cases = [(hotp["secret_hex"], n, "SHA1", 6, code) for n, code in enumerate(hotp["codes"])]
    for vector in totp["vectors"]:
        step = vector["time"] // totp["period"]
        cases.append((vector["secret_hex"], step, vector["algorithm"], 8, vector["code"]))
    for secret, *parameters, code in cases:
        step, *kind = parameters
        found = database.execute(
            "SELECT totp.matching_offsets(%s, %s, %s, ARRAY[-1, 0, 1], %s, %s)",
            (code, bytes.fromhex(secret), step, *kind),
        )
        assert [([0],)] == found
    assert 28 == len(cases)


def test_offsets_of_clocks_are_those_of_the_core(database: Database) -> None:
    for period in (1, 7, 30, 60, 3600, 86_400):
        found = database.execute("SELECT totp.clock_offsets(%s)", (period,))
        assert [(sorted(clock_skew.clock_offsets(period)),)] == found
    for kind, count in itertools.product(otp.KINDS, (0, 100, 201, 208, 209, 210, 229)):
        device = Authenticator("a", "phone", bytes(20), kind=kind)
        found = database.execute("SELECT totp.searched_offsets(%s, 30, 5, %s)", (kind, count))
        assert [(sorted(clock_skew.offsets(device, 5, count)),)] == [
            (sorted(offsets),) for (offsets,) in found
        ]


def test_waits_are_those_of_the_core(database: Database) -> None:
    cases = list(itertools.product((0, 1, 4, 5, 6, 9, 36, 37, 38, 100), (1, 5), (1, 30), (30, 900)))
    waits = [
        verifier.throttle_wait(
            failures, Policy(throttle_after=after, throttle_base=base, throttle_max=longest)
        )
        for failures, after, base, longest in cases
    ]
    columns = [list(column) for column in zip(*cases, strict=True)]
    found = database.execute(
        "SELECT totp.throttle_wait(f, a, b, m) FROM unnest(%s::int[], %s::int[], %s::int[], "
        "%s::int[]) AS x (f, a, b, m)",
        columns,
    )
    assert waits == [wait for (wait,) in found]
