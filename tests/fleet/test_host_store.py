"""HostStore: a login's questions, asked as a host asks them, of a real database."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pam_totp.core import users, verifier
from pam_totp.core.admission import EXEMPT, GroupRule
from pam_totp.core.enrollment import Enrollment
from pam_totp.core.users import Authenticator
from pam_totp.core.verifier import Answer, Policy
from pam_totp.store import LoginAttempt, sealing
from pam_totp.store.postgresql.client import Client
from pam_totp.store.postgresql.host_store import HostStore
from pam_totp.store.postgresql.kept_kit import KeptKit
from pam_totp.store.postgresql.offline import OfflineStore
from pam_totp.system.errors import StoreRefused, StoreUnreachable
from tests.fleet.hosts import SOURCE, identity_of, url_of, verify
from tests.fleet.reporting import allow, code_of, enroll
from tests.support.place import SECRET
from tests.support.postgres import Database

NOW = 1_800_000_000
STEP = NOW // 30


@pytest.fixture
def client(database: Database, tmp_path: Path) -> Iterator[Client]:
    client = Client(url_of(database), identity_of(database, tmp_path))
    database.stop_clock(NOW)
    yield client
    client.close()


@pytest.fixture
def store(client: Client) -> HostStore:
    return HostStore(client)


def test_a_user_is_told_without_anything_secret(store: HostStore, database: Database) -> None:
    enroll(database, "alice", failures=2, untold=1, recovery_salt=b"s" * 16)
    database.execute("INSERT INTO totp.group_rules VALUES ('staff', 'exempt', 7)")
    known = store.admission("alice")
    record = known.record
    assert record is not None
    assert ("alice", users.ACTIVE, 2, 1, b"s" * 16) == (
        record.name, record.status, record.failures, record.untold, record.recovery_salt
    )  # fmt: skip
    (authenticator,) = record.authenticators
    assert ("phone", None, 6, 30) == (
        authenticator.label, authenticator.secret, authenticator.digits, authenticator.period
    )  # fmt: skip
    assert frozenset() == record.recovery_digests
    assert (GroupRule("staff", EXEMPT, 7),) == known.rules
    assert (NOW, Policy(), False, False) == (
        known.at, known.policy, known.may_enroll, known.is_offline
    )  # fmt: skip


def test_an_unknown_name_is_told_as_a_decoy(store: HostStore) -> None:
    known, again = store.admission("mallory"), store.admission("mallory")
    assert known.record is None
    assert known.decoy == again.decoy
    assert known.decoy.recovery_salt is not None
    assert known.decoy.recovery_salt != store.admission("trent").decoy.recovery_salt


def test_a_code_is_accepted_once(client: Client, database: Database) -> None:
    enroll(database, "alice")
    code = code_of(STEP)
    assert (verifier.ACCEPTED, "phone") == verify(client, code)[:2]
    assert verifier.REPLAYED == verify(client, code).outcome
    assert verifier.REJECTED == verify(client, "000000").outcome
    rows = database.execute("SELECT host, service, rhost, event FROM totp.events ORDER BY id")
    place = ("a", SOURCE.module, SOURCE.rhost)
    accepted = [row for row in rows if row[1] == SOURCE.module]
    assert [(*place, event) for event in ("accepted", "replayed", "rejected")] == accepted


def test_a_host_may_tighten_the_window_and_never_widen_it(
    client: Client, store: HostStore, database: Database
) -> None:
    enroll(database, "alice")
    answer = Answer(verifier.CODE, code_of(STEP + 1))

    def outcome(window: int, answer: Answer) -> str:
        verdict = store.verify(
            LoginAttempt("alice", answer, Policy(window), is_decoy=False, source=SOURCE)
        )
        assert verdict is not None
        return verdict.outcome

    assert verifier.REJECTED == outcome(0, answer)
    assert verifier.REJECTED == outcome(9, Answer(verifier.CODE, code_of(STEP + 2)))
    assert verifier.ACCEPTED == outcome(1, answer)


def test_a_recovery_code_is_hashed_first_and_used_up(store: HostStore, database: Database) -> None:
    enroll(database, "alice", recovery_salt=b"s" * 16)
    database.execute("INSERT INTO totp.recovery_codes VALUES ('alice', %s)", (b"d" * 32,))
    typed = Answer(verifier.RECOVERY_CODE, "ABCD")
    hashed = typed._replace(salt=b"s" * 16, digest=b"d" * 32)
    outcomes = []
    for answer in (typed, hashed, hashed):
        verdict = store.verify(
            LoginAttempt("alice", answer, Policy(), is_decoy=False, source=SOURCE)
        )
        outcomes.append(verdict and verdict.outcome)
    assert [None, verifier.RECOVERY_USED, verifier.REJECTED] == outcomes


@pytest.mark.parametrize("name", ["not utf-8 \udcff", "nul \0 in it", "", "x" * 5000, "'; --\\"])
def test_names_that_no_store_holds_are_asked_for_as_decoys(store: HostStore, name: str) -> None:
    assert store.admission(name).record is None
    answer = Answer(verifier.CODE, "123456")
    for _ in range(2):
        verdict = store.verify(LoginAttempt(name, answer, Policy(), is_decoy=True, source=SOURCE))
        assert verdict is not None
        assert verifier.REJECTED == verdict.outcome
    assert 2 <= store.admission(name).decoy.failures
    store.have_told(name, 1)


def test_an_odd_name_never_reaches_the_user_whose_name_is_its_escaped_form(
    store: HostStore, database: Database
) -> None:
    enroll(database, r"a\x00")
    assert store.admission(r"a\x00").record is not None
    assert store.admission("a\0").record is None
    answer = Answer(verifier.CODE, code_of(STEP))
    verdict = store.verify(LoginAttempt("a\0", answer, Policy(), is_decoy=False, source=SOURCE))
    assert verdict is not None
    assert verifier.REJECTED == verdict.outcome


def test_what_a_login_comes_with_may_be_any_text(client: Client, database: Database) -> None:
    enroll(database, "alice")
    odd = SOURCE._replace(rhost="nul \0 and \udcff " + "x" * 5000)
    verdict = HostStore(client).verify(LoginAttempt(
        "alice", Answer(verifier.CODE, code_of(STEP)), Policy(),
        is_decoy=False, source=odd,
    ))  # fmt: skip
    assert verdict is not None
    assert verifier.ACCEPTED == verdict.outcome


def enrollment(secret: bytes = SECRET) -> Enrollment:
    authenticator = Authenticator("id", "phone", secret, last_accepted_step=STEP - 1)
    return Enrollment(authenticator, os.urandom(16), frozenset({b"d" * 32, b"e" * 32}), None)


def test_a_first_enrollment_is_kept_where_the_policy_allows_it(
    store: HostStore, client: Client, database: Database
) -> None:
    with pytest.raises(StoreRefused, match="policy of the fleet"):
        store.enroll_first("alice", enrollment(), None)
    database.execute("UPDATE totp.policy SET first_enrollment = true")
    assert store.admission("alice").may_enroll
    assert store.enroll_first("alice", enrollment(), None)
    assert not store.enroll_first("alice", enrollment(os.urandom(20)), None)
    assert verifier.REPLAYED == verify(client, code_of(STEP - 1)).outcome
    assert verifier.ACCEPTED == verify(client, code_of(STEP)).outcome
    assert [(2,)] == database.execute("SELECT count(*) FROM totp.recovery_codes")


def test_a_first_enrollment_overrules_nobody_who_was_faster(
    store: HostStore, database: Database
) -> None:
    database.execute("UPDATE totp.policy SET first_enrollment = true")
    database.execute("INSERT INTO totp.users (name, status) VALUES ('alice', 'must_enroll')")
    before = store.admission("alice").record
    assert before is not None
    database.execute("UPDATE totp.users SET status = 'suspended'")
    assert not store.enroll_first("alice", enrollment(), before)
    database.execute("UPDATE totp.users SET status = 'must_enroll'")
    assert store.enroll_first("alice", enrollment(), before)
    record = store.admission("alice").record
    assert record is not None
    assert users.ACTIVE == record.status


def test_wrong_codes_that_were_told_are_forgotten(store: HostStore, database: Database) -> None:
    enroll(database, "alice", untold=3)
    store.have_told("alice", 2)
    record = store.admission("alice").record
    assert record is not None
    assert 1 == record.untold


def test_only_its_own_key_proves_a_host(database: Database, tmp_path: Path) -> None:
    identity = identity_of(database, tmp_path)
    for wrong in (
        identity._replace(key=os.urandom(32)),
        identity._replace(key=b""),
        identity._replace(host="b"),
    ):
        client = Client(url_of(database), wrong)
        begun = time.monotonic()
        with pytest.raises(StoreRefused, match="has not joined") as refused:
            HostStore(client).admission("alice")
        assert "totpctl fleet add" in refused.value.hint
        assert time.monotonic() - begun < 5
        client.close()


def test_without_the_standby_that_the_policy_requires_nothing_is_judged(
    client: Client, database: Database
) -> None:
    enroll(database, "alice")
    database.execute("UPDATE totp.policy SET require_standby = true")
    with pytest.raises(StoreRefused, match="standby"):
        verify(client, code_of(STEP))
    database.execute("UPDATE totp.policy SET require_standby = false")
    assert verifier.ACCEPTED == verify(client, code_of(STEP)).outcome


def test_a_kit_knows_the_places_of_its_own_host_and_addresses_and_judges_as_the_database(
    store: HostStore, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strangers have locked alice and spent her budget, at all places that she is not known at."""
    monkeypatch.setattr(time, "time", lambda: float(NOW))
    allow(database, 4)
    enroll(database, "alice")
    known = ("192.0.2.7", "2001:db8::/64", "a: by alice", "b: at tty1", "aa: by bob")
    rows = ", ".join(f"ROW('{name}', {NOW - 3600}, 3, 0, 0)::totp.place" for name in known)
    for statement in (
        "UPDATE totp.users SET failures = 80, throttled_until = %(now)s + 900, "
        f"guesses_until = %(now)s + 80 * 25920, known_places = ARRAY[{rows}]",
        "INSERT INTO totp.kits (host, user_name, accepted_at) VALUES ('a', 'alice', %(now)s)",
    ):
        database.execute(statement, {"now": NOW})
    (record,) = store.codes_ahead(["alice"]).records
    told = {place.name: place.failures for place in record.known_places}
    assert {"192.0.2.7": 3, "2001:db8::/64": 3, "by alice": 3} == told

    key = tmp_path / "key"
    key.write_bytes(sealing.generate_key_file())
    key.chmod(0o600)
    tmp_path.chmod(0o755)
    (tmp_path / "kept").mkdir(mode=0o700)
    kit = KeptKit(str(tmp_path / "kept" / "offline.db"), str(key), may_answer=True)
    OfflineStore(store, kit).refresh(["alice"], at_once=True)
    alone = OfflineStore(store, kit, trouble=StoreUnreachable("store", "is away", "wait"))
    for rhost, ruser, tty in (
        ("192.0.2.8", "", "ssh"), ("2001:db8:0:1::9", "", "ssh"), ("", "bob", ""),
        ("", "", "tty1"), ("192.0.2.7", "", "ssh"), ("2001:db8::9", "", "ssh"), ("", "alice", ""),
    ):  # fmt: skip
        source = SOURCE._replace(rhost=rhost, ruser=ruser, tty=tty)
        outcomes = []
        for judge in (store, alone):
            verdict = judge.verify(LoginAttempt(
                "alice", Answer(verifier.CODE, "0000000"), Policy(), is_decoy=False,
                source=source,
            ))  # fmt: skip
            assert verdict is not None
            outcomes.append(verdict._replace(is_offline=False))
        assert outcomes[0] == outcomes[1], source
        is_known = source.place in told
        assert is_known == (outcomes[0].outcome == verifier.REJECTED), source
    kit.close()
