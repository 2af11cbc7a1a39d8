"""Whether the files of the store have the room that logins will need, for init and doctor."""

from __future__ import annotations

import os
from collections.abc import Callable

from pam_totp import store
from pam_totp.store.sqlite import reserve
from pam_totp.store.sqlite.reserve import Shortage
from pam_totp.system import disks


def restore(open_store: Callable[[], store.Store], path: str) -> Shortage | None:
    """Open the store at ``path``, which restores room, and return what is missing after that.

    More than once, where the disk has little room: each time it gives some of that alone.
    """
    before = ""
    while True:
        open_store().close()
        shortage = reserve.shortage(path)
        if shortage is None or not shortage.fits or shortage.missing == before:
            return shortage
        before = shortage.missing


def problem(shortage: Shortage, path: str) -> str:
    if shortage.fits:
        return f"{shortage.missing}, though the disk has room"
    kib = -(-shortage.needed // 1024)
    return (
        f"the disk of {os.path.dirname(path)} has no room for what logins will need: "
        f"{shortage.missing}; {kib} KiB must be free"
    )


def hint(shortage: Shortage, path: str) -> str:
    if shortage.fits:
        return (
            f"find the process that has it open: {disks.holders_hint(path)}; then run: totpctl init"
        )
    return f"{disks.no_room_hint(path)}; then run: totpctl init"
