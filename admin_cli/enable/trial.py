"""Carry out a trial, a change that waits for its confirmation, and undo it.

The record says which files were changed, and by digests what they were and what was written; it
holds no content. A file is restored from its second name (files.py), and only if that is what the
record says was there. So nothing can be put in place by way of the record.

Every step may be the last (SIGKILL, a power cut) and none needs room on the disk: the originals
have their second names before the record is there, the record before anything is changed, and it
goes when all is back. Where it was lost, the originals tell what was
changed. Undoing what is undone already changes nothing.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import NamedTuple

from pam_totp.stack import pam_stack
from pam_totp.system import disks, lock_file
from pam_totp.system.errors import PamTotpError

from .. import output
from ..errors import CommandFailed, os_error_in_words
from ..host import files, key_only, sshd
from . import blocks, enabled, spares, sshd_files, trial_record
from .trial_record import ChangedFile, Trial, pending, read_boot, remove, write

LOCK = "/run/pam_totp.change.lock"
MAY_BE_ENROLLED = "people whom the move has enrolled may still be enrolled; see: totpctl list"


class Busy(CommandFailed):
    """Another totpctl holds the lock."""


class Change(NamedTuple):
    """One file: its whole content, None where there is no such file."""

    path: str
    before: bytes | None
    after: bytes | None


class Migration(NamedTuple):
    """What the record of a trial says of a move from another module.

    ``id``: of the trial; the files name it. ``people``: the labels of what each one gets.
    """

    id: str
    module: str
    people: Mapping[str, list[str]]


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
        output.warning(f"continuing without the lock: {os_error_in_words(error)}")
        yield
        return
    try:
        if not lock_file.acquire(descriptor, wait):
            raise Busy(
                "another totpctl is changing these files",
                f"wait until it has finished; to see which process:  {disks.holders_hint(LOCK)}",
            )
        yield
    finally:
        os.close(descriptor)


def begin(
    changes: Sequence[Change],
    services: Sequence[str],
    keys: str | None,
    seconds: int,
    recovery_sets: Mapping[str, int] | None = None,
    migration: Migration | None = None,
    exempted: Mapping[str, str] | None = None,
) -> Trial:
    """Record the trial, so that everything can be undone; nothing is changed yet.

    Or nothing is left behind. ``seconds``: the time to confirm. ``recovery_sets`` and ``exempted``:
    as Trial has them.
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
        id=migration.id if migration else trial_record.new_id(),
        started=int(time.time()),
        seconds=seconds,
        boot=boot,
        started_boottime=boottime,
        services=tuple(services),
        keys=keys,
        files=changed,
        recovery_sets=None if recovery_sets is None else dict(recovery_sets),
        imported=dict(migration.people) if migration else {},
        moved_from=migration.module if migration else "",
        exempted=dict(exempted or {}),
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
        spares.keep_beside(change.path, max(map(len, (change.before or b"", change.after or b""))))
    record = os.path.getsize(trial_record.RECORD)
    files.keep_spare(trial_record.RECORD, record)
    enabled.keep_spare()


def carry_out(trial: Trial, changes: Sequence[Change]) -> None:
    """Put the new files in place. Raises CommandFailed where somebody else is at them."""
    for change in changes:
        waiting = pending()
        if waiting is None or waiting.id != trial.id:
            raise CommandFailed("another totpctl has undone it in the meantime", "run this again")
        if files.digest_at(change.path) != files.digest(change.before):
            raise CommandFailed(
                f"{change.path} was changed by another program in the meantime", "run this again"
            )
        assert change.after is not None
        files.replace(change.path, change.after)


def undo(trial: Trial, forget: Callable[[], list[str]] | None = None) -> list[str]:
    """Undo everything, reload sshd, and remove the record; return notes for the administrator.

    ``forget``: what else there is to undo, once no login needs it any more.

    Whatever fails, the rest is done; then CommandFailed is raised, and the trial is still
    there, for the next try.
    """
    with suppress(OSError):  # what cannot be recorded is undone all the same
        trial_record.mark_being_undone()
    notes: list[str] = []
    problems: list[str] = []
    of_sshd = {sshd.DROP_IN, sshd_files.pam_file()}
    of_sshd = of_sshd if sshd.DROP_IN in [file.path for file in trial.files] else set()
    for file in trial.files:
        if file.path not in of_sshd:
            _attempt(partial(put_file_back, file, trial.migration), notes, problems)
    if of_sshd:
        files_of_sshd = {file.path: file for file in trial.files if file.path in of_sshd}
        _attempt(lambda: _put_sshd_back(files_of_sshd), notes, problems)
    elif key_only.FILE in [file.path for file in trial.files]:
        _attempt(_load_it, notes, problems)
    if forget is not None and not problems:
        _attempt(forget, notes, problems)
    _end(problems, "not everything could be undone")
    return notes


