"""The user model: a user's record, its authenticators and status, and every change that they take.

Pure. A method that is named by a participle returns the record after that change. The caller
saves the result, in the transaction that read the record. Times are unix times in seconds.

    status        how it begins               how it ends
    active        enrolled, resumed
    suspended     suspended()                 resumed()
    exempt        exempted()                  without_status(), required(), suspended(); its end
    must_enroll   required(), resumed()       enrolling; without_status(), exempted(), suspended()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from . import otp, places

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from typing import Protocol, TypeAlias

    from .places import KnownPlace
    from .remembering import Remembered, Wish

    # Of an authenticator, a code and some steps, those of the steps that have the code.
    MatchingSteps: TypeAlias = Callable[["Authenticator", str, Iterable[int]], list[int]]

    class RowWriter(Protocol):
        """A transaction of one user, which writes one authenticator at a time."""

        def insert_authenticator(self, new: Authenticator, /) -> None: ...

        def update_authenticator(self, was: Authenticator, new: Authenticator, /) -> None: ...

        def delete_authenticator(self, gone: Authenticator, /) -> None: ...


# users.status
ACTIVE = "active"
SUSPENDED = "suspended"
EXEMPT = "exempt"
MUST_ENROLL = "must_enroll"
STATUSES = (ACTIVE, SUSPENDED, EXEMPT, MUST_ENROLL)
ACCEPTABLE = (ACTIVE, EXEMPT)  # a good code lets these in: an exemption may have ended

SAME_CLOCK = 2  # steps that two sightings of one wrong clock may differ by
MOST_LEARNED = 600  # seconds either way: as far as logins may learn that a clock is off
# Fields of an authenticator that may change; for another of the rest there is another id.
CHANGING = (
    *("label", "drift", "last_accepted_step"),
    *("last_used_at", "clock_offset", "clock_sightings", "learned"),
)
_DAMPING = 3  # each accepted code moves what is learned by a third of the way to what it tells


class Account(NamedTuple):
    """An account that logs in. ``is_local``: this machine assigns its uid, not a directory."""

    uid: int
    is_local: bool


class Authenticator(NamedTuple):
    """One app on one device, or a token. ``secret`` is None where a record was read without it.

    One of HOTP has a counter in place of a clock: its steps are counters, ``period`` means nothing,
    and it has no drift.
    """

    id: str
    label: str
    secret: bytes | None
    algorithm: str = "SHA1"
    digits: int = 6
    period: int = 30  # seconds
    drift: int = 0  # steps that the device's clock is ahead, as an administrator set it
    last_accepted_step: int = -1  # -1: none
    created_at: int = 0
    last_used_at: int | None = None
    clock_offset: int = 0  # steps that codes outside the window were ahead when last seen; 0: none
    clock_sightings: int = 0  # how many in a row told about that offset
    kind: str = otp.TOTP
    serial: str = ""  # of a token, as its maker wrote it on it
    learned: int = 0  # seconds that accepted codes were ahead, beside the drift

    def __repr__(self) -> str:
        return f"<Authenticator {self.label!r} {self.algorithm}/{self.digits}/{self.period}>"

    @property
    def counts(self) -> bool:
        """Tell whether its codes come from a counter: HOTP."""
        return self.kind == otp.HOTP

    @property
    def counter(self) -> int | None:
        """Return the counter of HOTP: the first that may be accepted. None: it has none."""
        return self.last_accepted_step + 1 if self.counts else None

    def base_step(self, now: int) -> int:
        """Return the step whose code a device with this drift shows, without what was learned."""
        if self.counts:
            return self.last_accepted_step + 1
        return otp.time_step(now, self.period) + self.drift

    def current_step(self, now: int) -> int:
        """Return the step whose code the device shows at ``now``, as far as is known.

        With a clock, drift and what was learned tell it; with a button, no code was lost since.
        """
        return self.base_step(now + self.followed)

    @property
    def followed(self) -> int:
        """Return what was learned, in seconds, unless it is as little as people take to type."""
        return self.learned if 5 * abs(self.learned) >= 2 * self.period else 0

    def accepted_offsets(self, now: int, window: int, look_ahead: int) -> list[int]:
        """Return which steps from the current one on are looked at for a code that is right.

        They are 2 * ``window`` + 1, and the base step is always among them: what was learned may be
        wrong, and must not lock anybody out. A window that has moved away from the base step gives
        up one of its ends for that.

        Of HOTP, these are the last accepted counter, which tells a code that was used from a wrong
        one, and the next ``look_ahead`` (RFC 4226 section 7.2).
        """
        if self.counts:
            return list(range(-1, look_ahead))
        offsets = list(range(-window, window + 1))
        base = self.base_step(now) - self.current_step(now)
        if base not in offsets:
            offsets.remove(self._end_to_give_up(now, window))
            offsets.append(base)
        return sorted(offsets)

    def _end_to_give_up(self, now: int, window: int) -> int:
        """Return which end of the window is less likely to be needed.

        What stays reaches at least two thirds of a period from the time that the device shows to
        the side that its clock drifts to, and a third to the other.
        """
        into_step = (now + self.learned) % self.period
        if self.learned > 0:
            return window if 3 * into_step < self.period else -window
        return -window if 3 * into_step >= 2 * self.period else window

    def latest_step(self, now: int, window: int) -> int:
        """Return the latest step whose code can be accepted at ``now``."""
        return max(self.base_step(now), self.current_step(now)) + window

    def matching_steps(self, code: str, steps: Iterable[int]) -> list[int]:
        """Return those of ``steps`` whose code is ``code``: see otp.matching_steps()."""
        if self.secret is None:
            raise ValueError("the record was read without its secrets")
        return otp.matching_steps(code, self.secret, steps, self.algorithm, self.digits)

    def clock_is_behind(self, now: int, window: int) -> bool:
        """Tell whether the last accepted step is one that only a clock set back explains."""
        return self.last_accepted_step > self.latest_step(now, window)

    def used(self, step: int, now: int) -> Authenticator:
        """A login was accepted by the code of ``step``: no earlier code is good again.

        What it tells of the clock is learned (RFC 6238 section 6).
        """
        return self._replace(
            last_accepted_step=step,
            last_used_at=now,
            clock_offset=0,
            clock_sightings=0,
            learned=self._learned(step, now),
        )

    def _learned(self, step: int, now: int) -> int:
        """Return what is learned once the code of ``step`` was accepted at ``now``.

        The code was shown for a period, and its middle tells the time of the device best.
        """
        if self.counts:
            return 0
        ahead = (step - self.drift) * self.period + self.period // 2 - now
        learned = self.learned + (ahead - self.learned + _DAMPING // 2) // _DAMPING
        return max(-MOST_LEARNED, min(learned, MOST_LEARNED))

    def resynchronised(self, step: int, now: int) -> Authenticator:
        """The device shows the code of ``step`` at ``now``; that code is used up."""
        drift = 0 if self.counts else step - otp.time_step(now, self.period)
        return self._replace(
            last_accepted_step=step, drift=drift, learned=0, clock_offset=0, clock_sightings=0
        )

    def confirmed(self, step: int) -> Authenticator:
        """Enrolling has used up the code of ``step``, which is no login with it."""
        return self._replace(last_accepted_step=step)

    def seen_ahead(self, offset: int) -> Authenticator:
        """Note a code that was ``offset`` steps ahead, outside the window."""
        again = self.clock_sightings > 0 and abs(offset - self.clock_offset) <= SAME_CLOCK
        sightings = self.clock_sightings + 1 if again else 1
        return self._replace(clock_offset=offset, clock_sightings=sightings)

    def brought_back(self, now: int, window: int, widest: int = 0) -> Authenticator:
        """Where the clock is behind, end the last accepted step at the window.

        No code that was shown so far is good again; nor one that a login with the window
        ``widest`` may have accepted before its time.
        """
        if not self.clock_is_behind(now, max(window, widest)):
            return self
        return self._replace(last_accepted_step=self.latest_step(now, window))


class UserRecord(NamedTuple):
    """Everything the store knows of one user."""

    name: str
    status: str = ACTIVE
    failures: int = 0  # consecutive
    throttled_until: int = 0
    recovery_salt: bytes | None = None
    recovery_digests: frozenset[bytes] = frozenset()
    authenticators: tuple[Authenticator, ...] = ()
    created_at: int = 0
    updated_at: int = 0
    exempt_until: int = 0  # with EXEMPT: it has ended from then on; 0: it does not end
    uid: int | None = None  # of the account that was enrolled; None: not known
    bound_at: int = 0  # when uid was noted
    untold: int = 0  # wrong codes that the person has not been told of
    guesses_until: int = 0  # the slow budget: when all wrong codes will be forgiven
    known_places: tuple[KnownPlace, ...] = ()
    remembered: tuple[Remembered, ...] = ()  # where no code is asked for, for some hours
    own_changes: str = ""  # a line for each: see own_changes.py

    def __repr__(self) -> str:
        return f"<UserRecord {self.name!r} {self.status}>"

    # What holds

    def is_exempt(self, now: int) -> bool:
        """Tell whether the record itself exempts its user, by an exemption that has not ended."""
        return self.status == EXEMPT and not has_ended(self.exempt_until, now)

    def grants_something(self) -> bool:
        """Tell whether it can let anybody in; a duty to enroll or a suspension does not."""
        held = self.authenticators or self.recovery_digests
        return bool(held) or self.status == EXEMPT

    def has_another_uid(self, account: Account) -> bool:
        """Tell whether it was made for another uid; not known: no."""
        return self.uid is not None and self.uid != account.uid

    def is_of_another_account(self, account: Account) -> bool:
        """Tell whether it grants something to an account that was created again since.

        A local uid changes only when an administrator changes it, or creates the account again. A
        directory may renumber everybody at once, so there another uid proves nothing.
        """
        return account.is_local and self.grants_something() and self.has_another_uid(account)

    def place(self, name: str, now: int) -> KnownPlace | None:
        """Return the known place of that name."""
        return places.find(self.known_places, name, now)

    # At a login

    def failed(
        self, now: int, *, failures: int, throttled_until: int, guesses_until: int
    ) -> UserRecord:
        """Count one wrong code, with which there are ``failures`` in a row.

        Nobody is let in without a code any more, wherever it came from.
        """
        return self._replace(
            remembered=(),
            failures=failures,
            untold=self.untold + 1,
            throttled_until=throttled_until,
            guesses_until=guesses_until,
            updated_at=now,
        )

    def throttled(self, until: int) -> UserRecord:
        """Nothing is looked at before ``until``."""
        return self._replace(throttled_until=until)

    def with_place(self, changed: KnownPlace) -> UserRecord:
        """Replace the known place that has the name of ``changed``."""
        return self._replace(known_places=places.replaced(self.known_places, changed))

    def accepted(self, now: int, place: str = places.NOWHERE) -> UserRecord:
        """Forget the row of wrong codes. The slow budget stays, and so does what is untold.

        From now on ``place`` is known. Where it is, and there is no row, nothing of this record has
        changed within the hour: an authenticator notes its use.
        """
        record = self._replace(known_places=places.used(self.known_places, place, now))
        if not (self.failures or self.throttled_until):
            return record
        return record._replace(failures=0, throttled_until=0, updated_at=now)

    def remembering(self, wish: Wish, now: int) -> UserRecord:
        """A code was accepted: ask for none in the places of ``wish``, for as long as it says."""
        from . import remembering  # few logins are

        return self._replace(remembered=remembering.noted(self.remembered, wish, now))

    def told(self, count: int) -> UserRecord:
        """The person was told of ``count`` wrong codes."""
        return self._replace(untold=max(self.untold - count, 0))

    def with_learned_of(self, before: UserRecord) -> UserRecord:
        """Forget what a login has taught about the clocks of authenticators since ``before``."""
        learned = {a.id: a.learned for a in before.authenticators}
        return self.with_changed(*(a._replace(learned=learned[a.id]) for a in self.authenticators))

    def with_changed(self, *changed: Authenticator) -> UserRecord:
        """Replace the authenticators that have the ids of ``changed``."""
        by_id = {authenticator.id: authenticator for authenticator in changed}
        kept = tuple(by_id.get(a.id, a) for a in self.authenticators)
        return self._replace(authenticators=kept)

    def without_recovery_code(self, digest: bytes) -> UserRecord:
        """The code with ``digest`` was used: perhaps because a phone is gone."""
        left = self.recovery_digests - {digest}
        return self._replace(recovery_digests=left, remembered=())

    # Enrolling

    def with_authenticator(self, new: Authenticator, now: int) -> UserRecord:
        """Add ``new``; that ends a duty to enroll, and an exemption that is over.

        Nothing is remembered any more: it may be the phone that replaces a lost one.
        """
        changed = self._once_enrolled(now)._replace(authenticators=(*self.authenticators, new))
        return changed.without_remembered()

    def without_authenticator(self, label: str) -> UserRecord | None:
        """Remove the one with ``label``; None: it was the last one, and the enrollment ends."""
        kept = tuple(a for a in self.authenticators if a.label != label)
        return self._replace(authenticators=kept, remembered=()) if kept else None

    def with_recovery_codes(self, salt: bytes, digests: frozenset[bytes]) -> UserRecord:
        """Replace all recovery codes."""
        return self._replace(recovery_salt=salt, recovery_digests=digests)

    def enrolled(
        self, new: Authenticator, salt: bytes, digests: frozenset[bytes], now: int
    ) -> UserRecord:
        """Replace all that lets its user in: a first enrollment, a reset.

        Wrong codes and known places are forgotten. A suspension stays, and so does an exemption
        that has not ended.
        """
        record = self._once_enrolled(now)._replace(authenticators=(new,), own_changes="")
        return record.with_recovery_codes(salt, digests)._without_failures().without_places()

    def bound_to(self, account: Account, now: int, *, force: bool = False) -> UserRecord:
        """Make it the record of ``account``; ``force``: note the time even for the same uid."""
        if self.uid == account.uid and not force:
            return self
        remembered = self.remembered if self.uid is None else ()
        return self._replace(uid=account.uid, bound_at=now, remembered=remembered)

    # What administrators decide

    def unlocked(self, now: int, window: int, widest: int = 0) -> UserRecord:
        """Forget wrong codes, and last accepted steps that a clock set back left in the future.

        ``widest``: the window of the login that takes the earliest codes, if it is another.
        """
        authenticators = tuple(a.brought_back(now, window, widest) for a in self.authenticators)
        return self._without_failures()._replace(authenticators=authenticators)

    def suspended(self) -> UserRecord:
        """Deny every login that needs a code; that ends an exemption and a duty to enroll.

        Nor is any place known: whoever came from there may be why.
        """
        return self._replace(status=SUSPENDED, exempt_until=0).without_places()

    def resumed(self) -> UserRecord:
        """End a suspension, which may have taken the place of a duty to enroll."""
        if self.status != SUSPENDED:
            raise ValueError(f"is not suspended but {self.status}")
        return self.required()._without_failures()

    def exempted(self, until: int) -> UserRecord:
        """Ask for no code before ``until``; 0: the exemption does not end."""
        return self._replace(status=EXEMPT, exempt_until=until)

    def required(self) -> UserRecord:
        """Make the user use a code, and enroll first where there is no authenticator."""
        return self._replace(status=ACTIVE if self.authenticators else MUST_ENROLL, exempt_until=0)

    def without_status(self, status: str) -> UserRecord | None:
        """Return it active where it has ``status``; None where it then says nothing any more."""
        if self.status != status:
            return self
        if not self.authenticators and not self.recovery_digests:
            return None
        return self.activated()

    def activated(self) -> UserRecord:
        """End whatever its status said."""
        return self._replace(status=ACTIVE, exempt_until=0)

    def renamed(self, name: str) -> UserRecord:
        """Return it as that of ``name``, who is asked for a code wherever they are."""
        return self._replace(name=name, remembered=())

    def without_remembered(self, places: Collection[str] = ()) -> UserRecord:
        """Ask for a code again in ``places``; none: everywhere."""
        kept = tuple(one for one in self.remembered if places and one.place not in places)
        return self._replace(remembered=kept)

    def without_remembered_by(self, services: Collection[str]) -> UserRecord:
        """Forget the places where a code was right for one of ``services``."""
        kept = tuple(one for one in self.remembered if one.service not in services)
        return self._replace(remembered=kept)

    def without_places(self) -> UserRecord:
        """Forget from where its user has logged in, and where no code is asked for."""
        return self._replace(known_places=(), remembered=())

    def changed_at(self, now: int) -> UserRecord:
        """Note when it was last changed."""
        return self._replace(updated_at=now)

    def _without_failures(self) -> UserRecord:
        known = tuple(place.unlocked() for place in self.known_places)
        return self._replace(failures=0, throttled_until=0, guesses_until=0, known_places=known)

    def _once_enrolled(self, now: int) -> UserRecord:
        over = self.status == EXEMPT and has_ended(self.exempt_until, now)
        return self.activated() if self.status == MUST_ENROLL or over else self


def authenticator_changes(
    before: UserRecord | None, after: UserRecord
) -> list[tuple[Authenticator | None, Authenticator | None]]:
    """Return what became of each authenticator that changed, as it was and as it is.

    None: it is new, or it is gone; those that are gone come first.
    """
    known = {a.id: a for a in before.authenticators} if before else {}
    changed: list[tuple[Authenticator | None, Authenticator | None]] = []
    for authenticator in after.authenticators:
        was = known.pop(authenticator.id, None)
        if was != authenticator:
            changed.append((was, authenticator))
    return [*((gone, None) for gone in known.values()), *changed]


def write_authenticators(before: UserRecord | None, after: UserRecord, rows: RowWriter) -> None:
    """Have a store write authenticator_changes(), so that no two ever have one label.

    What gets another label has its id as one meanwhile, as two may exchange theirs. Raises
    ValueError where more of one has changed than may.
    """
    changes = authenticator_changes(before, after)
    for was, new in changes:
        if was and new:
            refuse_another_secret(was, new)
            if was.label != new.label:
                rows.update_authenticator(was, was._replace(label=was.id))
    for was, new in changes:
        if was and new:
            rows.update_authenticator(was, new)
        elif new:
            rows.insert_authenticator(new)
        elif was:
            rows.delete_authenticator(was)


def refuse_another_secret(known: Authenticator, after: Authenticator) -> None:
    """Raise ValueError where more of an authenticator has changed than may."""
    if known._replace(**{name: getattr(after, name) for name in CHANGING}) != after:
        raise ValueError("a secret and its parameters never change: use a new id")


def has_ended(until: int, now: int) -> bool:
    """Tell whether an exemption ``until`` then is over; 0 is for good."""
    return until != 0 and until <= now
