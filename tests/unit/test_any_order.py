"""The rules of the verifier together, in any order, against a plain model."""

from __future__ import annotations

from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pam_totp.core import otp, resynchronisation
from pam_totp.core.users import Authenticator, UserRecord
from pam_totp.core.verifier import (
    ACCEPTED,
    LOCKED,
    MALFORMED,
    PASSWORD,
    RECOVERY_USED,
    REJECTED,
    REPLAYED,
    THROTTLED,
    Answer,
    Policy,
    locked_from,
    throttle_wait,
    verify,
)
from tests.unit.alice import DIGESTS, NOW, PHONE, SALT, TABLET, WRONG, code, recovery_code

TOKEN = PHONE._replace(id="3", label="token", secret=b"a token of its own..", kind=otp.HOTP)
STRICT = Policy(window=1, throttle_after=3, throttle_base=30, throttle_max=120, max_failures=12)
LOCK = locked_from(12)


class Logins(RuleBasedStateMachine):
    """Codes, recovery codes, guesses and clock moves in any order, against a plain model."""

    @initialize(drift=st.integers(-2, 2))
    def enrol(self, drift: int) -> None:
        self.now = NOW
        self.record = UserRecord(
            "alice",
            recovery_salt=SALT,
            recovery_digests=frozenset(DIGESTS),
            authenticators=(PHONE._replace(drift=drift), TABLET, TOKEN),
        )
        self.used_steps: dict[str, list[int]] = {"phone": [], "tablet": [], "token": []}
        self.used_digests: set[bytes] = set()
        self.failures = 0
        self.refused_until = 0

    @rule(seconds=st.sampled_from((1, 29, 30, 31, 60, 120, 3600)))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule(seconds=st.sampled_from((1, 30, 45, 90, 3600)))
    def the_clock_is_set_back(self, seconds: int) -> None:
        self.now -= seconds

    @rule(label=st.sampled_from(("phone", "tablet", "token")), offset=st.integers(-3, 6))
    def enter_a_code(self, label: str, offset: int) -> None:
        authenticator = self._authenticator(label)
        step = authenticator.current_step(self.now) + offset
        assume(step >= 0)
        answer = code(step, authenticator.secret or b"")
        assume(self._is_of_that_step_alone(answer, label, step))
        fresh = step > max(self.used_steps[label], default=-1)
        window = authenticator.accepted_offsets(self.now, STRICT.window, STRICT.look_ahead)
        expected = REJECTED if offset not in window else ACCEPTED if fresh else REPLAYED
        if self._enter(answer, expected) == ACCEPTED:
            assert step not in self.used_steps[label]
            self.used_steps[label].append(step)

    @rule(label=st.sampled_from(("phone", "token")), ahead=st.integers(-9, 40))
    def two_codes_tell_where_a_device_is(self, label: str, ahead: int) -> None:
        """What totpctl resync does: it takes no code that was used, and uses up both."""
        device = self._authenticator(label)
        second = device.current_step(self.now) + ahead
        assume(second >= 1)
        is_new = second > device.last_accepted_step
        if device.counts:  # of a clock, the search is tried in test_drift.py: it takes long
            shown = [code(step, device.secret or b"").code for step in (second - 1, second)]
            found = resynchronisation.second_step(device, *shown, self.now)
            assert found == (second if is_new else None)
        if is_new:
            changed = device.resynchronised(second, self.now)
            self.record = self.record.with_changed(changed)
            self.used_steps[label].append(second)
            assert changed.current_step(self.now) == second + changed.counts

    @rule()
    def enter_a_wrong_code(self) -> None:
        self._enter(WRONG, REJECTED)

    @rule(digest=st.sampled_from(DIGESTS), salt=st.sampled_from((SALT, SALT, None)))
    def enter_a_recovery_code(self, digest: bytes, salt: bytes | None) -> None:
        good = salt == SALT and digest not in self.used_digests
        if self._enter(recovery_code(digest, salt), RECOVERY_USED if good else REJECTED) == (
            RECOVERY_USED
        ):
            self.used_digests.add(digest)

    @rule(kind=st.sampled_from((MALFORMED, PASSWORD)))
    def enter_junk(self, kind: str) -> None:
        verdict, after = verify(self.record, Answer(kind), self.now, STRICT)
        assert (kind, self.record) == (verdict.outcome, after)

    @precondition(lambda self: self.failures >= LOCK)
    @rule()
    def an_administrator_unlocks(self) -> None:
        self.record = self.record._replace(failures=0, throttled_until=0)
        self.failures, self.refused_until = 0, 0

    @invariant()
    def used_steps_only_rise(self) -> None:
        for label, steps in getattr(self, "used_steps", {}).items():
            assert sorted(set(steps)) == steps
            assert max(steps, default=-1) == self._authenticator(label).last_accepted_step

    @invariant()
    def the_count_is_the_model_s(self) -> None:
        if hasattr(self, "record"):
            assert self.failures == self.record.failures
            assert frozenset(DIGESTS) - self.used_digests == self.record.recovery_digests

    def _enter(self, answer: Answer, expected: str) -> str:
        """Enter ``answer``, which is ``expected`` unless there is a wait or a lock."""
        if self.failures >= LOCK:
            expected = LOCKED
        elif self.now < self.refused_until:
            expected = THROTTLED
            # After the clock was set back it takes no longer than the wait, seen from here.
            longest = self.now + throttle_wait(self.failures, STRICT)
            self.refused_until = min(self.refused_until, longest)
        before = self.record
        verdict, self.record = verify(self.record, answer, self.now, STRICT)
        assert expected == verdict.outcome
        if expected == THROTTLED:
            assert self.refused_until == self.now + verdict.wait
        if expected in (THROTTLED, LOCKED, REPLAYED):
            assert before._replace(throttled_until=0) == self.record._replace(throttled_until=0)
        elif expected == REJECTED:
            self.failures += 1
            wait = throttle_wait(self.failures, STRICT)
            self.refused_until = self.now + wait if wait else 0
        else:
            self.failures, self.refused_until = 0, 0
        return verdict.outcome

    def _is_of_that_step_alone(self, answer: Answer, label: str, step: int) -> bool:
        """Codes have six digits: now and then two of them are the same."""
        return {(label, step)} >= {
            (a.label, other)
            for a in self.record.authenticators
            for offset in a.accepted_offsets(self.now, STRICT.window, STRICT.look_ahead)
            for other in [a.current_step(self.now) + offset]
            if other >= 0
            if code(other, a.secret or b"") == answer
        }

    def _authenticator(self, label: str) -> Authenticator:
        return next(a for a in self.record.authenticators if a.label == label)


TestLogins = Logins.TestCase
