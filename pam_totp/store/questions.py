"""LoginStore: what a login asks of a store; any engine can answer each question in one step.

    admission     what the policy needs to know of a name, and the decoy's standing
    verify        the only critical section: judge one answer, durably
    enroll_first  keep a first enrollment, once, if nobody was faster

And one of them where people help themselves: change_own().

Two more serve only to note or to make sure of something: nothing is decided by have_told(), and
confirm_absence() has nothing to do where an engine cannot lose rows unnoticed. batch() makes the
answers to several questions durable at once; checkpoint() is for a quiet moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Protocol

    from ..core.admission import GroupRule
    from ..core.enrollment import Enrollment
    from ..core.own_changes import OwnChange
    from ..core.remembering import Wish
    from ..core.users import Account, UserRecord
    from ..core.verifier import Answer, Policy, Verdict
    from ..system.audit import Source

    class LoginStore(Protocol):
        """What a login asks. Every method raises errors.Unavailable where the store is no use.

        StoreBusy among these: another process was writing for too long, and nothing was changed.
        """

        def admission(self, name: str, place: str = "") -> Known:
            """Return what is known of ``name``, with the same work for every name.

            Of known places that of the name ``place`` at least, if it is one; of remembered ones
            those of this host at least.
            """

        def verify(self, attempt: LoginAttempt) -> Verdict | None:
            """Judge an answer with verifier.verify(); what it changes is durable on return.

            None: it is a recovery code without a digest, which is looked at now; nothing was
            changed. Some engines keep events themselves.
            """

        def enroll_first(
            self, name: str, enrollment: Enrollment, before: UserRecord | None
        ) -> bool:
            """Keep the first enrollment of ``name``, durably; False if somebody was faster.

            That is, if the record is not ``before`` any more: whoever enrolled, suspended,
            exempted or reset this user meanwhile is not overruled.
            """

        def change_own(self, name: str, change: OwnChange, before: UserRecord) -> bool:
            """Make a change of ``name``'s own, durably; False if its record was changed meanwhile.

            That is, if own_changes.is_still() tells that it is not ``before`` any more, or
            own_changes.refusal() has something against it by now. Raises StoreRefused where the
            engine leaves all changes to administrators.
            """

        def have_told(self, name: str, count: int) -> None:
            """Take ``count`` off the wrong codes of ``name`` that the person was not told of."""

        def batch(self) -> AbstractContextManager[None]:
            """Make all that is asked inside durable by one sync, when the batch is left.

            A question reads what the earlier ones have changed; without a batch, each is on its
            own. Raises where the commit fails. Then nothing is kept, nor after an exception
            inside. Of a question, it is raised again on leaving if it was caught before: after it
            no other is answered. A batch holds no other batch, and keeps other writers out.
            """

        def checkpoint(self) -> None:
            """Do ahead what would be in the way of a later login: call it when nobody waits.

            It may take as long as a few commits, changes nothing that is ever told, and never
            raises. Where there is little to do it costs nothing, and it need not be called at all.
            """

        def confirm_absence(self) -> None:
            """Raise StoreCorrupt if damage could be why a user was not found.

            Takes time that grows with the store: for when absence lets somebody in.
            """


class LoginAttempt(NamedTuple):
    """One answer of a login, to be judged.

    ``source``: where it comes from, whose place may be known. ``is_decoy``: go through the
    motions, with the same work, on the decoy of ``name``. ``account``: an accepted answer binds a
    record of unknown uid to it. ``remember``: what is noted of a code that is accepted: see
    verifier.verify().
    """

    name: str
    answer: Answer
    policy: Policy
    source: Source
    is_decoy: bool
    account: Account | None = None
    remember: Wish | None = None

    def __repr__(self) -> str:
        return "<LoginAttempt>"


class Known(NamedTuple):
    """What a store knows of a name at unix time ``at``, without secrets.

    ``policy``: of an engine that has one for all of its hosts, which counts in place of the
    configuration's. ``may_enroll``: whether that lets anybody enroll at a login. ``problem``: why
    another store, which comes first, could not say whether it holds the name.
    """

    record: UserRecord | None
    rules: tuple[GroupRule, ...]  # of all groups, by name
    decoy: UserRecord  # which stands in where there is no record
    at: int
    is_offline: bool = False  # told by a host on its own: see admission.admit_offline()
    policy: Policy | None = None
    may_enroll: bool = True
    problem: str = ""