def _load_it() -> list[str]:
    sshd_files.load_it("")
    return []


def _attempt(step: Callable[[], list[str]], notes: list[str], problems: list[str]) -> None:
    try:
        notes += step()
    except (OSError, PamTotpError) as error:
        problems.append(str(error))


def _put_sshd_back(of_sshd: Mapping[str, ChangedFile]) -> list[str]:
    """Restore sshd's PAM file and drop-in, in an order that leaves no gap."""
    pam, drop_in = of_sshd.get(sshd_files.pam_file()), of_sshd[sshd.DROP_IN]
    if pam is not None and pam.keys_before in (None, "skip"):
        return sshd_files.without_a_gap(
            _unedited(pam) or sshd_files.pam_taken_back(pam.keys_before, _original(pam)),
            lambda: put_file_back(drop_in),
            lambda: put_file_back(pam),
            by_renames_alone=True,
        )
    # Codes were asked for before: whichever settings sshd has, that file answers for keys. And
    # where it cannot be restored, sshd's earlier settings let no key past it.
    notes: list[str] = []
    problems: list[str] = []
    for file in (pam, drop_in):
        if file is not None:
            _attempt(partial(put_file_back, file), notes, problems)
    try:
        sshd_files.load_it("")
    except CommandFailed as error:
        problems.append(str(error))
    if problems:
        raise CommandFailed("; ".join(problems))
    return notes


def drop_lines_of_other_modules(trial: Trial) -> list[str]:
    """Remove from the files of a confirmed ``trial`` what its undo would have brought back.

    Return what could not be written: there they stay comments, which nothing brings back.
    """
    problems = []
    for file in trial.files:
        try:
            content = files.read(file.path)
            left = None if content is None else blocks.confirmed(content)
            if left is not None and left != content:
                # The spare file is for disable.
                files.replace(file.path, left, may_use_spare=False)
        except (OSError, PamTotpError) as error:
            problems.append(f"comments with lines of {trial.moved_from} stay: {error}")
    return problems


def _original(file: ChangedFile) -> bytes | None:
    """Return the original; None where it is missing or not trusted, or there was none."""
    return _beside(file.path) if _has_original(file) else None


def _beside(path: str) -> bytes | None:
    """Return the original beside ``path``; None where none is, or it is not trusted."""
    try:
        return files.read(files.beside(path, files.BEFORE))
    except CommandFailed:  # others can write its folder by now
        return None


def _unedited(file: ChangedFile) -> bytes | None:
    """Return the original of a file that nobody has edited since; else None."""
    return _original(file) if files.digest_at(file.path) == file.written else None


def _has_original(file: ChangedFile) -> bool:
    kept = files.beside(file.path, files.BEFORE)
    return file.before != "" and file.before == files.digest_at(kept)


def is_lost(file: ChangedFile) -> bool:
    """Return whether the file is gone, and so is what was there before."""
    is_gone = file.before != "" and files.digest_at(file.path) == ""
    return is_gone and not _has_original(file)


def put_file_back(file: ChangedFile, migration: str = "") -> list[str]:
    """Restore one file, and remove its second name; return notes for the administrator.

    ``migration``: as blocks.taken_back() has it.
    """
    files.remove(files.beside(file.path, files.NEW))
    kept = files.beside(file.path, files.BEFORE)
    now = files.digest_at(file.path)
    has_original = _has_original(file)
    notes: list[str] = []
    as_left = {file.written, ""}
    if has_original and file.path == sshd_files.pam_file():  # or without_a_gap() has been at it
        as_left.add(files.digest(blocks.keys_alone(_original(file) or b"")))
    if now == file.before:
        pass
    elif now == file.written and not file.before:
        files.remove(file.path)
    elif now in as_left and has_original:
        files.put_original_back(file.path)
    elif now != "":
        notes = _put_edited_back(file, migration, has_original=has_original)
    elif file.path == sshd.DROP_IN and file.keys_before is not None:
        notes = _write_drop_in(file.keys_before)
    else:
        raise CommandFailed(
            f"{file.path} is missing, and so is its original; restore it from a backup"
        )
    files.remove(kept)
    files.sync_folder(file.path)
    return notes


