"""A login on a host of a fleet: who is judged where, and what a store that is no use lets in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest

from pam_totp.core.admission import LOCAL_STORE_UNKNOWN
from pam_totp.core.users import EXEMPT, SUSPENDED, UserRecord
from pam_totp.core.verifier import Policy
from pam_totp.login import fleet, messages
from pam_totp.store.postgresql.kept_kit import KeptKit
from pam_totp.system.errors import StoreBusy, StoreRefused, StoreUnavailable, StoreUnreachable
from tests.support.logs import fields
from tests.support.place import Place, code_now, wrong_code
from tests.unit.door import Door
from tests.unit.engine import URL, Engine, join


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, door: Door) -> Engine:
    """Alice is local, bob is enrolled in the fleet, carol and dave are in no store."""
    join(door.place)
    engine = Engine(monkeypatch)
    engine.enroll("bob")
    return engine


def reasons(door: Door) -> list[str]:
    return [fields(line).get("reason", "") for line in door.log.lines()]


def test_a_login_asks_the_fleet_twice(door: Door, engine: Engine) -> None:
    assert "PAM_SUCCESS" == door.login(code_now(), user="bob").result
    assert ["admission", "verify"] == engine.names()
    assert ["accepted"] == door.log.events()


def test_no_connection_is_kept_while_a_person_types(door: Door, engine: Engine) -> None:
    open_then: list[int] = []

    def look() -> None:
        open_then.append(len(engine.clients) - engine.closed)

    door.login(door.meanwhile(code_now(), look), user="bob")
    assert [0] == open_then
    assert len(engine.clients) == engine.closed


def test_whom_the_local_store_holds_it_judges_and_the_fleet_is_not_asked(
    door: Door, engine: Engine
) -> None:
    engine.problem = AssertionError("was asked")
    assert "PAM_SUCCESS" == door.login(wrong_code(), code_now()).result
    assert ["rejected", "accepted"] == door.log.events()
    assert [] == engine.asked == engine.clients


@pytest.mark.parametrize("status", [SUSPENDED, EXEMPT])
def test_what_the_local_store_says_of_a_name_the_fleet_does_not_overrule(
    door: Door, engine: Engine, status: str
) -> None:
    door.place.enrol("alice", label="second", status=status)
    engine.enroll("alice")
    expected = "PAM_IGNORE" if status == EXEMPT else "PAM_AUTH_ERR"
    assert expected == door.login(*[code_now()] * 3).result
    assert [] == engine.asked


def test_without_a_local_store_nobody_is_local(door: Door, engine: Engine) -> None:
    for path in door.place.store_path.parent.iterdir():
        path.unlink()
    assert "PAM_SUCCESS" == door.login(code_now(), user="bob").result
    assert "PAM_AUTH_ERR" == door.login(*[code_now()] * 3).result
    assert ["accepted", "unenrolled", *["rejected"] * 3] == door.log.events()


@pytest.mark.parametrize("user", ["carol", "nobody-here"])
def test_whom_no_store_holds_is_denied_by_the_decoy_of_the_fleet(
    door: Door, engine: Engine, user: str
) -> None:
    assert "PAM_AUTH_ERR" == door.login(*[code_now()] * 3, user=user).result
    assert ["admission", *["verify"] * 3] == engine.names()
    assert ["unenrolled", *["rejected"] * 3] == door.log.events()


# A local store that cannot be used


def damage(place: Place) -> None:
    place.store_path.write_bytes(b"this is no database" * 500)


DAMAGES: list[Callable[[Place], object]] = [
    damage,
    lambda place: place.store_path.chmod(0o666),
    lambda place: place.key_path.unlink(),
    lambda place: place.store_path.write_bytes(b""),
]


@pytest.mark.parametrize("spoil", DAMAGES)
def test_with_a_local_store_of_no_use_a_code_of_the_fleet_is_the_way_back(
    door: Door, engine: Engine, spoil: Callable[[Place], object]
) -> None:
    spoil(door.place)
    assert "PAM_SUCCESS" == door.login(code_now(), user="bob").result
    assert ["error", "accepted"] == door.log.events()
    assert str(door.place.folder) in reasons(door)[0]


@pytest.mark.parametrize("spoil", DAMAGES)
@pytest.mark.parametrize("unenrolled", ["skip", "enroll"])
def test_with_a_local_store_of_no_use_nobody_gets_in_without_a_code(
    door: Door, engine: Engine, spoil: Callable[[Place], object], unenrolled: str
) -> None:
    """Alice may be suspended there, and bob as well."""
    join(door.place, unenrolled=unenrolled)
    engine.people["bob"] = UserRecord("bob", status=EXEMPT)
    spoil(door.place)
    for user in ("alice", "bob"):
        assert "PAM_AUTH_ERR" == door.login(*["000000"] * 3, user=user).result
        assert LOCAL_STORE_UNKNOWN in reasons(door)


@pytest.mark.parametrize("unenrolled", ["skip", "deny"])
def test_what_damage_took_from_the_local_store_lets_nobody_in(
    door: Door, engine: Engine, monkeypatch: pytest.MonkeyPatch, unenrolled: str
) -> None:
    """Who is not found there may have been: before anybody is skipped, all of it is checked."""
    join(door.place, unenrolled=unenrolled)
    checked: list[str] = []
    monkeypatch.setattr(
        "pam_totp.store.sqlite.store.SQLiteStore.confirm_absence",
        lambda self: checked.append(self.database.path),
    )
    expected = "PAM_IGNORE" if unenrolled == "skip" else "PAM_AUTH_ERR"
    assert expected == door.login(*["000000"] * 3, user="carol").result
    assert [str(door.place.store_path)] * (unenrolled == "skip") == checked


def test_a_local_store_that_is_busy_is_no_reason_to_ask_the_fleet(
    door: Door, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may hold the name: whoever waits for it finds out."""

    def busy(*_: object) -> None:
        raise StoreBusy("/store.db", "is locked")

    monkeypatch.setattr("pam_totp.store.sqlite.store.SQLiteStore.admission", busy)
    assert "PAM_AUTHINFO_UNAVAIL" == door.login(user="alice").result
    assert [] == engine.asked


