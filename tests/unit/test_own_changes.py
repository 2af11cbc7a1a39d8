"""What people may change of their own enrollment, and what they are told of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pam_totp.core import own_changes, users
from pam_totp.core.own_changes import ADD, NEW_PHONE, RECOVERY_CODES, REMOVE, Note, OwnChange
from pam_totp.core.remembering import ADDRESS, Remembered
from pam_totp.core.users import Account, Authenticator, UserRecord
from pam_totp.core.verifier import THROTTLED, Policy, standing
from tests.support.each import each
from tests.unit.alice import ALICE, NOW, PHONE, POLICY, TABLET, fail

ACCOUNT = Account(1000, is_local=True)
BOTH = ALICE._replace(authenticators=(PHONE, TABLET))
NEW = Authenticator("new", "phone", b"x" * 20)
DAY = 86_400


@pytest.mark.parametrize("kind", [ADD, NEW_PHONE, REMOVE, RECOVERY_CODES])
def test_after_a_change_of_their_own_people_are_asked_for_a_code_wherever_they_are(
    kind: str,
) -> None:
    place = Remembered("sshd", ADDRESS, "192.0.2.7", NOW, NOW + 60, "-")
    new = NEW if kind in (ADD, NEW_PHONE) else None
    change = OwnChange(kind, "phone" if kind != ADD else "spare", authenticator=new)
    after = own_changes.changed(BOTH._replace(remembered=(place,)), change, NOW)
    assert () == after.remembered


@each(
    ("record", "may"),
    [
        (ALICE, True),
        (ALICE._replace(status=users.EXEMPT), True),
        (ALICE._replace(uid=1000), True),
        (None, False),
        (UserRecord("alice"), False),
        (UserRecord("alice", users.MUST_ENROLL), False),
        (UserRecord("alice", recovery_digests=frozenset((b"d",))), False),
        (ALICE._replace(status=users.SUSPENDED), False),
        (ALICE._replace(uid=1001), False),
    ],
)
def test_only_those_whom_a_code_lets_in_may_change_anything(
    record: UserRecord | None, may: bool
) -> None:
    assert may == own_changes.may_change(record, ACCOUNT)


@each(
    ("kind", "label", "reason"),
    [
        (ADD, "spare", ""),
        (ADD, "tablet", own_changes.KNOWN_LABEL),
        (NEW_PHONE, "tablet", ""),
        (NEW_PHONE, "spare", own_changes.NO_SUCH_LABEL),
        (REMOVE, "tablet", ""),
        (REMOVE, "spare", own_changes.NO_SUCH_LABEL),
        (RECOVERY_CODES, "", ""),
    ],
)
def test_a_change_is_about_an_authenticator_that_is_there_or_is_new(
    kind: str, label: str, reason: str
) -> None:
    assert reason == own_changes.refusal(BOTH, kind, label)


def test_the_last_authenticator_stays() -> None:
    assert own_changes.LAST_ONE == own_changes.refusal(ALICE, REMOVE, "phone")


def test_nobody_adds_authenticators_without_end() -> None:
    for number in range(1, own_changes.AUTHENTICATORS_AT_MOST + 1):
        held = tuple(PHONE._replace(id=str(n), label=str(n)) for n in range(number))
        refused = own_changes.refusal(ALICE._replace(authenticators=held), ADD, "one more")
        is_full = number == own_changes.AUTHENTICATORS_AT_MOST
        assert (own_changes.TOO_MANY if is_full else "") == refused


def test_a_new_phone_takes_the_place_of_the_old_one_alone() -> None:
    after = own_changes.changed(BOTH, OwnChange(NEW_PHONE, "phone", authenticator=NEW), NOW)
    assert {NEW, TABLET} == set(after.authenticators)
    assert BOTH.recovery_digests == after.recovery_digests


# Guesses


@given(
    st.integers(1, 100), st.integers(1, 100), st.integers(0, 100), st.integers(0, 100 * 30 * DAY)
)
def test_no_answer_here_makes_a_login_wait_or_locks_it(
    after: int, most: int, failures: int, debt: int
) -> None:
    """But where the administrator has the first wrong code wait, which never locks."""
    policy = Policy(throttle_after=after, max_failures=most)
    record = ALICE._replace(failures=failures, guesses_until=NOW + debt)
    if not own_changes.may_guess(record, NOW, policy):
        return
    if standing(record, NOW, policy) is None:
        refusal = standing(fail(record, 1, policy=policy), NOW, policy)
        assert refusal is None or (after == 1 and refusal.outcome == THROTTLED)


def test_nobody_is_locked_here_where_one_wrong_code_locks() -> None:
    assert not own_changes.may_guess(ALICE, NOW, Policy(max_failures=1))
    assert own_changes.may_guess(ALICE, NOW, Policy(max_failures=2))
    assert own_changes.may_guess(ALICE, NOW, Policy(throttle_after=1))


def test_the_row_ends_one_short_of_the_first_wait() -> None:
    may = [own_changes.may_guess(fail(ALICE, count), NOW, POLICY) for count in range(5)]
    assert [True, True, True, True, False] == may


def test_half_of_the_slow_budget_is_left_to_logins() -> None:
    interval = POLICY.slow_period // POLICY.slow_guesses
    for spent, may in ((49, True), (50, False)):
        record = ALICE._replace(guesses_until=NOW + spent * interval)
        assert may == own_changes.may_guess(record, NOW, POLICY)


# What is told


def made(*times: int, label: str = "phone", where: str = "pts/3") -> UserRecord:
    record = BOTH
    for at in times:
        change = OwnChange(NEW_PHONE, label, where, NEW)
        record = own_changes.changed(record, change, at)
    return record


def used(record: UserRecord, at: int) -> UserRecord:
    first, *others = record.authenticators
    return record._replace(authenticators=(first._replace(last_used_at=at), *others))


def test_a_change_is_told_at_every_login_of_three_days() -> None:
    record = used(made(NOW), NOW + 5)
    told = [bool(own_changes.to_tell(record, NOW + days * DAY)) for days in range(5)]
    assert [True, True, True, False, False] == told


def test_a_change_is_told_until_somebody_has_logged_in_since() -> None:
    for record, is_told in ((made(NOW), True), (used(made(NOW), NOW), True)):
        assert is_told == bool(own_changes.to_tell(record, NOW + 300 * DAY))
    assert [] == own_changes.to_tell(used(made(NOW), NOW + 1), NOW + 300 * DAY)


def test_an_earlier_change_is_told_with_the_last_one() -> None:
    record = used(made(NOW - 40 * DAY, NOW - 4 * DAY, NOW), NOW + 1)
    told = [note.at for note in own_changes.to_tell(record, NOW + 2)]
    assert [NOW - 4 * DAY, NOW] == told


def test_a_record_keeps_the_last_changes_alone() -> None:
    kept = own_changes.notes_of(made(*range(NOW, NOW + 9)).own_changes)
    assert list(range(NOW + 9 - own_changes.NOTED_AT_MOST, NOW + 9)) == [n.at for n in kept]


@given(st.text(max_size=200), st.text(max_size=200))
def test_a_note_is_one_line_whatever_it_is_about(label: str, where: str) -> None:
    (note,) = own_changes.notes_of(made(NOW, label=label, where=where).own_changes)
    assert (NOW, NEW_PHONE) == note[:2]
    assert (note.label + note.where).isprintable()
    assert own_changes.MOST_WHERE >= len(note.where)


@given(st.text())
def test_what_no_save_wrote_denies_nobody(text: str) -> None:
    own_changes.to_tell(ALICE._replace(own_changes=text), NOW)


def test_a_time_is_told_in_utc() -> None:
    assert "2023-11-14 22:13 UTC" == Note(NOW, ADD, "phone", "").time


def test_a_reset_forgets_what_was_changed_before() -> None:
    assert made(NOW).enrolled(NEW, b"s" * 16, frozenset(), NOW).own_changes == ""
