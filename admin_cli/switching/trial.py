"""A change that waits for its confirmation: the record of it, and how all is put back.

The record says which files were changed, and by digests what they were and what was written; it
holds no content. A file is put back from its second name (files.py), and only if that is what the
record says was there. So nothing can be put in place by way of the record.

Every step may be the last (SIGKILL, a power cut) and none needs room on the disk: the originals
have their second names before the record is there, the record before anything is changed, and it
goes when all is back. Where it was lost, the originals tell what was
changed. Putting back what is back already changes nothing.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from pam_totp import disks, pam_stack
from pam_totp.errors import PamTotpError

from .. import sshd, ui
from ..sshd import process as sshd_process
from . import blocks, enabled, files, pam_blocks, trial_record
from .trial_record import ChangedFile, Trial, pending, read_boot, remove, write

LOCK = "/run/pam_totp.change.lock"


class Busy(ui.CommandFailed):
    """Another totpctl holds the lock."""


class Change(NamedTuple):
    """One file: its whole content, None where there is no such file."""

    path: str
    before: bytes | None
    after: bytes | None


@contextmanager
def changing(*, wait: float = 0) -> Iterator[None]:
    """Keep every other totpctl from changing these files. Raises Busy if one does.

    ``wait``: seconds to wait for it.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(LOCK, flags, 0o600)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        # It is not there, so nobody holds it; and on a full /run nobody else can make it either.
        ui.warning(f"goes on without the lock: {ui.os_error_in_words(error)}")
        yield
        return
    try:
        give_up = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= give_up:
                    raise Busy(
                        "another totpctl is changing these files",
                        f"wait until it has ended; see who: {disks.holders_hint(LOCK)}",
                    ) from None
            time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)


def begin(
    changes: Sequence[Change],
    services: Sequence[str],
    keys: str | None,
    seconds: int,
    recovery_sets: Mapping[str, int] | None = None,
) -> Trial:
    """Make it possible to put everything back; nothing is changed yet.

    Or nothing is left behind. ``seconds``: the time to confirm. ``recovery_sets``: as
    Trial has it.
    """
    changed = tuple(
        ChangedFile(
            change.path,
            files.digest(change.before),
            files.digest(change.after),
            blocks.keys_of(change.path, change.before),
        )
        for change in changes
    )
    boot, boottime = read_boot()
    new = Trial(
        id=os.urandom(8).hex(),
        started=int(time.time()),
        seconds=seconds,
        boot=boot,
        started_boottime=boottime,
        services=tuple(services),
        keys=keys,
        files=changed,
        recovery_sets=None if recovery_sets is None else dict(recovery_sets),
    )
    try:
        for change in changes:
            if change.before is not None:
                files.keep_original(change.path)
            else:
                files.keep_nothing(change.path)
        write(new)
        _keep_spares(changes)
    except BaseException:
        remove()
        remove_leftovers(new.files)
        raise
    return new


def _keep_spares(changes: Sequence[Change]) -> None:
    """Keep room for disable, confirm and revert, beside what each of them writes."""
    for change in changes:
        files.keep_spare(change.path, max(map(len, (change.before or b"", change.after or b""))))
    record = os.path.getsize(trial_record.RECORD)
    files.keep_spare(trial_record.RECORD, record)
    enabled.keep_spare()


def carry_out(trial: Trial, changes: Sequence[Change]) -> None:
    """Put the new files in place. Raises ui.CommandFailed where somebody else is at them."""
    for change in changes:
        waiting = pending()
        if waiting is None or waiting.id != trial.id:
            raise ui.CommandFailed("another totpctl has put it back meanwhile", "run it again")
        if files.digest_at(change.path) != files.digest(change.before):
            raise ui.CommandFailed(
                f"{change.path} was changed by another program meanwhile", "run it again"
            )
        assert change.after is not None
        files.replace(change.path, change.after)


def put_back(trial: Trial) -> list[str]:
    """Put everything back, tell sshd, and forget the trial; return what is worth knowing.

    Whatever fails, the rest is done; then ui.CommandFailed is raised, and the trial is still
    there, for the next try.
    """
    notes: list[str] = []
    problems: list[str] = []
    about_sshd = sshd.DROP_IN in [file.path for file in trial.files]
    for file in sorted(trial.files, key=lambda file: file.path != sshd.DROP_IN):
        try:
            if about_sshd and file.path == pam_file_of_sshd() and not _sshd_listens_to_it(problems):
                notes += let_keys_in(file.keys_before)
            else:
                notes += put_file_back(file)
        except (OSError, PamTotpError) as error:
            problems.append(str(error))
    if about_sshd and pam_file_of_sshd() not in [file.path for file in trial.files]:
        _sshd_listens_to_it(problems)
    _end(problems, "not everything could be put back")
    return notes


def _folders() -> tuple[str, str]:
    return pam_stack.PAM_FOLDERS[0], os.path.dirname(sshd.DROP_IN)


def pam_file_of_sshd() -> str:
    return f"{pam_stack.PAM_FOLDERS[0]}/sshd"


def _sshd_listens_to_it(problems: list[str]) -> bool:
    """Tell sshd; add to ``problems`` what keeps it from loading its settings."""
    try:
        tell_sshd()
    except (OSError, PamTotpError) as error:
        problems.append(f"{error}; sshd runs with its settings of before until it can reload")
        return False
    return True


