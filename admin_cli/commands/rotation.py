"""rotate-key: another sealing key for the same store, while people log in.

At every moment the key file opens all that the store holds: first it gets the new key beside the
old one, then the store is resealed, then the old one is removed. Each step is on the disk before
the next one begins, so the next run finishes one that was interrupted anywhere.
"""

from __future__ import annotations

import os
import re

from pam_totp.store import open_store, sealing
from pam_totp.store.postgresql import kept_kit
from pam_totp.store.sealing import Sealer
from pam_totp.system import config, lock_file, trusted_files
from pam_totp.system.config import Config
from pam_totp.system.config_values import split_store_url
from pam_totp.system.errors import PamTotpError
from pam_totp.system.uninterrupted import Uninterrupted

from .. import output
from ..errors import CommandFailed
from ..host import files
from ..host.services import arguments_of, path_of, read_services
from ..session import Session

_QUESTION = (
    "Existing backups of the store can be opened only with the old key, which will no longer be on "
    "this machine. Reseal every secret with a new key?"
)

_NAMES_FILES = re.compile(r"pam_totp.*\b(store|sealing_key|config)=")  # in our line


def rotate_key(session: Session, *, yes: bool) -> None:
    """Replace the sealing key, and reseal every secret. ``yes``: without asking."""
    path = session.config.sealing_key
    _refuse_other_users(session.config, session.config_path)
    _refuse_damage(session)
    output.confirm(_QUESTION, yes=yes)
    trusted_files.check_folder(os.path.dirname(path))
    with lock_file.held(_store_path(session.config)):
        _refuse_damage(session)
        with Uninterrupted():
            before = sealing.read_sealer(path)
            new, count = _rotate(session, before)
            session.log("key_rotated", "", key_id=new.key_id.hex())
            output.message(
                f"{count} secrets are sealed with the new key {new.key_id.hex()}; the old key "
                f"{before.key_id.hex()} now opens only earlier backups"
            )
    output.message(f"back up {path} and the store again")


def _rotate(session: Session, before: Sealer) -> tuple[Sealer, int]:
    """Do all three steps, or what is left of them; return the new key, and how many secrets."""
    path = before.path
    added = b"" if before.others else sealing.new_sealer(path).key_file()
    files.replace(path, before.key_file() + added)  # again, too: who knows whether it was durable
    try:
        (new,) = sealing.read_sealer(path).others  # what can be read there is what seals
        with session.open_on_disk() as store:
            count = store.reseal(new)
        _reseal_kit(session.config, new)
        files.replace(path, new.key_file())
    except (PamTotpError, OSError):
        output.message(
            f"{path} now holds both the old and the new key, and logins keep working; to finish, "
            "fix the following error and run again: totpctl rotate-key"
        )
        raise
    return new, count


def _reseal_kit(settings: Config, new: Sealer) -> None:
    """Seal the codes that a host of a fleet keeps for an outage as well: they are a store."""
    path = kept_kit.path_of(settings)
    if os.path.lexists(path):
        with open_store(path, sealing.read_sealer(settings.sealing_key), administers=True) as kit:
            kit.reseal(new)


def _refuse_damage(session: Session) -> None:
    with session.open_on_disk() as store:
        problems = store.check()
    if problems:
        raise CommandFailed(
            "; ".join(problems),
            "nothing was changed; for each user named, run: totpctl reset USER, or totpctl remove "
            "USER; restore a damaged store from a backup",
        )


def _refuse_other_users(settings: Config, config_path: str) -> None:
    """Refuse where a PAM line has this store with another key file, or another store with this key.

    Such logins would be denied from then on: their key, or their store, stays as it is. A file
    that is not understood is refused where it may be one of those.
    """
    for service in read_services().values():
        if service.problem and _NAMES_FILES.search(service.text):
            raise CommandFailed(str(service.problem), service.problem.hint)
        for line in service.lines:
            given = arguments_of(line)
            try:
                other = config.load(given.path, given.settings).config
            except PamTotpError:
                continue  # it denies everybody now
            is_store = _is_same(_store_path(other), _store_path(settings))
            if is_store != _is_same(other.sealing_key, settings.sealing_key):
                raise CommandFailed(
                    f"{path_of(service.name)}: {line.file}, line {line.number} has the store "
                    f"{_store_path(other)} with the key {other.sealing_key}, and {config_path} has "
                    f"{_store_path(settings)} with {settings.sealing_key}",
                    "nothing was changed; use each key with one store only, and name both the same "
                    "way everywhere",
                )


def _store_path(settings: Config) -> str:
    return split_store_url(settings.of_this_machine().store)[1]


def _is_same(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)