# A fleet that cannot be used


@pytest.mark.parametrize(
    "problem",
    [
        StoreUnreachable(URL, "db1:5432 does not answer in time"),
        StoreRefused(URL, "it refuses the login", "compare the password"),
    ],
)
@pytest.mark.parametrize("unenrolled", ["deny", "skip"])
def test_where_the_fleet_does_not_answer_its_people_are_denied_and_told_and_the_log_says_why(
    door: Door, engine: Engine, problem: StoreUnreachable, unenrolled: str
) -> None:
    join(door.place, unenrolled=unenrolled)
    engine.problem = problem
    denied = door.login(user="bob")
    assert ("PAM_AUTHINFO_UNAVAIL", [messages.UNAVAILABLE]) == (denied.result, denied.messages)
    assert [str(problem)] == reasons(door)
    assert "PAM_SUCCESS" == door.login(code_now()).result


def test_a_host_that_has_not_joined_denies_and_says_so(door: Door, engine: Engine) -> None:
    join(door.place).unlink()
    assert "PAM_AUTHINFO_UNAVAIL" == door.login(user="bob").result
    (line,) = door.log.lines()
    assert "has not joined the fleet" in fields(line)["reason"]
    assert "totpctl fleet add" in fields(line)["hint"]


def test_an_identity_that_others_can_read_is_refused(door: Door, engine: Engine) -> None:
    join(door.place).chmod(0o644)
    assert "PAM_AUTHINFO_UNAVAIL" == door.login(user="bob").result
    assert [] == engine.clients


def test_of_two_hosts_the_one_with_the_narrower_window_is_stricter(
    door: Door, engine: Engine
) -> None:
    join(door.place, window=0)
    assert "PAM_AUTH_ERR" == door.login(*[code_now(-1)] * 3, user="bob").result
    join(door.place, window=5)
    assert "PAM_AUTH_ERR" == door.login(*[code_now(2)] * 3, user="bob").result


def test_of_somebody_whom_the_policy_of_the_fleet_throttles_nothing_is_hashed(
    door: Door, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does anybody wait for the database where no signal is heard."""
    engine.policy = Policy(throttle_after=1)
    engine.enroll("bob", failures=1, throttled_until=int(door.clock.now) + 30)
    assert "PAM_MAXTRIES" == door.login("ABCD-EFGH-JKMN-PQRS", user="bob").result
    assert [b""] == [answer.digest for answer in engine.answered]


# Patience


def test_a_login_has_one_patience_for_all_that_it_asks(
    door: Door, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0

    def monotonic() -> float:
        nonlocal now
        now += 1.0  # so each question takes a second
        return now

    monkeypatch.setattr(fleet.time, "monotonic", monotonic)
    door.login(*[wrong_code()] * 3, user="bob")
    left = [question.patience for question in engine.asked]
    assert [20.0, 19.0, 18.0, 17.0] == left


def test_time_in_a_queue_and_for_other_stores_counts(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(fleet.time, "monotonic", lambda: now)
    kit = KeptKit("/nowhere/offline.db", "/nowhere/key", may_answer=False)
    lent = fleet.Lent(engine, kit)  # type: ignore[arg-type]
    one = fleet.Fleet(URL, lambda: nullcontext(lent))
    one.hand_over(has_waited=3.0)
    now += 4.0
    one.look_up("bob", "")
    one.hand_over(has_waited=3.0)
    one.look_up("bob", "")
    assert [13.0, 13.0] == [question.patience for question in engine.asked]
    one.hand_over(has_waited=3.0)
    now += 13.0
    with pytest.raises(StoreUnreachable, match="too slowly"):
        one.look_up("bob", "")


def test_a_crowd_before_a_database_that_answers_takes_no_host_offline(engine: Engine) -> None:
    kit = KeptKit("/nowhere/offline.db", "/nowhere/key", may_answer=True)
    lent = fleet.Lent(engine, kit)  # type: ignore[arg-type]
    one = fleet.Fleet(URL, lambda: nullcontext(lent))
    for answered, kind in ((False, StoreUnreachable), (True, StoreUnavailable)):
        engine.answered_lately = answered
        one.hand_over(has_waited=fleet.PATIENCE)
        with pytest.raises(StoreUnavailable, match="too slowly") as raised:
            one.look_up("bob", "")
        assert kind is raised.type


def test_once_the_patience_is_spent_nothing_is_asked(
    door: Door, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(fleet.time, "monotonic", lambda: now)
    real = engine.answers.wait

    def slow(_seconds: float) -> bool:
        nonlocal now
        now += 11.0
        return real(0)

    monkeypatch.setattr(engine.answers, "wait", slow)
    denied = door.login(*[wrong_code()] * 3, user="bob")
    assert "PAM_AUTHINFO_UNAVAIL" == denied.result
    assert [20.0, 9.0] == [question.patience for question in engine.asked]
    assert "answers too slowly" in reasons(door)[-1]