def let_keys_in(keys_before: str | None) -> list[str]:
    """Let sshd's PAM file ask key logins for nothing, as long as sshd cannot be reloaded.

    sshd still sends them to PAM by the settings that it has in memory. With its file of before, PAM
    would ask them for a password, which they may not have. Where they were asked for a code
    before, the file stays as it is.
    """
    path = pam_file_of_sshd()
    content = files.read(path)
    if content is None or keys_before not in (None, "skip"):
        return []
    without = pam_blocks.disabled(files.text_of(content))
    alone = files.bytes_of(pam_blocks.keys_alone(without))
    if alone != content:
        files.replace(path, alone)
    return [f"{path}: key logins are asked for nothing, until sshd can load its settings"]


def put_file_back(file: ChangedFile) -> list[str]:
    """Put one file back, and take its second name away; return what is worth knowing."""
    files.remove(files.beside(file.path, files.NEW))
    kept = files.beside(file.path, files.BEFORE)
    now = files.digest_at(file.path)
    has_original = file.before != "" and files.digest_at(kept) == file.before
    notes: list[str] = []
    if now == file.before:
        pass
    elif now == file.written and not file.before:
        files.remove(file.path)
    elif now in (file.written, "") and has_original:
        files.put_original_back(file.path)
    elif now != "":
        notes = _put_edited_back(file, has_original=has_original)
    else:
        notes = [f"{file.path} is gone, and so is what was there before"]
    files.remove(kept)
    files.sync_folder(file.path)
    return notes


def _put_edited_back(file: ChangedFile, *, has_original: bool) -> list[str]:
    """Take our lines out of a file that somebody has edited since, and keep the edits.

    Where that cannot be done (no room; a block that was torn), what was there before comes back,
    and the edits lie beside it.
    """
    try:
        content = files.read(file.path)
        assert content is not None
        left = blocks.taken_back(file.path, content, file.keys_before)
        if has_original and files.digest(left) == file.before:
            files.put_original_back(file.path)
        elif left is None:
            files.remove(file.path)
        elif left != content:
            files.replace(file.path, left)
    except (OSError, PamTotpError):
        if not has_original and file.before:
            raise
        edited = files.beside(file.path, files.EDITED)
        files.remove(edited)
        os.rename(file.path, edited)
        if has_original:
            files.put_original_back(file.path)
        return [f"{file.path} is as it was before; what was edited since is in {edited}"]
    return [f"{file.path} was edited since: our lines are gone, the edits are kept"]


def take_out_everything() -> list[str]:
    """Take our lines out of every file: for a record that cannot be believed."""
    notes: list[str] = []
    problems: list[str] = []
    paths = [sshd.DROP_IN]
    folder = pam_stack.PAM_FOLDERS[0]
    paths += [f"{folder}/{name}" for name in sorted(os.listdir(folder)) if name[0] != "."]
    told = False
    for path in paths:
        if path != sshd.DROP_IN and not told:
            told = True
            is_loaded = _sshd_listens_to_it(problems)
        try:
            content = files.read(path) if os.path.isfile(path) else None
            if content is None or blocks.keys_of(path, content) is None:
                continue
            if path == pam_file_of_sshd() and not is_loaded:
                notes += let_keys_in(None)
                continue
            left = blocks.taken_back(path, content, None)
            if left is None:
                files.remove(path)
                files.sync_folder(path)
            else:
                files.replace(path, left)
            notes.append(f"our lines are gone from {path}")
        except (OSError, PamTotpError) as error:
            problems.append(str(error))
    _end(problems, "our lines could not be taken out everywhere")
    return notes


def _end(problems: list[str], failed: str) -> None:
    """Forget the trial; or raise ui.CommandFailed, and leave it for the next try."""
    if problems:
        raise ui.CommandFailed(
            f"{failed}: " + "; ".join(problems), "mend it, then run: totpctl revert"
        )
    remove_spares()
    remove()


def tell_sshd() -> None:
    """Let sshd load its settings; where it was removed since, there is nobody to tell."""
    if os.path.exists(sshd_process.program()):
        sshd.check()
        sshd.reload()


def remove_leftovers(changed: Sequence[ChangedFile] = ()) -> None:
    """Remove second names that nobody needs any more; only with the lock, and without a trial.

    The record of a confirmed trial goes last: until then it says that the originals are no trial.
    """
    found = [files.beside(file.path, files.BEFORE) for file in changed]
    found += [files.beside(trial_record.RECORD, prefix) for prefix in (files.NEW, files.SPARE)]
    for folder in _folders():
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        found += [
            f"{folder}/{name}" for name in names if name.startswith((files.BEFORE, files.NEW))
        ]
    for path in found:
        files.remove(path)
    remove()
    remove_spares()


def remove_spares() -> None:
    """Remove the spares of files that have none of our lines (any more)."""
    any_on = bool(enabled.services())
    for path in files.having(files.SPARE, _folders()):
        try:
            is_on = blocks.keys_of(path, files.read(path)) is not None
        except ui.CommandFailed:
            is_on = True
        any_on = any_on or is_on
        if not is_on:
            files.remove_spare(path)
    if not any_on:
        enabled.remove_spares()
