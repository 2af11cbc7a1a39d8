"""What a host reports after an outage: taken once, and believed as far as a kit could hold it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pam_totp.core import otp
from tests.fleet.reporting import Reporter, allow, code_of, enroll, give
from tests.support.postgres import Database

HOURS = 4


class Outage:
    """alice has logged in on two hosts, which then keep her codes."""

    def __init__(self, database: Database) -> None:
        self.database = database
        allow(database, HOURS)
        self.phone = enroll(database, "alice")
        self.hosts = tuple(Reporter(database, name) for name in ("a", "b"))
        for host in self.hosts:
            self.let_codes_be_good_again()
            assert "accepted" == host.verify("alice", code_of(self.step))
            host.codes_ahead("alice")
        self.let_codes_be_good_again()

    @property
    def step(self) -> int:
        return int(time.time()) // 30

    def let_codes_be_good_again(self) -> None:
        """As an hour later, and without its events."""
        self.database.execute("UPDATE totp.authenticators SET last_accepted_step = 1")
        self.database.execute("DELETE FROM totp.events WHERE event = 'accepted'")

    def accepted(
        self, number: int = 1, step: int | None = None, **fields: object
    ) -> dict[str, Any]:
        used = [[self.phone, self.step if step is None else step]]
        return entry(number, outcome="accepted", used=used) | fields

    def user(self, columns: str) -> tuple[Any, ...]:
        (row,) = self.database.execute(f"SELECT {columns} FROM totp.users WHERE name = 'alice'")
        return row

    def last_step(self) -> int:
        ((step,),) = self.database.execute("SELECT last_accepted_step FROM totp.authenticators")
        return int(step)

    def events(self) -> list[str]:
        rows = self.database.execute("SELECT event FROM totp.events WHERE offline ORDER BY id")
        return [event for (event,) in rows]


def entry(number: int, **fields: object) -> dict[str, Any]:
    told = {"number": number, "user": "alice", "outcome": "rejected", "at": int(time.time())}
    return told | {"used": [], "service": "sshd", "rhost": "192.0.2.1"} | fields


@pytest.fixture
def outage(database: Database) -> Outage:
    return Outage(database)


def test_a_code_that_was_used_offline_is_used_up_everywhere(outage: Outage) -> None:
    step, (host, other) = outage.step, outage.hosts
    assert 1 == host.report(outage.accepted(step=step))
    assert step == outage.last_step()
    assert "replayed" == other.verify("alice", code_of(step))
    row = outage.database.execute(
        "SELECT host, user_name, event, service, rhost, authenticator, authenticator_id, step, "
        "abs(extract(epoch FROM at - now())) < 60 FROM totp.events WHERE offline"
    )
    expected = ("a", "alice", "accepted", "sshd", "192.0.2.1", "phone", outage.phone, step, True)
    assert [expected] == row


def test_a_report_that_comes_twice_counts_once(outage: Outage) -> None:
    """Its answer was lost, or the host has told only a part of it before."""
    (host, _), entries = outage.hosts, [entry(1), outage.accepted(2), entry(3), entry(4)]
    assert 3 == host.report(*entries[:3])
    assert 3 == host.report(*entries[:3])
    assert 4 == host.report(*entries)
    assert 4 == host.report()
    assert ["rejected", "accepted", "rejected", "rejected"] == outage.events()
    assert (2, 3) == outage.user("failures, untold")


def test_the_database_says_which_entry_it_knows_last(outage: Outage) -> None:
    host, _ = outage.hosts
    host.report(entry(7))
    assert 7 == host.codes_ahead("alice")["last_merged"]


def test_a_code_used_offline_and_online_is_a_warning(outage: Outage) -> None:
    step, (host, other) = outage.step, outage.hosts
    assert "accepted" == other.verify("alice", code_of(step))
    host.report(outage.accepted(step=step))
    assert ["accepted_twice"] == outage.events()
    assert step == outage.last_step()


def test_a_code_used_on_two_hosts_that_were_cut_off_is_a_warning(outage: Outage) -> None:
    outage.database.execute("UPDATE totp.kits SET fetched_at = fetched_at - 3600")
    step = outage.step - 20
    for host in outage.hosts:
        host.report(outage.accepted(step=step))
    assert ["accepted", "accepted_twice"] == outage.events()


def test_an_older_code_that_nobody_used_is_no_warning(outage: Outage) -> None:
    (host, other), step = outage.hosts, outage.step
    assert "accepted" == other.verify("alice", code_of(step))
    outage.database.execute("UPDATE totp.kits SET fetched_at = fetched_at - 3600")
    host.report(outage.accepted(step=step - 20))
    assert ["accepted"] == outage.events()
    assert step == outage.last_step()


def test_no_report_makes_a_used_code_good_again(outage: Outage) -> None:
    (host, other), step = outage.hosts, outage.step
    assert "accepted" == other.verify("alice", code_of(step))
    host.report(outage.accepted(1, step - 9), outage.accepted(2, 0), outage.accepted(3, step - 1))
    assert step == outage.last_step()


def test_no_report_uses_up_codes_that_cannot_be_entered_yet(outage: Outage) -> None:
    host, _ = outage.hosts
    for number, ahead in enumerate([4, 60, HOURS * 120, 10**9, 10**15], 1):
        host.report(outage.accepted(number, outage.step + ahead))
        assert 1 == outage.last_step()
    assert ["report_refused"] * 5 == outage.events()


@pytest.mark.parametrize("learned", [-300, 300])
def test_codes_of_a_clock_that_is_followed_are_believed(outage: Outage, learned: int) -> None:
    outage.database.execute("UPDATE totp.authenticators SET learned = %s", (learned,))
    host, _ = outage.hosts
    of_the_token = outage.step + learned // 30
    of_a_right_clock = outage.step + 20
    host.report(outage.accepted(1, of_the_token), outage.accepted(2, of_a_right_clock))
    assert ["accepted", "report_refused"] == outage.events()
    assert of_the_token == outage.last_step()


def test_a_report_uses_up_no_more_than_the_next_minute_and_a_half(outage: Outage) -> None:
    host, _ = outage.hosts
    host.report(*(outage.accepted(1 + ahead, outage.step + ahead) for ahead in range(50)))
    assert outage.last_step() <= outage.step + 2


def test_steps_that_no_kit_held_are_refused(outage: Outage) -> None:
    host, _ = outage.hosts
    host.report(outage.accepted(step=outage.step - 120))
    assert (["report_refused"], 1) == (outage.events(), outage.last_step())


def test_nothing_is_believed_of_somebody_whose_codes_the_host_was_not_given(outage: Outage) -> None:
    stranger = Reporter(outage.database, "c")
    assert 3 == stranger.report(entry(1), outage.accepted(2), entry(3, user="nobody"))
    assert ["report_refused", "report_refused"] == outage.events()
    assert (0, 0) == outage.user("failures, untold")
    assert 1 == outage.last_step()


def test_wrong_codes_count_as_if_they_had_been_entered_here(outage: Outage) -> None:
    host, _ = outage.hosts
    now = int(time.time())
    host.report(*(entry(number) for number in range(1, 4)))
    assert (3, 3, 0) == outage.user("failures, untold, throttled_until")
    (guesses_until,) = outage.user("guesses_until")
    assert abs(guesses_until - now - 3 * 25_920) < 60


def test_a_right_code_ends_the_row_of_the_wrong_ones_before_it(outage: Outage) -> None:
    """And none of those that the database knows: a host could make it forget them."""
    outage.database.execute("UPDATE totp.users SET failures = 3")
    host, _ = outage.hosts
    host.report(entry(1), entry(2), outage.accepted(3), entry(4))
    assert (4, 3) == outage.user("failures, untold")


def test_a_host_that_lies_about_wrong_codes_locks_nobody_out(outage: Outage) -> None:
    """No more count than the throttle lets through: 5 at once, however often it reports."""
    host, _ = outage.hosts
    lies = [entry(number) for number in range(1, 2001)]
    for at in range(0, 1000, 200):
        host.report(*lies[at : at + 200])
        host.codes_ahead("alice")
    assert (5,) == outage.user("failures")
    (throttled_until,) = outage.user("throttled_until")
    assert throttled_until <= time.time() + 30
    for at in (1000, 1500):
        outage.database.execute("UPDATE totp.kits SET counted_at = counted_at - 10 * 86400")
        host.report(*lies[at : at + 500])
        assert (79,) == outage.user("failures")


def test_a_login_that_the_database_has_seen_makes_reports_believed_again(outage: Outage) -> None:
    host, _ = outage.hosts
    host.report(*(entry(number) for number in range(1, 10)))
    outage.database.execute("UPDATE totp.users SET failures = 0, throttled_until = 0")
    assert "accepted" == host.verify("alice", code_of(outage.step))
    host.report(*(entry(number) for number in range(10, 20)))
    assert (5,) == outage.user("failures")


def test_the_throttle_lets_as_many_guesses_through_as_the_threat_model_says(
    outage: Outage,
) -> None:
    ((in_four_hours, in_a_day),) = outage.database.execute(
        "SELECT totp.guesses_within(14400, 0, p), totp.guesses_within(86400, 0, p) "
        "FROM totp.policy p"
    )
    assert (24, 100) == (in_four_hours, in_a_day)


def test_after_the_end_of_a_kit_its_host_throttles_nobody(outage: Outage) -> None:
    host, _ = outage.hosts
    host.report(entry(1))
    outage.database.execute("UPDATE totp.kits SET until = fetched_at - 1")
    host.report(*(entry(number) for number in range(2, 100)))
    assert (1,) == outage.user("failures")


def test_a_login_of_somebody_who_was_shut_out_meanwhile_is_a_warning(outage: Outage) -> None:
    host, _ = outage.hosts
    statements = (
        "UPDATE totp.users SET status = 'suspended'",
        "UPDATE totp.users SET status = 'active', groups = '{db}'",
        "DELETE FROM totp.authenticators",
        "DELETE FROM totp.users",
    )
    for number, statement in enumerate(statements, 1):
        outage.database.execute(statement)
        host.report(outage.accepted(number, outage.step - 3 + number))
    assert ["accepted_void"] * len(statements) == outage.events()


ODD = [
    5,
    None,
    "entry",
    [],
    {},
    {"number": 1},
    {"number": "1", "user": "alice"},
    {"number": 1, "user": 5},
    {"number": 1e300, "user": "alice"},
    {"number": -1, "user": "alice"},
    {"user": "alice"},
    {"user": "alice", "outcome": "accepted"},
    {"user": "alice", "outcome": "accepted", "used": [1, [], [None, 1], {}]},
    {"user": "alice", "outcome": "accepted", "used": [["x"]], "at": "now"},
    {"user": "alice", "outcome": "accepted", "used": [["x", 1e300]], "at": 1e300},
    {"user": "alice", "outcome": "unlocked"},
    {"user": "x" * 9000, "outcome": "rejected", "service": 5, "rhost": ["x"]},
]


def test_no_entry_keeps_those_after_it_from_being_taken(outage: Outage) -> None:
    """A host would be denied for good: it is asked nothing else before its report."""
    host, _ = outage.hosts
    for at, odd in enumerate(ODD):
        number = 2 * at + 1
        told = {"number": number} | odd if isinstance(odd, dict) else odd
        outage.let_codes_be_good_again()
        assert number + 1 == host.report(told, outage.accepted(number + 1)), odd
        assert outage.last_step() > 1, odd


def test_hosts_that_report_at_the_same_time_do_not_lock_each_other(outage: Outage) -> None:
    for name in ("bob", "carol", "dora"):
        enroll(outage.database, name)
    names = ["alice", "bob", "carol", "dora"]
    with ThreadPoolExecutor(8) as pool:
        done = [
            pool.submit(
                outage.hosts[turn % 2].report,
                *(
                    entry(turn * 10 + at, user=name)
                    for at, name in enumerate(names[:: 1 - turn % 2 * 2])
                ),
            )
            for turn in range(1, 17)
        ]
    assert 16 == len([one.result() for one in done])


def test_a_report_moves_no_counter(outage: Outage) -> None:
    """No kit holds codes of one, and a time in its place would end the token."""
    token = give(outage.database, "alice", label="token", kind=otp.HOTP)
    used = [[token, outage.step], [token, 1]]
    outage.hosts[0].report(entry(1, outcome="accepted", used=used))
    ((counter,),) = outage.database.execute(
        "SELECT last_accepted_step FROM totp.authenticators WHERE label = 'token'"
    )
    assert -1 == counter
    assert ["accepted_void"] == outage.events()
