"""A host answers by the codes that it keeps: as the database would, each code once, for hours."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pam_totp.core import otp, verifier
from pam_totp.core.places import KnownPlace
from pam_totp.core.users import Authenticator, UserRecord
from pam_totp.core.verifier import Answer, Verdict
from pam_totp.store import LoginAttempt
from pam_totp.store.postgresql import codes_ahead, kit
from pam_totp.store.postgresql.kept_kit import KeptKit
from pam_totp.system.errors import (
    SealingError,
    StoreUnavailable,
    StoreUnreachable,
)
from tests.fleet.outage import ALICE, HOURS, POLICY, SOURCE, FakeFleet, Host, NewHost, run_of
from tests.support.place import ROOT, SECRET

NOW = 1_700_000_010  # the first second of a step


class Clock:
    def __init__(self) -> None:
        self.now = float(NOW)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: clock.now)
        yield clock


@pytest.fixture
def host(new_host: NewHost, clock: Clock) -> Host:
    host = new_host(FakeFleet(ALICE))
    host.fill()
    return host


def code(at: float) -> str:
    return otp.hotp(SECRET, int(at) // 30)


# Judging


def test_a_code_is_accepted_once_and_has_to_be_reported(host: Host, clock: Clock) -> None:
    expected = Verdict(verifier.ACCEPTED, "phone", is_offline=True)
    assert expected == host.give(code(clock.now))
    replayed = Verdict(verifier.REPLAYED, "phone", wait=30, is_offline=True)
    assert replayed == host.give(code(clock.now))
    assert [
        {
            "number": 1,
            "user": "alice",
            "outcome": "accepted",
            "at": NOW,
            "used": [["id", NOW // 30]],
            "service": "sshd",
            "rhost": "192.0.2.1",
        }
    ] == host.entries()


def test_no_drift_is_learned_that_the_database_does_not_know(host: Host, clock: Clock) -> None:
    """It would refuse the report of a code that the drift alone let in, and accept it later."""
    for _ in range(6):
        assert "accepted" == host.outcome(code(clock.now - 30))
        clock.now += 300
    assert "rejected" == host.outcome(code(clock.now - 60))
    assert "accepted" == host.outcome(code(clock.now + 30))


@pytest.mark.parametrize("learned", [-200, 200])
def test_a_clock_that_is_followed_is_so_here_and_a_right_one_gets_in(
    new_host: NewHost, clock: Clock, learned: int
) -> None:
    (phone,) = ALICE.authenticators
    drifting = ALICE._replace(authenticators=(phone._replace(learned=learned),))
    host = new_host(FakeFleet(drifting))
    host.fill()
    clock.now += 60
    assert "rejected" == host.outcome(code(clock.now - learned))
    for ahead in sorted((0, learned)):
        assert "accepted" == host.outcome(code(clock.now + ahead)), ahead


def test_the_window_is_the_same_as_with_secrets(host: Host, clock: Clock) -> None:
    for offset, expected in ((-2, "rejected"), (2, "rejected"), (-1, "accepted"), (1, "accepted")):
        assert expected == host.outcome(code(clock.now + 30 * offset)), offset


def test_wrong_codes_are_throttled_as_with_secrets(host: Host, clock: Clock) -> None:
    record = ALICE
    for number in range(12):
        given = f"{number:06d}"
        expected, record = verifier.verify(
            record, Answer(verifier.CODE, given), int(clock.now), POLICY
        )
        assert expected._replace(is_offline=True) == host.give(given)
        clock.now += 20 * number
    assert {"rejected"} == {entry["outcome"] for entry in host.entries()}
    assert record.failures == len(host.entries())


# Known places: what is kept for them is counted by each host for itself, and in no report


HOME, AWAY = "192.0.2.1", "198.51.100.9"
INTERVAL = 30 * 86_400 // 100
WRONG = "0000000"  # of seven digits: nobody's


def at_its_bound(now: float, **fields: Any) -> UserRecord:
    """Return alice as reports of wrong codes leave her, at most; HOME is known."""
    hour = int(now) - int(now) % 3600
    record = ALICE._replace(
        failures=79,
        guesses_until=int(now) + 80 * INTERVAL,
        known_places=(KnownPlace(HOME, hour),),
    )
    return record._replace(**fields)


@pytest.fixture
def bounded(new_host: NewHost, clock: Clock) -> Host:
    """A host that keeps alice as at_its_bound() has her."""
    host = new_host(FakeFleet(at_its_bound(clock.now)))
    host.fill()
    return host


def guess(host: Host, clock: Clock) -> int:
    """Guess at HOME until a refresh is due; return how many guesses were looked at."""
    guesses = 0
    for _ in range(0, HOURS * 1800 + 120, 60):
        guesses += host.outcome(WRONG) == verifier.REJECTED
        clock.now += 60
    return guesses


def refresh(host: Host, record: UserRecord) -> None:
    host.fleet.records["alice"] = record
    host.fill()


def test_strangers_keep_nobody_out_of_a_known_place_while_a_host_answers_alone(
    bounded: Host, clock: Clock
) -> None:
    given = code(clock.now)
    assert verifier.THROTTLED == bounded.give(given, rhost=AWAY).outcome
    assert verifier.ACCEPTED == bounded.give(given, rhost=HOME).outcome


def test_outages_one_after_the_other_give_a_known_place_no_more_guesses(
    bounded: Host, clock: Clock
) -> None:
    guesses = guess(bounded, clock)
    for _ in range(24):  # two days
        refresh(bounded, at_its_bound(clock.now))
        guesses += guess(bounded, clock)
    assert 10 == guesses


@pytest.mark.parametrize("how", ["a login elsewhere", "unlock"])
def test_what_ends_a_row_in_the_database_ends_that_of_a_place_here(
    bounded: Host, clock: Clock, how: str
) -> None:
    assert 10 == guess(bounded, clock)
    (phone,) = ALICE.authenticators
    used = phone._replace(last_accepted_step=int(clock.now) // 30 - 5)
    if how == "unlock":
        after = at_its_bound(clock.now, failures=0, guesses_until=0)
    else:
        clock.now += 4 * INTERVAL  # what is slow comes back by itself alone
        after = at_its_bound(clock.now, failures=7, authenticators=(used,))
    refresh(bounded, after)
    expected = 16 if how == "unlock" else 4
    assert expected == guess(bounded, clock)


def test_of_unknown_names_wrong_codes_count_and_nothing_is_reported(
    host: Host, clock: Clock
) -> None:
    for _ in range(5):
        verdict = host.give(code(clock.now), "mallory", is_decoy=True)
        assert verifier.REJECTED == verdict.outcome
    assert verifier.THROTTLED == host.give(code(clock.now), "mallory", is_decoy=True).outcome
    assert [] == host.entries()
    known = host.store.admission("mallory")
    assert (None, True, 5) == (known.record, known.is_offline, known.decoy.failures)


def test_a_user_who_was_admitted_by_the_database_and_is_not_kept_is_refused(host: Host) -> None:
    """The cable was cut between the two."""
    assert verifier.REJECTED == host.give("000000", "bob").outcome
    assert 1 == host.store.admission("bob").decoy.failures


def test_admission_tells_what_is_kept_and_no_codes(host: Host) -> None:
    known = host.store.admission("alice")
    assert known.record is not None
    (phone,) = known.record.authenticators
    assert (True, POLICY, None) == (known.is_offline, known.policy, phone.secret)


def test_recovery_codes_are_not_checked_and_not_counted(host: Host) -> None:
    for digest in (b"", bytes(32)):
        answer = Answer(verifier.RECOVERY_CODE, "0123456789ABCDEF", bytes(16), digest)
        with pytest.raises(StoreUnreachable, match="recovery codes are checked there alone"):
            host.store.verify(LoginAttempt("alice", answer, POLICY, is_decoy=False, source=SOURCE))
    assert [] == host.entries()


def test_wrong_codes_are_told_once(host: Host, clock: Clock) -> None:
    host.outcome("000000")
    assert 1 == host.give(code(clock.now)).failed_before
    host.store.have_told("alice", 1)
    clock.now += 30
    assert 0 == host.give(code(clock.now)).failed_before


def test_every_authenticator_of_a_secret_is_used_up(new_host: NewHost, clock: Clock) -> None:
    two = (Authenticator("1", "phone", SECRET), Authenticator("2", "spare", SECRET))
    host = new_host(FakeFleet(ALICE._replace(authenticators=two)))
    host.fill()
    assert "accepted" == host.outcome(code(clock.now))
    assert "replayed" == host.outcome(code(clock.now))
    (entry,) = host.entries()
    assert [["1", NOW // 30], ["2", NOW // 30]] == entry["used"]


@pytest.mark.parametrize("digits", [6, 8])
def test_a_run_of_codes_matches_as_its_secret_does(digits: int) -> None:
    one = Authenticator("id", "phone", SECRET, "SHA256", digits)
    kept = one._replace(secret=run_of(one, 100, 300))
    for step in (99, 100, 101, 299, 300, 301):
        given = otp.hotp(SECRET, step, "SHA256", digits)
        expected = [step] if 100 <= step <= 300 else []
        assert expected == codes_ahead.matching_steps(kept, given, range(step - 1, step + 2))
    other = otp.hotp(SECRET, 200, "SHA256", 14 - digits)
    assert [] == codes_ahead.matching_steps(kept, other, range(100, 301))
    nothing = one._replace(secret=codes_ahead.run(0, b""))
    assert [] == codes_ahead.matching_steps(nothing, "0" * digits, range(-5, 5))


# Time


def test_a_kit_ends_after_its_hours(host: Host, clock: Clock) -> None:
    clock.now += HOURS * 3600 - 1
    assert "accepted" == host.outcome(code(clock.now))
    clock.now += 31
    assert "rejected" == host.outcome(code(clock.now))
    assert host.store.admission("alice").record is None


def test_a_clock_that_is_set_back_makes_no_code_good_again(host: Host, clock: Clock) -> None:
    clock.now += 3600
    assert "rejected" == host.outcome("000000")
    clock.now -= 1800
    verdict = host.give(code(clock.now))  # which somebody has seen, and nobody has used
    assert (verifier.REJECTED, True) == (verdict.outcome, verdict.clock_is_behind)
    assert "accepted" == host.outcome(code(NOW + 3600))


def test_a_clock_that_is_set_back_makes_no_kit_last_longer(host: Host, clock: Clock) -> None:
    clock.now += HOURS * 3600 + 60
    assert "rejected" == host.outcome(code(clock.now))
    clock.now = float(NOW)
    assert "rejected" == host.outcome(code(clock.now))
    assert host.store.admission("alice").record is None


def test_a_clock_that_was_ahead_is_forgotten_with_the_next_refresh(
    host: Host, clock: Clock
) -> None:
    clock.now += 10 * 86_400
    host.outcome("000000")
    clock.now = float(NOW)
    assert host.store.admission("alice").record is None
    host.fill()
    assert "accepted" == host.outcome(code(clock.now))


# The file


def test_without_the_sealing_key_the_file_shows_no_code(host: Host) -> None:
    content = b"".join(path.read_bytes() for path in host.folder.iterdir())
    kept = run_of(ALICE.authenticators[0], NOW // 30 - 1, NOW // 30 + HOURS * 120)
    assert b"alice" in content
    for at in range(8, len(kept) - 8, 44):
        assert kept[at : at + 8] not in content
        assert otp.hotp(SECRET, NOW // 30 - 3 + at // 4).encode() not in content


def test_with_another_sealing_key_it_does_not_open(host: Host, tmp_path: Path) -> None:
    host.kit.close()
    Path(host.key_path).write_text("ab" * 32)
    with pytest.raises(SealingError):
        host.outcome("000000")


def test_it_is_for_root_alone(host: Host) -> None:
    assert {0o600} == {path.stat().st_mode & 0o777 for path in host.folder.iterdir()}


def test_of_forty_logins_at_once_one_is_accepted(new_host: NewHost) -> None:
    host = new_host(FakeFleet(ALICE))
    host.fill()
    kits = [
        KeptKit(host.path, host.key_path, may_answer=True) for _ in range(4)
    ]  # as many processes
    given = code(time.time())
    outcomes: list[str] = []

    def log_in(number: int) -> None:
        answer = Answer(verifier.CODE, given)
        outcomes.append(
            kits[number % 4]
            .ask(
                lambda kit: kit.judge(LoginAttempt("alice", answer, POLICY, SOURCE, is_decoy=False))
            )
            .outcome
        )

    threads = [threading.Thread(target=log_in, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ["accepted"] + ["replayed"] * 39 == sorted(outcomes)
    assert 1 == len(host.entries())
    for each in kits:
        each.close()


_KILLED = """
import os, signal, sys
from pathlib import Path
from tests.fleet.outage import FakeFleet, Host, UNREACHABLE
fleet = FakeFleet()
fleet.trouble = UNREACHABLE
host = Host(Path(sys.argv[1]), fleet)
assert "accepted" == host.outcome(sys.argv[2])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_code_is_used_up_before_anybody_is_told(tmp_path: Path, new_host: NewHost) -> None:
    host = new_host(FakeFleet(ALICE))
    host.fill()
    host.kit.close()
    given = code(time.time())
    command = [sys.executable, "-c", _KILLED, str(tmp_path), given]
    assert -signal.SIGKILL == subprocess.run(command, cwd=ROOT, check=False).returncode
    assert "replayed" == host.outcome(given)
    assert 1 == len(host.entries())


