"""The user model: what each change does to a record, and what it must never do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pam_totp.core import users
from pam_totp.core.places import KnownPlace
from pam_totp.core.users import (
    ACTIVE,
    EXEMPT,
    MUST_ENROLL,
    SUSPENDED,
    Account,
    UserRecord,
    authenticator_changes,
)
from pam_totp.core.users import Authenticator as App
from tests.support.each import each

NOW, WINDOW = 1_800_000_000, 1
LATER = NOW + 1
APPS = st.builds(
    App,
    id=st.integers(0, 10**6).map(str),
    label=st.sampled_from(["phone", "tablet", "watch"]),
    secret=st.just(b"12345678901234567890"),
    period=st.sampled_from([30, 60]),
    drift=st.integers(-5, 5),
    last_accepted_step=st.integers(-1, 2 * NOW // 30),
    last_used_at=st.none() | st.integers(0, NOW),
    clock_offset=st.integers(-100, 100),
    clock_sightings=st.integers(0, 9),
    learned=st.integers(-users.MOST_LEARNED, users.MOST_LEARNED),
)
DIGESTS = st.frozensets(st.sampled_from([bytes([number]) * 32 for number in range(3)]))


PLACES = st.builds(
    KnownPlace,
    st.sampled_from(["192.0.2.7", "2001:db8::/64", "by alice", "at tty1"]),
    st.integers(0, 2 * NOW),
    st.integers(0, 100),
    st.integers(0, 2 * NOW),
    st.integers(0, 2 * NOW),
)


@st.composite
def records(draw: st.DrawFn) -> UserRecord:
    """Any record that the changes here can have led to."""
    status = draw(st.sampled_from(users.STATUSES))
    apps = draw(st.lists(APPS, max_size=3, unique_by=(lambda a: a.id, lambda a: a.label)))
    until = st.sampled_from([0, 1, NOW, LATER, 2 * NOW])
    return UserRecord(
        "alice",
        status,
        failures=draw(st.integers(0, 100)),
        throttled_until=draw(st.integers(0, 2 * NOW)),
        recovery_salt=draw(st.none() | st.just(b"s" * 16)),
        recovery_digests=draw(DIGESTS),
        authenticators=() if status == MUST_ENROLL else tuple(apps),
        created_at=draw(st.integers(0, NOW)),
        updated_at=draw(st.integers(0, NOW)),
        exempt_until=draw(until) if status == EXEMPT else 0,
        uid=draw(st.none() | st.integers(0, 3)),
        bound_at=draw(st.integers(0, NOW)),
        untold=draw(st.integers(0, 100)),
        guesses_until=draw(st.integers(0, 2 * NOW)),
        known_places=tuple(draw(st.lists(PLACES, max_size=3, unique_by=lambda place: place.name))),
    )


NEW = App("new", "new phone", b"x" * 20)
DECISIONS: dict[str, Callable[[UserRecord], UserRecord | None]] = {
    "unlocked": lambda record: record.unlocked(NOW, WINDOW),
    "suspended": UserRecord.suspended,
    "required": UserRecord.required,
    "activated": UserRecord.activated,
    "exempted": lambda record: record.exempted(LATER),
    "no longer required": lambda record: record.without_status(MUST_ENROLL),
    "no longer exempt": lambda record: record.without_status(EXEMPT),
    "bound": lambda record: record.bound_to(Account(7, is_local=True), NOW),
    "forgotten": UserRecord.without_places,
}
ENROLLING: dict[str, Callable[[UserRecord], UserRecord | None]] = {
    "one more": lambda record: record.with_authenticator(NEW, NOW),
    "one less": lambda record: record.without_authenticator("phone"),
    "new codes": lambda record: record.with_recovery_codes(b"t" * 16, frozenset((b"d" * 32,))),
    "enrolled": lambda record: record.enrolled(NEW, b"t" * 16, frozenset((b"d" * 32,)), NOW),
}
AT_A_LOGIN: dict[str, Callable[[UserRecord], UserRecord | None]] = {
    "failed": lambda record: record.failed(
        NOW, failures=record.failures + 1, throttled_until=LATER, guesses_until=LATER
    ),
    "throttled": lambda record: record.throttled(LATER),
    "accepted": lambda record: record.accepted(NOW),
    "accepted somewhere": lambda record: record.accepted(NOW, "192.0.2.7"),
    "told": lambda record: record.told(1),
}
EVERY = {**DECISIONS, **ENROLLING, **AT_A_LOGIN}


def changed(record: UserRecord, changes: Iterable[str] = EVERY) -> Iterator[tuple[str, UserRecord]]:
    """Yield the name of each of ``changes``, and the record that it leaves, unless it leaves none.

    To draw a record takes longer than to change it: a test of several changes tries all on each.
    """
    for change in changes:
        after = EVERY[change](record)
        if after is not None:
            yield change, after


@given(records())
def test_every_change_leaves_a_valid_record_of_the_same_user(record: UserRecord) -> None:
    for change, after in changed(record):
        assert (record.name, record.created_at) == (after.name, after.created_at), change
        assert after.status in users.STATUSES, change
        assert after.status == EXEMPT or after.exempt_until == 0, change
        assert after.failures >= 0, change
        assert after.untold >= 0, change


@given(records().filter(lambda record: not record.is_exempt(NOW)))
def test_only_an_exemption_exempts(record: UserRecord) -> None:
    assert ["exempted"] == [name for name, after in changed(record) if after.is_exempt(NOW)]


@given(records())
def test_a_suspension_is_ended_by_those_alone_who_say_so(record: UserRecord) -> None:
    for change, after in changed(
        record.suspended(), [*ENROLLING, *AT_A_LOGIN, "unlocked", "bound"]
    ):
        assert after.status == SUSPENDED, change


@given(records())
def test_nobody_gets_or_loses_a_secret_by_a_decision_or_a_login(record: UserRecord) -> None:
    secrets = [authenticator.secret for authenticator in record.authenticators]
    for change, after in changed(record, [*DECISIONS, *AT_A_LOGIN]):
        assert secrets == [authenticator.secret for authenticator in after.authenticators], change
        assert record.recovery_digests == after.recovery_digests, change


@pytest.mark.parametrize("status", [EXEMPT, MUST_ENROLL])
@given(record=records())
def test_a_record_goes_only_when_it_says_nothing_any_more(record: UserRecord, status: str) -> None:
    after = record.without_status(status)
    if record.status != status:
        assert record == after
    elif record.authenticators or record.recovery_digests:
        assert record._replace(status=ACTIVE, exempt_until=0) == after
    else:
        assert after is None


@given(records())
def test_a_suspension_takes_the_place_of_a_duty_that_comes_back_with_its_end(
    record: UserRecord,
) -> None:
    after = record.suspended().resumed()
    assert (ACTIVE if record.authenticators else MUST_ENROLL) == after.status
    assert (0, 0, 0) == (after.failures, after.throttled_until, after.guesses_until)
    assert (record.authenticators, record.untold) == (after.authenticators, after.untold)


@given(records().filter(lambda record: record.status != SUSPENDED))
def test_nobody_is_resumed_who_is_not_suspended(record: UserRecord) -> None:
    with pytest.raises(ValueError, match=record.status):
        record.resumed()


@given(records())
def test_places_are_forgotten_with_all_that_they_were_earned_with(record: UserRecord) -> None:
    forgetting = {"suspended", "enrolled", "forgotten"}
    for change, after in changed(record):
        if change in forgetting:
            assert () == after.known_places, change
        elif "accepted" not in change:
            names = [place.name for place in record.known_places]
            assert names == [place.name for place in after.known_places], change


@given(records())
def test_unlocking_forgets_the_wrong_codes_of_each_place(record: UserRecord) -> None:
    after = record.unlocked(NOW, 1)
    expected = tuple(KnownPlace(name, at) for name, at, *_ in record.known_places)
    assert expected == after.known_places


@given(records(), st.integers(0, 3))
@example(UserRecord("alice", authenticators=(App("1", "a", b"s", last_accepted_step=NOW),)), 1)
def test_unlocking_makes_no_code_of_the_window_good_again(record: UserRecord, window: int) -> None:
    after = record.unlocked(NOW, window)
    assert (0, 0, 0) == (after.failures, after.throttled_until, after.guesses_until)
    for old, new in zip(record.authenticators, after.authenticators, strict=True):
        assert not new.clock_is_behind(NOW, window)
        for offset in old.accepted_offsets(NOW, window, look_ahead=5):
            step = old.current_step(NOW) + offset
            assert (step <= old.last_accepted_step) == (step <= new.last_accepted_step)


@given(records())
def test_a_wrong_code_counts_once_and_a_right_one_ends_the_row_alone(record: UserRecord) -> None:
    failed = record.failed(NOW, failures=7, throttled_until=5, guesses_until=6)
    assert (7, record.untold + 1) == (failed.failures, failed.untold)
    assert (5, 6, NOW) == (failed.throttled_until, failed.guesses_until, failed.updated_at)
    accepted = failed.accepted(LATER)
    assert (0, 0, LATER) == (accepted.failures, accepted.throttled_until, accepted.updated_at)
    assert (failed.untold, failed.guesses_until) == (accepted.untold, accepted.guesses_until)
    assert accepted == accepted.accepted(LATER + 1), "an authenticator notes its use"


@given(records(), st.integers(0, 200))
def test_what_was_told_is_taken_off_and_no_more(record: UserRecord, count: int) -> None:
    assert record._replace(untold=max(0, record.untold - count)) == record.told(count)


@given(records())
def test_an_authenticator_that_is_added_and_removed_leaves_the_others(record: UserRecord) -> None:
    added = record.with_authenticator(NEW, NOW)
    assert (*record.authenticators, NEW) == added.authenticators
    assert MUST_ENROLL != added.status
    removed = added.without_authenticator(NEW.label)
    assert record.authenticators == (removed.authenticators if removed else ())


@pytest.mark.parametrize(
    ("until", "after"), [(0, EXEMPT), (LATER, EXEMPT), (NOW, ACTIVE), (1, ACTIVE)]
)
def test_enrolling_ends_an_exemption_that_is_over_alone(until: int, after: str) -> None:
    record = UserRecord("alice", EXEMPT, exempt_until=until)
    assert after == record.with_authenticator(NEW, NOW).status
    assert after == record.enrolled(NEW, b"s", frozenset(), NOW).status


@given(records())
def test_a_reset_leaves_nothing_that_let_somebody_in(record: UserRecord) -> None:
    after = record.enrolled(NEW, b"t" * 16, frozenset((b"d",)), NOW)
    assert ((NEW,), b"t" * 16, frozenset((b"d",))) == (
        after.authenticators,
        after.recovery_salt,
        after.recovery_digests,
    )
    assert (0, 0, 0) == (after.failures, after.throttled_until, after.guesses_until)


@given(records(), st.integers(0, 3), st.booleans())
def test_a_record_that_was_bound_is_of_no_other_account(
    record: UserRecord, uid: int, is_local: bool
) -> None:
    account = Account(uid, is_local)
    after = record.bound_to(account, NOW)
    assert not after.has_another_uid(account)
    assert not after.is_of_another_account(account)
    assert after == after.bound_to(account, LATER)
    assert LATER == after.bound_to(account, LATER, force=True).bound_at
    assert record == after._replace(uid=record.uid, bound_at=record.bound_at)


@given(records(), st.integers(0, 3), st.booleans())
def test_only_a_local_account_of_another_uid_is_denied_and_only_where_something_is_granted(
    record: UserRecord, uid: int, is_local: bool
) -> None:
    grants = bool(record.authenticators or record.recovery_digests) or record.status == EXEMPT
    expected = is_local and grants and record.uid not in (None, uid)
    assert expected == record.is_of_another_account(Account(uid, is_local))


@given(APPS, st.integers(0, 10**8))
def test_a_code_that_was_used_ends_what_was_seen_of_a_wrong_clock(app: App, step: int) -> None:
    used = app.used(step, NOW)
    assert (step, NOW, 0, 0) == (
        used.last_accepted_step,
        used.last_used_at,
        used.clock_offset,
        used.clock_sightings,
    )
    confirmed = app.confirmed(step)
    assert (step, app.last_used_at) == (confirmed.last_accepted_step, confirmed.last_used_at)


@each(
    ("known", "sightings", "seen", "expected"),
    [(0, 0, 2, 1), (7, 1, 7, 2), (7, 1, 9, 2), (7, 1, 10, 1), (7, 3, -7, 1), (-7, 3, -5, 4)],
)
def test_sightings_of_about_the_same_clock_add_up(
    known: int, sightings: int, seen: int, expected: int
) -> None:
    app = App("1", "phone", b"s", clock_offset=known, clock_sightings=sightings)
    again = app.seen_ahead(seen)
    assert (seen, expected) == (again.clock_offset, again.clock_sightings)


@given(records(), APPS)
def test_authenticators_are_changed_by_their_id(record: UserRecord, other: App) -> None:
    renamed = [a._replace(label=f"{a.label}!") for a in record.authenticators]
    stranger = other._replace(id="nobody's")
    after = record.with_changed(*renamed, stranger)
    assert tuple(renamed) == after.authenticators


def test_changes_of_authenticators_begin_with_those_that_are_gone() -> None:
    phone, tablet, key = (App(name, name, b"secret") for name in ("p", "t", "k"))
    before = UserRecord("alice", authenticators=(phone, tablet))
    used = phone.used(7, 210)
    after = before._replace(authenticators=(key, used))
    assert [(tablet, None), (None, key), (phone, used)] == authenticator_changes(before, after)
    assert [] == authenticator_changes(before, before)
    assert [(None, phone), (None, tablet)] == authenticator_changes(None, before)
