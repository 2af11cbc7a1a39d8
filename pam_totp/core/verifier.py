"""Decide about one answer: verify() takes a record and returns a verdict and the next record.

Pure: time, records and answers come in as arguments, and nothing is kept. The caller must
make the next record durable before acting on an ACCEPTED verdict.

Sources: RFC 4226 sections 7.2-7.4 (look-ahead, throttling, resynchronisation), RFC 6238 sections
5.2 (a code is accepted once) and 6 (drift), NIST SP 800-63B section 3.2.2 (100 consecutive
failures).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from . import clock_skew, places, recovery
from .hashes import compare_digest
from .users import ACCEPTABLE, Authenticator, UserRecord

if TYPE_CHECKING:
    from .places import KnownPlace
    from .remembering import Wish
    from .users import MatchingSteps

# What a person's answer is.
CODE = "code"
RECOVERY_CODE = "recovery_code"
MALFORMED = "malformed"
PASSWORD = "password"

NO_CODES = (MALFORMED, PASSWORD)

# What comes of it. NO_CODES are outcomes as well.
ACCEPTED = "accepted"
RECOVERY_USED = "recovery_used"
REJECTED = "rejected"
REPLAYED = "replayed"
THROTTLED = "throttled"
LOCKED = "locked"


MAX_ANSWER_LENGTH = 64
_WHITE_SPACE = str.maketrans("\t\n\v\f\r", "     ")


class Policy(NamedTuple):
    """How strict to be. Times in seconds, ``window`` in steps, ``look_ahead`` in counters."""

    window: int = 1
    throttle_after: int = 5
    throttle_base: int = 30
    throttle_max: int = 900
    max_failures: int = 100
    slow_guesses: int = 100  # wrong codes in slow_period, whether or not one was right in between
    slow_period: int = 30 * 86_400
    look_ahead: int = 5  # of HOTP: how many codes from the next one on are good
    recovery_unlocks: bool = False  # whether a recovery code is looked at while locked


class Answer(NamedTuple):
    """A classified answer. ``digest`` is set for a recovery code, made with ``salt``."""

    kind: str
    code: str = ""
    salt: bytes | None = None
    digest: bytes = b""

    def __repr__(self) -> str:
        return f"<Answer {self.kind}>"


class Verdict(NamedTuple):
    """What came of it. ``wait``: seconds until the next code (REPLAYED), or the next try."""

    outcome: str
    authenticator: str = ""  # label
    wait: int = 0
    recovery_codes_left: int = 0
    failed_before: int = 0  # wrong codes that the person has not been told of
    clock_is_behind: bool = False
    clock_offset: int = 0  # steps that the clock or counter of it is ahead, outside the window
    codes_only: bool = False  # THROTTLED or LOCKED, but a recovery code is still good
    is_offline: bool = False  # judged by codes that this host keeps for such a time


def classify(text: str, digit_counts: frozenset[int]) -> Answer:
    """Say what ``text`` is, before anything is computed from it.

    What was pasted is folded first: tabs, ends of lines and the spaces, dashes and digits of
    Unicode become ASCII. After that the rules are strict. A CODE is as many ASCII digits as one of
    ``digit_counts``, with spaces allowed between; a RECOVERY_CODE is what recovery.normalise()
    knows, and comes without a digest. That it is no PASSWORD was found out before.
    """
    if len(text) <= MAX_ANSWER_LENGTH and not text.isascii():
        from . import pasted  # here, because few answers need its tables

        text = pasted.fold(text)
    if len(text) > MAX_ANSWER_LENGTH or not text.isascii():  # a character may fold to 18
        return Answer(MALFORMED)
    text = text.translate(_WHITE_SPACE)
    digits = text.replace(" ", "")
    if digits.isdigit() and len(digits) in digit_counts:
        return Answer(CODE, digits)
    normalised = recovery.normalise(text)
    return Answer(MALFORMED) if normalised is None else Answer(RECOVERY_CODE, normalised)


def is_password(text: str, password: str) -> bool:
    """Tell whether ``text`` is the system password given again, in constant time.

    That is how sshd's ``password`` method answers: it never counts as a guess.
    """
    return compare_digest(
        text.encode("utf-8", "surrogatepass"), password.encode("utf-8", "surrogatepass")
    )


def verify(
    record: UserRecord,
    answer: Answer,
    now: int,
    policy: Policy,
    matching_steps: MatchingSteps = Authenticator.matching_steps,
    *,
    place: str = places.NOWHERE,
    remember: Wish | None = None,
) -> tuple[Verdict, UserRecord]:
    """Judge ``answer`` at unix time ``now``; return the verdict and the record to keep.

    Nothing is evaluated while the user is throttled or locked. A code is accepted only if its
    step is later than the authenticator's last accepted one. A record that is not ACCEPTABLE goes
    the whole way and is then rejected, so that the answer does not tell which it was.

    ``place``: where the answer comes from. Where others are to blame for the wait or the lock, an
    answer from a known place is evaluated all the same, within its allowance; see standing().
    ``remember``: what to note of a code that is accepted, and of no recovery code.

    ``matching_steps``: where codes come from, if not from the secrets of the record.
    """
    if answer.kind in NO_CODES:
        return Verdict(answer.kind), record
    refusal = standing(record, now, policy, answer.kind, place)
    if refusal is not None:
        return refusal, _with_wait(record, refusal, now, policy, answer.kind, place)
    if answer.kind == RECOVERY_CODE:
        verdict, accepted = _verify_recovery_code(record, answer)
    else:
        verdict, accepted = _verify_code(record, answer.code, now, policy, matching_steps)
    if verdict.outcome == REJECTED or record.status not in ACCEPTABLE:
        skewed, record = _look_beyond_the_window(record, answer, now, policy, matching_steps)
        failed = _count_failure(record, answer.kind, now, policy, place)
        wait = _wait_after(failed, now, policy, answer.kind, place)
        behind, offset = verdict.clock_is_behind, skewed.clock_offset
        rejected = Verdict(
            REJECTED, skewed.authenticator, wait, clock_is_behind=behind, clock_offset=offset
        )
        return rejected, failed
    if verdict.outcome == REPLAYED:
        return verdict, record
    verdict = verdict._replace(failed_before=record.untold)
    if remember is not None and verdict.outcome == ACCEPTED:
        accepted = accepted.remembering(remember, now)
    return verdict, accepted.accepted(now, place)


def standing(
    record: UserRecord, now: int, policy: Policy, kind: str = CODE, place: str = places.NOWHERE
) -> Verdict | None:
    """Return the verdict on any answer of ``kind`` at unix time ``now``; None: it is looked at.

    A part of what locks, and of the slow budget, is kept for known places: wrong answers from
    unknown ones never take it. So ``place`` may be looked at while all others are refused. It has
    to wait for its own wrong answers alone, as long as these are few: see _with_allowance().

    The slow budget is for codes alone. A recovery code has 80 bits, which nobody guesses, and is
    the owner's way in while a stranger uses up the budget; and the lock, where the policy says so.
    """
    known = _with_allowance(record, now, policy, kind, place)
    is_locked = record.failures >= _limit(known, policy)
    if is_locked and not (policy.recovery_unlocks and kind == RECOVERY_CODE):
        return Verdict(LOCKED, codes_only=policy.recovery_unlocks)
    wait = _remaining_wait(known or record, now, policy)
    if wait > 0:
        return Verdict(THROTTLED, wait=wait)
    budget = policy.slow_guesses
    free = budget if known else locked_from(budget)
    wait = _wait_for_budget(record.guesses_until, budget, free, now, policy)
    if kind == CODE and wait > 0:
        return Verdict(THROTTLED, wait=wait, codes_only=True)
    return None


def locked_from(count: int) -> int:
    """Return how many of ``count`` wrong answers shut out all places but known ones.

    The rest is for these: a fifth. It is kept for everybody, also where no place is known, or the
    number would tell who is enrolled.
    """
    return count - count // 5


def is_locked(record: UserRecord, policy: Policy) -> bool:
    """Tell whether codes are refused for good, but from known places."""
    return record.failures >= locked_from(policy.max_failures)


def guesses_spent(record: UserRecord, now: int, policy: Policy) -> int:
    """Return how much of the slow budget wrong codes have used up; one comes back at a time."""
    debt = _guesses_debt(record.guesses_until, policy.slow_guesses, now, policy)
    return -(-debt // _guess_interval(policy))


def throttle_wait(failures: int, policy: Policy) -> int:
    """Return the seconds to wait after ``failures`` consecutive failures (RFC 4226 section 7.3)."""
    doublings = failures - policy.throttle_after
    if doublings < 0:
        return 0
    return min(policy.throttle_max, policy.throttle_base << min(doublings, 32))


def _verify_code(
    record: UserRecord, code: str, now: int, policy: Policy, matching_steps: MatchingSteps
) -> tuple[Verdict, UserRecord]:
    window = policy.window
    accepted: list[Authenticator] = []
    replayed: list[Authenticator] = []
    for authenticator in record.authenticators:
        # Always computed, whatever the lengths: an answer of another length matches nothing.
        current = authenticator.current_step(now)
        offsets = authenticator.accepted_offsets(now, window, policy.look_ahead)
        steps = matching_steps(authenticator, code, [current + offset for offset in offsets])
        fresh = [step for step in steps if step > authenticator.last_accepted_step]
        if fresh:
            accepted.append(authenticator.used(fresh[-1], now))
        elif steps:
            replayed.append(authenticator)
    behind = any(a.clock_is_behind(now, window) for a in record.authenticators)
    if accepted:
        # All of them: one secret under two labels must not make one code good twice.
        return Verdict(ACCEPTED, accepted[0].label), record.with_changed(*accepted)
    if replayed:
        wait = _wait_for_next_code(replayed[0], now, window)
        return Verdict(REPLAYED, replayed[0].label, wait, clock_is_behind=behind), record
    return Verdict(REJECTED, clock_is_behind=behind), record


def _look_beyond_the_window(
    record: UserRecord, answer: Answer, now: int, policy: Policy, matching_steps: MatchingSteps
) -> tuple[Verdict, UserRecord]:
    """Note whose wrong clock or counter a rejected code belongs to. It stays rejected.

    One authenticator at a time, in turn with the failures: the work is the same for a decoy, for
    one authenticator and for several. What look-ahead windows have taken more than windows of time
    is not searched here, so that in all it is the same for both kinds.
    """
    nothing = Verdict(REJECTED)
    if answer.kind != CODE or not record.authenticators:
        return nothing, record
    looked_at = record.authenticators[record.failures % len(record.authenticators)]
    accepted = [
        a.accepted_offsets(now, policy.window, policy.look_ahead) for a in record.authenticators
    ]
    spent = sum(len(offsets) - (2 * policy.window + 1) for offsets in accepted)
    offsets = clock_skew.offsets(looked_at, policy.look_ahead, clock_skew.STEPS_SEARCHED - spent)
    offset = clock_skew.offset_of(looked_at, answer.code, now, offsets, matching_steps)
    within = looked_at.accepted_offsets(now, policy.window, policy.look_ahead)
    if offset is None or offset in within or record.status not in ACCEPTABLE:
        return nothing, record
    found = nothing._replace(authenticator=looked_at.label, clock_offset=offset)
    return found, record.with_changed(looked_at.seen_ahead(offset))


def _verify_recovery_code(record: UserRecord, answer: Answer) -> tuple[Verdict, UserRecord]:
    used = recovery.match(answer.digest, record.recovery_digests)
    if used is None or answer.salt != record.recovery_salt:
        return Verdict(REJECTED), record
    left = record.without_recovery_code(used)
    return Verdict(RECOVERY_USED, recovery_codes_left=len(left.recovery_digests)), left


def _with_allowance(
    record: UserRecord, now: int, policy: Policy, kind: str, place: str
) -> KnownPlace | None:
    """Return ``place`` if it is known, and has not used up its allowance.

    That is half of what is kept for known places: somebody who shares one of them with the owner
    does not lock the others. After that, it is a place as any other.
    """
    known = record.place(place, now)
    if known is None or known.failures >= _allowance(policy.max_failures):
        return None
    budget = _allowance(policy.slow_guesses)
    is_spent = _wait_for_budget(known.guesses_until, budget, budget, now, policy) > 0
    return None if kind == CODE and is_spent else known


def _limit(known: KnownPlace | None, policy: Policy) -> int:
    """Return how many wrong answers in a row lock a place, or all that are not known."""
    return policy.max_failures if known else locked_from(policy.max_failures)


def _allowance(count: int) -> int:
    return (count // 5 + 1) // 2


def _with_wait(
    record: UserRecord, refusal: Verdict, now: int, policy: Policy, kind: str, place: str
) -> UserRecord:
    """Write a wait back: a clock that was set back must not stretch it."""
    if refusal.outcome != THROTTLED or refusal.codes_only:
        return record
    known = _with_allowance(record, now, policy, kind, place)
    if known is None:
        return record.throttled(now + refusal.wait)
    return record.with_place(known.throttled(now + refusal.wait))


def _count_failure(
    record: UserRecord, kind: str, now: int, policy: Policy, place: str
) -> UserRecord:
    """Count a wrong answer, for its place and for all of them.

    Where a recovery code is looked at behind a lock, the row is no longer than the lock is: what is
    kept for known places stays theirs.
    """
    known = _with_allowance(record, now, policy, kind, place)
    is_locked = record.failures >= _limit(known, policy)
    if known is not None:
        allowed = _allowance(policy.slow_guesses)
        record = record.with_place(
            known.failed(
                throttled_until=_until(now, throttle_wait(known.failures + 1, policy)),
                guesses_until=_guesses_until(known.guesses_until, allowed, kind, now, policy),
            )
        )
    failures = record.failures + (not is_locked)
    return record.failed(
        now,
        failures=failures,
        throttled_until=_until(now, throttle_wait(failures, policy)),
        guesses_until=_guesses_until(record.guesses_until, policy.slow_guesses, kind, now, policy),
    )


def _wait_after(record: UserRecord, now: int, policy: Policy, kind: str, place: str) -> int:
    """Return the seconds until the next answer from ``place``, after a wrong one."""
    known = _with_allowance(record, now, policy, kind, place)
    return throttle_wait((known or record).failures, policy)


def _until(now: int, wait: int) -> int:
    return now + wait if wait else 0


def _guesses_until(before: int, budget: int, kind: str, now: int, policy: Policy) -> int:
    """Return when a budget is whole again after one more wrong answer; of codes alone."""
    if kind != CODE:
        return before
    return now + _guesses_debt(before, budget, now, policy) + _guess_interval(policy)


def _guess_interval(policy: Policy) -> int:
    """Return the seconds after which one wrong code is forgiven."""
    return policy.slow_period // policy.slow_guesses


def _guesses_debt(guesses_until: int, budget: int, now: int, policy: Policy) -> int:
    """Return the seconds until a budget of so many wrong codes is whole.

    Wrong codes cannot make it more than all of these take. Where it is, the clock was set back:
    nobody waits for that.
    """
    debt = max(guesses_until - now, 0)
    return debt if debt <= budget * _guess_interval(policy) else 0


def _wait_for_budget(guesses_until: int, budget: int, free: int, now: int, policy: Policy) -> int:
    """Return the seconds until fewer than ``free`` wrong codes are not yet forgiven.

    0 or less: there are fewer.
    """
    debt = _guesses_debt(guesses_until, budget, now, policy)
    return debt - (free - 1) * _guess_interval(policy)


def _remaining_wait(counted: UserRecord | KnownPlace, now: int, policy: Policy) -> int:
    """Never more than the throttle gives: throttled_until is far ahead of a clock set back."""
    return min(counted.throttled_until - now, throttle_wait(counted.failures, policy))


def _wait_for_next_code(authenticator: Authenticator, now: int, window: int) -> int:
    """Return the seconds until the device shows a code later than the last accepted one.

    0: at once, where a button is pressed.
    """
    if authenticator.counts:
        return 0
    next_step = max(authenticator.last_accepted_step, authenticator.current_step(now)) + 1
    shown_at = (next_step - authenticator.drift) * authenticator.period - authenticator.followed
    return min(shown_at - now, (window + 1) * authenticator.period)
