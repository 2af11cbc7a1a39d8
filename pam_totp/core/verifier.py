"""Decide about one answer: verify() takes a record and returns a verdict and the next record.

Pure: time, records and answers come in as arguments, and nothing is kept. The caller must
make the next record durable before acting on an ACCEPTED verdict.

Sources: RFC 4226 sections 7.2-7.4 (look-ahead, throttling, resynchronisation), RFC 6238 sections
5.2 (a code is accepted once) and 6 (drift), NIST SP 800-63B section 3.2.2 (100 consecutive
failures).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from . import clock_skew, recovery
from .hashes import compare_digest
from .users import ACCEPTABLE, Authenticator, UserRecord

if TYPE_CHECKING:
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
    budget_spent: bool = False  # THROTTLED by the slow budget: a recovery code is still good
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
) -> tuple[Verdict, UserRecord]:
    """Judge ``answer`` at unix time ``now``; return the verdict and the record to keep.

    Nothing is evaluated while the user is throttled or locked. A code is accepted only if its
    step is later than the authenticator's last accepted one. A record that is not ACCEPTABLE goes
    the whole way and is then rejected, so that the answer does not tell which it was.

    ``matching_steps``: where codes come from, if not from the secrets of the record.
    """
    if answer.kind in NO_CODES:
        return Verdict(answer.kind), record
    refusal = standing(record, now, policy, answer.kind)
    if refusal is not None and refusal.outcome == LOCKED:
        return refusal, record
    if refusal is not None and refusal.budget_spent:
        return refusal, record
    if refusal is not None:
        # Written back: a clock that was set back must not stretch the wait.
        return refusal, record.throttled(now + refusal.wait)
    if answer.kind == RECOVERY_CODE:
        verdict, accepted = _verify_recovery_code(record, answer)
    else:
        verdict, accepted = _verify_code(record, answer.code, now, policy, matching_steps)
    if verdict.outcome == REJECTED or record.status not in ACCEPTABLE:
        skewed, record = _look_beyond_the_window(record, answer, now, policy, matching_steps)
        failed, record = _count_failure(
            record, answer.kind, now, policy, behind=verdict.clock_is_behind
        )
        offset = skewed.clock_offset
        return failed._replace(authenticator=skewed.authenticator, clock_offset=offset), record
    if verdict.outcome == REPLAYED:
        return verdict, record
    verdict = verdict._replace(failed_before=record.untold)
    return verdict, accepted.accepted(now)


def standing(record: UserRecord, now: int, policy: Policy, kind: str = CODE) -> Verdict | None:
    """Return the verdict on any answer of ``kind`` at unix time ``now``; None: it is looked at.

    The slow budget is for codes alone. A recovery code has 80 bits, which nobody guesses, and is
    the owner's way in while a stranger uses up the budget.
    """
    if record.failures >= policy.max_failures:
        return Verdict(LOCKED)
    wait = _remaining_wait(record, now, policy)
    if wait > 0:
        return Verdict(THROTTLED, wait=wait)
    wait = _guesses_debt(record, now, policy) - policy.slow_period + _guess_interval(policy)
    if kind == CODE and wait > 0:
        return Verdict(THROTTLED, wait=wait, budget_spent=True)
    return None


def guesses_spent(record: UserRecord, now: int, policy: Policy) -> int:
    """Return how much of the slow budget wrong codes have used up; one comes back at a time."""
    return -(-_guesses_debt(record, now, policy) // _guess_interval(policy))


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


def _count_failure(
    record: UserRecord, kind: str, now: int, policy: Policy, *, behind: bool
) -> tuple[Verdict, UserRecord]:
    wait = throttle_wait(record.failures + 1, policy)
    guesses_until = record.guesses_until
    if kind == CODE:
        guesses_until = now + _guesses_debt(record, now, policy) + _guess_interval(policy)
    failed = record.failed(
        now, throttled_until=now + wait if wait else 0, guesses_until=guesses_until
    )
    return Verdict(REJECTED, wait=wait, clock_is_behind=behind), failed


def _guess_interval(policy: Policy) -> int:
    """Return the seconds after which one wrong code is forgiven."""
    return policy.slow_period // policy.slow_guesses


def _guesses_debt(record: UserRecord, now: int, policy: Policy) -> int:
    """Return the seconds until the budget is whole; at most slow_period.

    Wrong codes cannot make it more. Where it is, the clock was set back: nobody waits for that.
    """
    debt = max(record.guesses_until - now, 0)
    return debt if debt <= policy.slow_period else 0


def _remaining_wait(record: UserRecord, now: int, policy: Policy) -> int:
    """Never more than the throttle gives: throttled_until is far ahead of a clock set back."""
    return min(record.throttled_until - now, throttle_wait(record.failures, policy))


def _wait_for_next_code(authenticator: Authenticator, now: int, window: int) -> int:
    """Return the seconds until the device shows a code later than the last accepted one.

    0: at once, where a button is pressed.
    """
    if authenticator.counts:
        return 0
    next_step = max(authenticator.last_accepted_step, authenticator.current_step(now)) + 1
    shown_at = (next_step - authenticator.drift) * authenticator.period - authenticator.followed
    return min(shown_at - now, (window + 1) * authenticator.period)
