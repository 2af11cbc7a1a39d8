"""BlockingDriver: performs the steps of one login at once, on this machine.

For a login that has a process or a thread of its own. How the person is reached differs: whoever
inherits says so with ask() and tell(). No lock, no file and no store is open between two steps, so
none is while a person types.
"""

from __future__ import annotations

import os
import time

from ..core import recovery, verifier
from ..store import fresh_connection, is_missing, open_configured
from ..system import audit, config
from ..system.errors import StoreMissing, Unavailable
from ..system.uninterrupted import Uninterrupted
from . import identity
from .hashing import HashingSlot
from .steps import AccountEntry, Issued, Turn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..core.admission import Groups
    from ..core.verifier import Answer, Verdict
    from ..store import Connections, Known, Store
    from ..system.config import Loaded
    from . import steps


class BlockingDriver:
    """See steps.Driver. ``connections``: those that the store is reached over."""

    def __init__(self, connections: Connections = fresh_connection) -> None:
        self._connections = connections
        self._settings = config.Config()

    # Configuration, log and directory

    def read_config(self, step: steps.ReadConfig) -> Loaded:
        loaded = config.load(step.arguments.path, step.arguments.settings)
        self._settings = loaded.config
        return loaded

    def log(self, step: steps.Log) -> None:
        audit.record(step.event, step.source, **step.fields)

    def look_up_account(self, step: steps.LookUpAccount) -> AccountEntry | None:
        passwd = identity.passwd_entry(step.user)
        if passwd is None:
            return None
        return AccountEntry(identity.canonical_name(passwd), identity.account(passwd), passwd)

    def look_up_groups(self, step: steps.LookUpGroups) -> Groups:
        from . import membership  # few configurations need it

        if step.in_files:
            return membership.local_groups(step.entry.passwd, step.names)
        return membership.groups_among(step.entry.passwd, step.names)

    # The person

    def take_place(self, _step: steps.TakePlace) -> Turn:
        """Nobody counts those who wait where each has a process of their own."""
        return Turn()

    # The store

    def look_up_user(self, step: steps.LookUpUser) -> Known:
        try:
            with Uninterrupted(), self._open() as store:
                return store.admission(step.name)
        except Unavailable as error:
            if is_missing(self._settings.store):
                raise StoreMissing(error.subject, error.problem, error.hint) from error
            raise

    def confirm_absence(self, _step: steps.ConfirmAbsence) -> None:
        with Uninterrupted(), self._open() as store:
            store.confirm_absence()

    def hash_answer(self, step: steps.HashAnswer) -> Answer:
        """Hash a recovery code before the transaction: nobody should wait there for Argon2id.

        Not the code of somebody who is throttled or locked, which nobody will look at.
        """
        with Uninterrupted(), HashingSlot():
            with self._open() as store:
                known = store.admission(step.name)
            record = known.decoy if step.is_decoy else known.record
            kind = step.answer.kind
            if record is not None and verifier.standing(record, known.at, step.policy, kind):
                return step.answer
            salt = record.recovery_salt if record is not None else None
            digest = recovery.digest(step.answer.code, salt or bytes(recovery.SALT_BYTES))
        return step.answer._replace(salt=salt, digest=digest)

    def verify(self, step: steps.Verify) -> Verdict | None:
        with Uninterrupted(), self._open() as store:
            return store.verify(
                step.name, step.answer, step.policy, is_decoy=step.is_decoy, account=step.account
            )

    def have_told(self, step: steps.HaveTold) -> None:
        with Uninterrupted(), self._open() as store:
            store.have_told(step.name, step.wrong_codes)

    # First enrollment: each loads what no other login needs

    def judge_stack(self, step: steps.JudgeStack) -> bool:
        from ..stack import pam_stack

        return pam_stack.proves_password(step.service, key=step.key)

    def issue_authenticator(self, step: steps.IssueAuthenticator) -> Issued:
        from ..system import issuing
        from . import picture

        new = issuing.new_authenticator(
            step.label, step.algorithm, step.digits, step.period, int(time.time())
        )
        assert new.secret is not None
        uri, lines = picture.draw(new.secret, step.user, step.issuer or os.uname().nodename)
        return Issued(new, uri, lines)

    def issue_codes(self, _step: steps.IssueCodes) -> list[str]:
        from ..system import issuing

        return issuing.new_recovery_codes()

    def hash_codes(self, step: steps.HashCodes) -> tuple[bytes, frozenset[bytes]] | None:
        from ..system import issuing

        with Uninterrupted(), HashingSlot():
            with self._open() as store:
                if store.admission(step.name).record != step.before:
                    return None
            return issuing.salt_and_digests(step.codes)

    def enroll_first(self, step: steps.EnrollFirst) -> bool:
        with Uninterrupted(), self._open() as store:
            return store.enroll_first(step.name, step.enrollment, step.before)

    def _open(self) -> Store:
        return open_configured(self._settings, connections=self._connections)
