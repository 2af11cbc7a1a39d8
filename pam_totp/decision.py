"""The critical section of a login: read the record, judge the answer, write, commit.

No lock, no file and no secret is held while a person types: it begins when the answer is there.
"""

from __future__ import annotations

import _thread
import time

from . import recovery, verifier
from .sealing import read_sealer
from .store import open_store
from .uninterrupted import Uninterrupted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .config import Config
    from .store import Store
    from .verifier import Answer, Verdict

_hashing = _thread.allocate_lock()  # 19 MiB a digest: in a worker, one at a time


def open_configured(settings: Config) -> Store:
    """Open the store that ``settings`` name, with their key. Raises Unavailable."""
    return open_store(settings.store, read_sealer(settings.sealing_key))


def verify(settings: Config, name: str, answer: Answer, *, decoy: bool) -> Verdict:
    """Return what comes of ``answer``, and it is durable. ``decoy``: go through the motions."""
    policy = settings.policy()
    with Uninterrupted(), open_configured(settings) as store:
        answer = _with_digest(store, name, answer, decoy=decoy)
        open_transaction = store.decoy_transaction if decoy else store.transaction
        with open_transaction(name) as transaction:
            record = transaction.record
            if record is None or not record.authenticators:  # removed since the prompt
                return verifier.Verdict(verifier.REJECTED)
            verdict, changed = verifier.verify(record, answer, int(time.time()), policy)
            if changed != record:
                transaction.save(changed)
    return verdict


def digest(code: str, salt: bytes) -> bytes:
    """Like recovery.digest(), one after the other."""
    with _hashing:
        return recovery.digest(code, salt)


def _with_digest(store: Store, name: str, answer: Answer, *, decoy: bool) -> Answer:
    """Hash a recovery code before the transaction: nobody should wait for Argon2id."""
    if answer.kind != verifier.RECOVERY_CODE:
        return answer
    record = store.load_decoy(name) if decoy else store.load(name)
    salt = record.recovery_salt if record is not None else None
    return answer._replace(
        salt=salt, digest=digest(answer.code, salt or bytes(recovery.SALT_BYTES))
    )
