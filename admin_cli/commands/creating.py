"""init: create the sealing key, the store and the spare files that are missing."""

from __future__ import annotations

import os

from pam_totp import store
from pam_totp.store import sealing
from pam_totp.system import atomic_files, config, disks, lock_file, trusted_files
from pam_totp.system.config_values import split_store_url

from .. import output
from ..doctor import store_room
from ..enable.switch import keep_missing_spares
from ..errors import CheckSaysNo, CommandFailed
from ..session import Session


def init(session: Session) -> None:
    """Create what is missing, check all of it, and say so. Raises CommandFailed."""
    key_path = session.config.sealing_key
    url = session.config.of_this_machine().store
    _, store_path = split_store_url(url)
    _refuse_an_unmounted_disk(store_path)
    for folder in (os.path.dirname(key_path), os.path.dirname(os.path.dirname(store_path))):
        if not os.path.isdir(folder):
            raise CommandFailed(f"there is no folder {folder}", f"run: mkdir -p {folder}")
    if _create_key(key_path, store_path):
        output.message(f"created the sealing key {key_path}: back it up together with the store")
    sealer = sealing.read_sealer(key_path)
    if store.create_store(url, sealer):
        output.message(f"created the store {store_path}")
    with session.open_on_disk() as opened:
        problems = opened.check()
    if problems:
        raise CheckSaysNo("; ".join(problems), "restore the store from a backup")
    shortage = store_room.restore(session.open_on_disk, store_path)
    if shortage:
        problem = store_room.problem(shortage, store_path)
        hint = store_room.hint(shortage, store_path)
        output.warning(f"{problem}; until then, a full disk denies logins; {hint}")
    else:
        output.message("key and store are OK")
    if session.config_path == config.DEFAULT_PATH:
        keep_missing_spares()


def _refuse_an_unmounted_disk(store_path: str) -> None:
    """A new store would know nobody, and lie hidden as soon as the disk of the old one is back."""
    if os.path.lexists(store_path):
        return
    for point in disks.unmounted_points(store_path):
        raise CommandFailed(
            f"there is no store {store_path}, and {point} is not mounted",
            disks.missing_hint(store_path),
        )


def _create_key(path: str, store_path: str) -> bool:
    """Make a key file, whole and on the disk, or not at all; False if there is one already.

    Of two at once, or after one that was killed, one key remains, and no trace of another.
    """
    trusted_files.check_folder(os.path.dirname(path))
    unfinished = f"{path}.new"
    if os.path.lexists(path):
        atomic_files.remove(unfinished)
        return False
    with lock_file.held(path):
        atomic_files.remove(unfinished)
        if os.path.lexists(path):
            return False
        if os.path.lexists(store_path):
            raise CommandFailed(
                f"{store_path} exists, but its sealing key {path} does not",
                f"restore {path} from a backup; if it is lost, move the store away",
            )
        atomic_files.write_new(unfinished, sealing.generate_key_file())
        os.link(unfinished, path)  # not rename: this one never replaces a file
        atomic_files.remove(unfinished)
        atomic_files.sync_folder(path)
    return True
