"""When a host answers for the database, and what comes first when that is back."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from pam_totp.core import verifier
from pam_totp.core.enrollment import Enrollment
from pam_totp.store import LoginAttempt
from pam_totp.store.postgresql import offline
from pam_totp.store.postgresql.offline import OfflineStore
from pam_totp.system.errors import (
    InsecureFile,
    SchemaTooNew,
    SealingError,
    StoreBusy,
    StoreCorrupt,
    StoreMissing,
    StoreRefused,
    StoreUnavailable,
    StoreUnreachable,
    Unavailable,
)
from tests.fleet.outage import (
    ALICE,
    POLICY,
    SOURCE,
    UNREACHABLE,
    FakeFleet,
    Host,
    NewHost,
    suspended,
)
from tests.support.place import SECRET, code_now

BOB = ALICE._replace(name="bob")
OTHERS = (
    StoreRefused,
    StoreUnavailable,
    StoreBusy,
    StoreMissing,
    StoreCorrupt,
    SchemaTooNew,
    SealingError,
    InsecureFile,
    Unavailable,
)


@pytest.fixture
def host(new_host: NewHost) -> Host:
    host = new_host(FakeFleet(ALICE))
    host.fill()
    return host


def questions(store: OfflineStore) -> dict[str, Callable[[], object]]:
    enrollment = Enrollment(ALICE.authenticators[0], b"", frozenset(), None)
    answer = verifier.Answer(verifier.CODE, code_now())
    return {
        "admission": lambda: store.admission("alice"),
        "verify": lambda: store.verify(
            LoginAttempt("alice", answer, POLICY, is_decoy=False, source=SOURCE)
        ),
        "have_told": lambda: store.have_told("alice", 1),
        "enroll_first": lambda: store.enroll_first("alice", enrollment, None),
        "confirm_absence": store.confirm_absence,
    }


@pytest.mark.parametrize("kind", OTHERS)
def test_only_a_database_that_cannot_be_reached_leads_offline(
    host: Host, kind: type[Unavailable]
) -> None:
    """Never a refusal, a wrong certificate, a wrong password, or a standby that is missing."""
    host.fleet.trouble = kind("store", "says no")
    for name, ask in questions(host.store).items():
        with pytest.raises(kind):
            ask()
        assert name == host.fleet.asked[-1]
    assert [] == host.entries()


def test_without_the_key_in_the_configuration_nothing_is_judged_offline(
    host: Host, new_host: NewHost
) -> None:
    strict = new_host(host.fleet, may_answer=False)
    for ask in questions(strict.store).values():
        with pytest.raises(StoreUnreachable):
            ask()
    assert [] == host.entries()


def test_without_a_kit_nothing_is_judged_offline(new_host: NewHost) -> None:
    host = new_host(FakeFleet(ALICE))
    host.fleet.trouble = UNREACHABLE
    for ask in questions(host.store).values():
        with pytest.raises(StoreUnreachable):
            ask()
    assert [] == list(host.folder.iterdir())


def test_nobody_enrolls_offline_and_no_absence_is_confirmed(host: Host) -> None:
    for name in ("enroll_first", "confirm_absence"):
        with pytest.raises(StoreUnreachable):
            questions(host.store)[name]()


def test_the_database_is_asked_first_each_time(host: Host) -> None:
    host.fleet.trouble = None
    assert not host.store.admission("alice").is_offline
    assert not host.give(code_now()).is_offline
    host.fleet.trouble = UNREACHABLE
    assert host.store.admission("alice").is_offline


# The report


@pytest.mark.parametrize("name", ["admission", "verify", "have_told", "enroll_first"])
def test_what_was_judged_offline_is_reported_before_anything_is_asked(
    host: Host, name: str
) -> None:
    assert "accepted" == host.outcome(code_now())
    host.fleet.trouble = None
    host.fleet.asked.clear()
    questions(host.store)[name]()
    assert ["report", name] == host.fleet.asked
    questions(host.store)[name]()
    assert ["report", name, name] == host.fleet.asked
    assert ["accepted"] == [entry["outcome"] for entry in host.fleet.reported]


def test_a_report_that_is_refused_denies(host: Host) -> None:
    assert "accepted" == host.outcome(code_now())
    host.fleet.trouble = None
    host.fleet.refuses_reports = StoreRefused("store", "this host was removed")
    for ask in questions(host.store).values():
        with pytest.raises(StoreRefused, match="removed"):
            ask()
    assert 1 == len(host.entries())


def test_a_report_that_cannot_be_sent_leaves_the_host_offline(host: Host) -> None:
    code = code_now()
    assert "accepted" == host.outcome(code)
    host.fleet.trouble = None
    host.fleet.refuses_reports = UNREACHABLE
    assert "replayed" == host.outcome(code)
    assert host.store.admission("alice").is_offline


def test_a_database_that_does_not_take_the_report_is_asked_nothing(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "accepted" == host.outcome(code_now())
    host.fleet.trouble = None
    monkeypatch.setattr(host.fleet, "report", lambda _: 0)
    with pytest.raises(StoreRefused, match="did not take"):
        host.store.admission("alice")


def test_a_report_whose_answer_was_lost_is_sent_again(host: Host) -> None:
    code = code_now()
    assert "accepted" == host.outcome(code)
    taken = host.fleet.report

    def lose_the_answer(entries: list[dict[str, object]]) -> int:
        taken(entries)
        host.fleet.report = taken  # type: ignore[method-assign]
        raise UNREACHABLE

    host.fleet.trouble = None
    host.fleet.report = lose_the_answer  # type: ignore[method-assign]
    assert "replayed" == host.outcome(code)
    assert not host.store.admission("alice").is_offline
    assert ([], 1) == (host.entries(), len(host.fleet.reported))


def test_a_long_report_comes_in_parts(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline, "ENTRIES_AT_ONCE", 2)
    for _ in range(5):
        host.outcome("000000")
    host.fleet.trouble = None
    host.fleet.asked.clear()
    host.store.admission("alice")
    assert ["report"] * 3 + ["admission"] == host.fleet.asked
    assert [1, 2, 3, 4, 5] == [entry["number"] for entry in host.fleet.reported]


def test_where_offline_was_turned_off_meanwhile_it_is_reported_all_the_same(
    host: Host, new_host: NewHost
) -> None:
    assert "accepted" == host.outcome(code_now())
    host.fleet.trouble = None
    strict = new_host(host.fleet, may_answer=False)
    strict.store.admission("alice")
    assert 1 == len(host.fleet.reported)
    strict.store.refresh(at_once=True)
    assert not host.kit.ask(lambda kit: kit.keeps("alice"))


def test_a_kit_that_is_damaged_denies_nobody_while_the_database_answers(host: Host) -> None:
    assert "accepted" == host.outcome(code_now())
    host.kit.close()
    for path in host.folder.iterdir():
        path.write_bytes(b"x" * 4096)
    with pytest.raises(StoreCorrupt):
        host.store.admission("alice")
    host.fleet.trouble = None
    assert not host.store.admission("alice").is_offline
    with pytest.raises(StoreCorrupt):
        host.store.refresh(at_once=True)


def test_a_kit_that_is_moved_away_is_none(host: Host) -> None:
    host.outcome("000000")
    for path in host.folder.iterdir():
        path.unlink()
    with pytest.raises(StoreUnreachable):
        host.outcome("000000")


# What is fetched


def test_a_code_that_the_database_accepts_has_codes_fetched(new_host: NewHost) -> None:
    host = new_host(FakeFleet(ALICE, BOB))
    code = code_now()
    assert "accepted" == host.outcome(code)
    assert "rejected" == host.outcome("000000", "bob")
    assert "codes_ahead" not in host.fleet.asked  # no login waits for it
    host.store.checkpoint()
    assert host.kit.ask(lambda kit: (kit.keeps("alice"), kit.keeps("bob"))) == (True, False)
    host.fleet.asked.clear()
    host.store.checkpoint()
    assert [] == host.fleet.asked
    host.fleet.trouble = UNREACHABLE
    assert "replayed" == host.outcome(code)


def test_codes_are_fetched_again_when_half_of_the_hours_are_over(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, host.fleet.trouble = time.time(), None
    for hours, expected in ((1.9, []), (2.1, ["codes_ahead"])):
        host.fleet.asked.clear()
        monkeypatch.setattr(time, "time", lambda hours=hours: now + hours * 3600)
        host.store.checkpoint()
        assert expected == host.fleet.asked


@pytest.mark.parametrize("change", ["suspend", "remove", "disallow"])
def test_what_an_administrator_decides_counts_at_the_next_refresh(
    host: Host, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if change == "suspend":
        host.fleet.records["alice"] = suspended(ALICE)
    elif change == "remove":
        host.fleet.records.clear()
    else:
        host.fleet.hours = 0
    assert "accepted" == host.outcome(code_now())  # the bound: until the hours are over
    host.fleet.trouble = None
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 2.5 * 3600)
    host.store.refresh()
    host.fleet.trouble = UNREACHABLE
    assert host.store.admission("alice").record is None
    assert "rejected" == host.outcome(code_now())


def test_once_the_fleet_allows_nothing_no_codes_of_anybody_are_kept(host: Host) -> None:
    host.fleet.hours, host.fleet.trouble = 0, None
    host.store.refresh(["bob"], at_once=True)
    assert not host.kit.ask(lambda kit: kit.keeps("alice"))


def test_what_was_fetched_before_an_answer_was_judged_here_is_not_kept(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not know that the code is used up."""
    fetch = host.fleet.codes_ahead
    host.fleet.trouble = None
    given = code_now()

    def fetch_slowly(names: list[str]) -> object:
        fetched = fetch(names)
        host.fleet.trouble = UNREACHABLE
        assert "accepted" == host.outcome(given)
        return fetched

    monkeypatch.setattr(host.fleet, "codes_ahead", fetch_slowly)
    monkeypatch.setattr(host.kit, "due", lambda: ["alice"])
    host.store.refresh(at_once=True)
    assert "replayed" == host.outcome(given)
    assert 1 == len(host.entries())