def _write_drop_in(keys_before: str) -> list[str]:
    """Let sshd ask PAM about keys as before, where the drop-in and its original are both gone."""
    content = blocks.taken_back(sshd.DROP_IN, b"", keys_before)
    assert content is not None
    files.replace(sshd.DROP_IN, content)
    return [f"{sshd.DROP_IN} was missing, and so was its original: it was written again"]


def _put_edited_back(file: ChangedFile, migration: str, *, has_original: bool) -> list[str]:
    """Take our lines out of a file that somebody has edited since, and keep the edits.

    Where that cannot be done (no room; a block that was torn), what was there before comes back,
    and the edits lie beside it.
    """
    try:
        content = files.read(file.path)
        assert content is not None
        original = _original(file)
        left = blocks.taken_back(
            file.path, content, file.keys_before, migration=migration, original=original
        )
        if original is not None and not blocks.has_lines_of(file.path, left, original):
            raise CommandFailed("it had lines that were not written by enable")
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
        return [f"{file.path} is as it was before; later edits are in {edited}"]
    if files.digest(left) == file.before:
        return []  # the edits were in our lines
    return [f"{file.path} was edited since: our lines are removed, the edits are kept"]


def take_out_everything() -> list[str]:
    """Remove our lines from every file, where the record is not trusted."""
    notes: list[str] = []
    problems: list[str] = []
    paths = [sshd.DROP_IN, key_only.FILE]
    folder = pam_stack.PAM_FOLDERS[0]
    paths += [f"{folder}/{name}" for name in sorted(os.listdir(folder)) if name[0] != "."]
    of_sshd = (sshd.DROP_IN, sshd_files.pam_file())
    for path in paths:
        if path not in of_sshd:
            _attempt(partial(_take_out, path), notes, problems)
    _attempt(
        lambda: sshd_files.without_a_gap(
            sshd_files.pam_taken_back(None, _beside(sshd_files.pam_file())),
            lambda: _take_out(of_sshd[0]),
            lambda: _take_out(of_sshd[1]),
        ),
        notes,
        problems,
    )
    _end(problems, "our lines could not be removed everywhere")
    return notes


def _take_out(path: str) -> list[str]:
    content = files.read(path) if os.path.isfile(path) else None
    if content is None or blocks.keys_of(path, content) is None:
        return []
    left = (
        None
        if path == key_only.FILE
        else blocks.taken_back(path, content, None, original=_beside(path))
    )
    if left is None:
        files.remove(path)
        files.sync_folder(path)
    else:
        files.replace(path, left)
    restored = files.text_of(left or b"").split("\n")
    theirs = blocks.of_other_modules(content)
    gone = [line for line in theirs if line not in restored]
    return [
        f"our lines are removed from {path}",
        *(f"not restored, as nothing tells whether it was in use: {line}" for line in gone),
        *([MAY_BE_ENROLLED] if theirs else []),
    ]


def _end(problems: list[str], failed: str) -> None:
    """Forget the trial; or raise CommandFailed, and leave it for the next try."""
    if problems:
        raise CommandFailed(
            f"{failed}: " + "; ".join(problems), "fix that, then run: totpctl revert"
        )
    spares.remove_unneeded()
    remove()


def remove_leftovers(changed: Sequence[ChangedFile] = ()) -> None:
    """Remove second names that nobody needs any more; only with the lock, and without a trial.

    The record of a confirmed trial goes last: until then it says that the originals are no trial.
    """
    found = [files.beside(file.path, files.BEFORE) for file in changed]
    found += [files.beside(trial_record.RECORD, prefix) for prefix in (files.NEW, files.SPARE)]
    for folder in blocks.folders():
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        found += [
            f"{folder}/{name}" for name in names if name.startswith((files.BEFORE, files.NEW))
        ]
    for path in found:
        files.remove(path)
    for folder in filter(os.path.isdir, blocks.folders()):
        files.sync_folder(f"{folder}/.")
    remove()
    spares.remove_unneeded()