def test_a_login_takes_no_new_block_and_no_new_file(host: Host, clock: Clock) -> None:
    def sizes() -> dict[str, int]:
        return {path.name: path.stat().st_size for path in host.folder.iterdir()}

    host.kit.close()
    host.outcome("000000")  # opened: log and index are there
    before = sizes()
    for _ in range(50):
        clock.now += 60
        assert "accepted" == host.outcome(code(clock.now))
    host.kit.close()
    assert before == sizes()


def test_without_room_for_a_report_nobody_gets_in_and_wrong_codes_still_count(
    host: Host, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kit, "MAX_ENTRIES_OF_A_USER", 2)
    for _ in range(2):
        clock.now += 30
        assert "accepted" == host.outcome(code(clock.now))
    clock.now += 30
    with pytest.raises(StoreUnavailable, match="no room for another login"):
        host.outcome(code(clock.now))
    assert ["rejected"] * 5 + ["throttled"] == [host.outcome("000000") for _ in range(6)]
    assert 2 == len(host.entries())
    host.fleet.trouble = None
    host.fill()
    clock.now += 60
    assert "accepted" == host.outcome(code(clock.now))


def test_entries_go_round_in_their_room(
    host: Host, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slots are written over: what was reported makes room, in the order of the numbers."""
    monkeypatch.setattr(kit, "MAX_ENTRIES", 8)
    for turn in range(1, 6):
        for _ in range(5):
            clock.now += 30
            assert "accepted" == host.outcome(code(clock.now))
        assert list(range(5 * turn - 4, 5 * turn + 1)) == [e["number"] for e in host.entries()]
        host.fill()
    assert list(range(1, 26)) == [entry["number"] for entry in host.fleet.reported]


def test_what_comes_over_the_network_is_told_as_text(host: Host, clock: Clock) -> None:
    source = SOURCE._replace(module="x" * 500, rhost="\ud8ff\0é" + "y" * 500)
    answer = Answer(verifier.CODE, code(clock.now))
    host.store.verify(LoginAttempt("alice", answer, POLICY, is_decoy=False, source=source))
    (entry,) = host.entries()
    assert ("x" * 32, "?é" + "y" * 61) == (entry["service"], entry["rhost"])
    json.dumps(entry, ensure_ascii=False).encode()


def test_a_name_that_no_database_holds_is_nobody(host: Host) -> None:
    for name in ("\udcff", "ali\0ce", "x" * 5000):
        assert host.store.admission(name).record is None
        assert verifier.REJECTED == host.give("000000", name).outcome
