"""The critical section of a login: read the record, judge the answer, write, commit.

No lock, no file and no secret is held while a person types: it begins when the answer is there.
"""

from __future__ import annotations

import _thread
import time

from ..core import admission, recovery, verifier
from ..store import open_store
from ..store.sealing import read_sealer
from ..system.errors import Unavailable
from ..system.uninterrupted import Uninterrupted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..core.admission import Account
    from ..core.verifier import Answer, Policy, Verdict
    from ..store import Store
    from ..system.config import Config

# Seconds that an answer may wait for its turn; then it was not looked at, and is not used up. Less
# than pam_totp.so waits, or a code would be used up by a login that has been given up.
PATIENCE = 20.0
_hashing = _thread.allocate_lock()


class TurnToHash:
    """In a worker, one login at a time: a digest takes 19 MiB, and a processor for that long.

    Whoever has it first looks whether there is still something to hash for: otherwise one user
    with many prompts would hold up everybody else's recovery codes. Raises Unavailable.
    """

    def __enter__(self) -> None:
        if not _hashing.acquire(timeout=PATIENCE):
            raise Unavailable(
                "recovery codes",
                "too many logins are before this one",
                "try again; whose they are: journalctl -t pam_totp",
            )

    def __exit__(self, *_: object) -> None:
        _hashing.release()


def open_configured(settings: Config, *, administers: bool = False) -> Store:
    """Open the store that ``settings`` name, with their key. Raises Unavailable.

    ``administers``: see store.open_store.
    """
    return open_store(settings.store, read_sealer(settings.sealing_key), administers=administers)


def verify(
    settings: Config, name: str, answer: Answer, *, decoy: bool, account: Account | None = None
) -> Verdict:
    """Return what comes of ``answer``, and it is durable. ``decoy``: go through the motions.

    An accepted answer binds a record of unknown uid to ``account``.

    What is no code at all is not compared with anything, and no store is opened for it: that takes
    as long for everybody.
    """
    if answer.kind in verifier.NO_CODES:
        return verifier.Verdict(answer.kind)
    policy = settings.policy()
    with Uninterrupted(), open_configured(settings) as store:
        while True:
            hashed = _with_digest(store, name, answer, policy, decoy=decoy)
            open_transaction = store.decoy_transaction if decoy else store.transaction
            with open_transaction(name) as transaction:
                record = transaction.record
                if record is None or not record.authenticators:  # removed since the prompt
                    return verifier.Verdict(verifier.REJECTED)
                now = int(time.time())
                kind = verifier.RECOVERY_CODE
                if _lacks_digest(hashed) and verifier.standing(record, now, policy, kind) is None:
                    continue  # the wait has just ended, and it is looked at after all
                verdict, changed = verifier.verify(record, hashed, now, policy)
                accepted = verdict.outcome in (verifier.ACCEPTED, verifier.RECOVERY_USED)
                if accepted and account is not None and changed.uid is None:
                    changed = admission.bound_to(changed, account, now)
                if changed != record:
                    transaction.save(changed)
            return verdict


def have_told(settings: Config, name: str, count: int) -> None:
    """Take ``count`` off the wrong codes of ``name`` that the person has not been told of."""
    with (
        Uninterrupted(),
        open_configured(settings) as store,
        store.transaction(name, unseal=False) as transaction,
    ):
        record = transaction.record
        if record is not None and record.untold:
            transaction.save(record._replace(untold=max(record.untold - count, 0)))


def _with_digest(store: Store, name: str, answer: Answer, policy: Policy, *, decoy: bool) -> Answer:
    """Hash a recovery code before the transaction: nobody should wait for Argon2id.

    Not the code of who is throttled or locked, which nobody will look at.
    """
    if answer.kind != verifier.RECOVERY_CODE:
        return answer
    with TurnToHash():
        known, stand_in = store.load(name), store.load_decoy(name)  # both, of everybody
        record = stand_in if decoy else known
        now, kind = int(time.time()), answer.kind
        if record is not None and verifier.standing(record, now, policy, kind) is not None:
            return answer
        salt = record.recovery_salt if record is not None else None
        digest = recovery.digest(answer.code, salt or bytes(recovery.SALT_BYTES))
    return answer._replace(salt=salt, digest=digest)


def _lacks_digest(answer: Answer) -> bool:
    return answer.kind == verifier.RECOVERY_CODE and not answer.digest
