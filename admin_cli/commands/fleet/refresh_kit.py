"""What refresh does."""

from __future__ import annotations

import contextlib

from pam_totp.store.postgresql.client import Client
from pam_totp.store.postgresql.host_store import HostStore
from pam_totp.store.postgresql.kept_kit import CACHE, KeptKit
from pam_totp.store.postgresql.offline import OfflineStore
from pam_totp.system import fleet_file
from pam_totp.system.errors import StoreMissing

from ... import output
from ...errors import CommandFailed
from ...session import Session


def refresh(session: Session) -> None:
    """Report, fetch, and say what is kept. Raises CommandFailed, Unavailable."""
    settings = session.config
    if not settings.is_fleet:
        raise CommandFailed(
            f"{session.config_path} names no fleet as this machine's store",
            "on an administrator's machine run: totpctl fleet add HOST",
        )
    client = Client(settings.store, fleet_file.read(settings.fleet_host))
    with contextlib.closing(client), contextlib.closing(KeptKit.of(settings)) as kit:
        OfflineStore(HostStore(client), kit).refresh(at_once=True)
        try:
            ends = kit.ask(lambda opened: opened.ends())
        except StoreMissing:
            ends = []
    if settings.offline != CACHE:
        output.message("this host keeps nothing: offline is not cache in pam_totp.conf")
    elif not ends:
        output.message("this host keeps nothing yet: nobody has logged in here with a code, or the")
        output.message("policy allows none; see: totpctl fleet policy")
    else:
        until = output.iso_time(min(ends))
        output.message(f"codes of {len(ends)} people are kept, of all of them until {until}")