def test_a_refresh_in_vain_is_not_repeated_at_once(new_host: NewHost) -> None:
    host = new_host(FakeFleet(ALICE, hours=0))
    host.store.refresh(["alice"])
    host.store.refresh(["alice"])
    assert ["codes_ahead"] == host.fleet.asked
    host.store.refresh(at_once=True)
    assert ["codes_ahead"] * 2 == host.fleet.asked
    assert [] == list(host.folder.iterdir())


def test_after_an_outage_was_met_the_next_questions_wait_for_less(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not for ever: a database that is slow is waited for again after a minute."""
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert 12.0 == host.kit.patience(12.0)
    host.store.admission("alice")
    assert (2.0, 1.0) == (host.kit.patience(12.0), host.kit.patience(1.0))
    now += 59.0
    host.store.admission("alice")
    now += 2.0
    assert 12.0 == host.kit.patience(12.0)
    host.store.admission("alice")
    host.fleet.trouble = None
    host.store.admission("alice")
    assert 12.0 == host.kit.patience(12.0)


def test_a_fleet_that_need_not_be_asked_is_not(host: Host) -> None:
    host.fleet.trouble = None
    host.fleet.asked.clear()
    alone = OfflineStore(host.fleet, host.kit, trouble=UNREACHABLE)
    assert alone.admission("alice").is_offline
    assert [] == host.fleet.asked


def test_a_refresh_is_bounded(new_host: NewHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline, "USERS_AT_ONCE", 2)
    names = [f"user{number}" for number in range(5)]
    fleet = FakeFleet(*(ALICE._replace(name=name, authenticators=()) for name in names))
    host = new_host(fleet)
    host.store.refresh(names)
    assert ["codes_ahead"] * 3 == fleet.asked
    assert host.kit.ask(lambda kit: all(map(kit.keeps, names)))


def test_numbers_go_on_from_those_that_the_database_knows(new_host: NewHost) -> None:
    """A host that was installed again: what it reports must not pass for known already."""
    host = new_host(FakeFleet(ALICE))
    host.fleet.reported = [{"number": 41}]
    host.fill()
    assert "accepted" == host.outcome(code_now())
    assert [42] == [entry["number"] for entry in host.entries()]
    assert SECRET not in b"".join(path.read_bytes() for path in host.folder.iterdir())
