"""Seal every secret again in one transaction, and leave nothing of what was sealed before."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ...core.users import Authenticator
from ...system.disks import holders_hint
from ...system.errors import SealingError, StoreUnavailable
from ..sealing import DECOY_KEY
from . import reserve
from .rows import AUTHENTICATOR_COLUMNS, binding, is_sound

if TYPE_CHECKING:
    from ..sealing import Sealer
    from .database import Database
    from .sealed import SealedDatabase

LOG_ATTEMPTS = 50
LOG_WAIT = 0.1  # seconds: for as long, an attempt keeps writers waiting
LOG_PAUSE = 0.1


def reseal(store: SealedDatabase, sealer: Sealer) -> int:
    """See Store.reseal of store/__init__.py."""
    database = store.database
    database.begin("IMMEDIATE")
    try:
        count = _seal_again(store, sealer)
    except BaseException:
        database.roll_back()
        raise
    database.commit()
    _empty_the_log(database)
    return count


def _seal_again(store: SealedDatabase, sealer: Sealer) -> int:
    execute = store.database.execute
    rows = execute(f"SELECT user, {AUTHENTICATOR_COLUMNS} FROM authenticators ORDER BY id")
    for user, *columns in rows:
        row = Authenticator(*columns)
        if not (isinstance(user, str) and is_sound(row) and row.secret is not None):
            raise store.database.not_ours()
        bound_to = binding(user, row)
        try:
            secret = store.unseal(row.secret, *bound_to)
        except SealingError as error:
            raise SealingError(user, str(error), error.hint) from None
        sealed = sealer.seal(secret, *bound_to)
        if sealer.open(sealed, *bound_to) != secret:
            raise SealingError(user, "a secret that was sealed again does not open")
        execute("UPDATE authenticators SET sealed_secret = ? WHERE id = ?", (sealed, row.id))
    decoy_key = sealer.seal(store.open_decoy_key(), *DECOY_KEY)
    execute("UPDATE meta SET value = ? WHERE key = 'sealing_key_id'", (sealer.key_id,))
    execute("UPDATE meta SET value = ? WHERE key = 'decoy_key'", (decoy_key,))
    store.database.touch_key_page()
    return len(rows)


def _empty_the_log(database: Database) -> None:
    """Merge the write-ahead log and cut it to nothing: it holds pages as they were.

    That waits for readers, and meanwhile keeps writers out: so for a moment only, and again.
    """
    database.execute(f"PRAGMA busy_timeout = {round(1000 * LOG_WAIT)}")
    try:
        for _ in range(LOG_ATTEMPTS):
            ((busy, _, _),) = database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            if not busy:
                reserve.keep(database)
                return
            time.sleep(LOG_PAUSE)
    finally:
        database.execute(f"PRAGMA busy_timeout = {round(1000 * database.patience)}")
    raise StoreUnavailable(
        database.path,
        "has been read by another process for too long: what is sealed with the old key stays in "
        "its log",
        f"see who: {holders_hint(database.path)}; then run it again",
    )
