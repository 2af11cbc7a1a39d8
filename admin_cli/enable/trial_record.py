"""The record of a change that waits for its confirmation, and how much time is left.

/etc/pam.d/.pam_totp-unconfirmed.json, 0600: on the disk that was changed, so that it is there
whenever the changed files are. libpam takes it for no service, as no service's name begins with a
dot; sshd includes nothing from that folder. Its time runs on the clock that counts from the start
of the machine, which nobody sets; a restart ends it at once.

Confirming sets the record's mode to 0400, which needs no room on the disk and happens at once or
not at all. An undo that has begun sets it to 0700. Originals that lie beside our lines with no
record at all are a trial whose record was lost: it is due, as nobody can tell what time it had.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
from typing import NamedTuple

from pam_totp.stack import pam_stack
from pam_totp.system import trusted_files
from pam_totp.system.errors import InsecureFile, PamTotpError

from ..errors import CommandFailed
from ..host import files, key_only, pam_blocks, sshd
from . import blocks

RECORD = "/etc/pam.d/.pam_totp-unconfirmed.json"
LOST = "lost"  # the id of a trial that has no record any more
_ANOTHER_MODULE = "another module"
_CONFIRMED = 0o400
_BEING_UNDONE = 0o700
MAX_BYTES = 1024 * 1024
MAX_SECONDS = 24 * 3600
_DIGEST = re.compile(r"[0-9a-f]{64}|")
SERVICE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


class Damaged(CommandFailed):
    """There is a record, but it is not one that this program wrote, or others could write it."""


class ChangedFile(NamedTuple):
    """One file of a trial. Digests as of files.digest."""

    path: str
    before: str  # "": it was not there
    written: str
    keys_before: str | None  # of our block in it: None without one, "" where keys play no part


class Trial(NamedTuple):
    """What was changed, and for how long it may stay without a confirmation."""

    id: str
    started: int  # unix time
    seconds: int  # to confirm
    boot: str
    started_boottime: float  # seconds, CLOCK_BOOTTIME
    services: tuple[str, ...]
    keys: str | None  # how keys are treated, where sshd is one of the services
    files: tuple[ChangedFile, ...]
    # Codes left of each set that was not whole when it began: uses.py. None: not known.
    recovery_sets: dict[str, int] | None = None
    # Authenticators that it imports, by label, of each person: imported.py.
    imported: dict[str, list[str]] = {}
    moved_from: str = ""  # the module whose lines it replaced, if it is a migration
    # Accounts that it lets in by a key alone, and what their records said before: exempted.py.
    exempted: dict[str, str] = {}

    @property
    def migration(self) -> str:
        """Its id where it is a migration, as the lines that it replaced have it; else ""."""
        return self.id if self.moved_from else ""

    @property
    def subject(self) -> str:
        """What it is about, in words."""
        return ", ".join((*self.services, *(f"{name} (key only)" for name in self.exempted)))

    def seconds_left(self) -> float:
        """Return the seconds until it is undone; 0 when that is due."""
        boot, boottime = read_boot()
        if boot != self.boot:
            return 0
        gone = boottime - self.started_boottime
        return max(0, self.seconds - gone) if gone >= 0 else 0

    def is_of_this_start(self) -> bool:
        """Return whether the machine has run ever since."""
        return read_boot()[0] == self.boot

    def deadline(self) -> int:
        """Return the unix time when it is undone, by the clock as it is now set."""
        return int(time.time() + self.seconds_left())


def new_id() -> str:
    return os.urandom(8).hex()


def read_boot() -> tuple[str, float]:
    """Return what names this start of the machine or container, and the seconds since then."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read().strip()
    # A container that starts again has the kernel, and its boot id, of before, but a new process 1.
    with open("/proc/1/stat", "rb") as file:
        first_started = file.read().rpartition(b")")[2].split()[19].decode("ascii")
    return f"{boot}/{first_started}", time.clock_gettime(time.CLOCK_BOOTTIME)


def pending() -> Trial | None:
    """Return the trial that waits, None where none does.

    Raises Damaged; CommandFailed where the record cannot be read now.
    """
    try:
        mode = stat.S_IMODE(os.lstat(RECORD).st_mode)
    except FileNotFoundError:
        return _without_record()
    except OSError:
        mode = 0  # reading it says what is wrong
    return None if mode == _CONFIRMED else _read()


def confirmed() -> Trial | None:
    """Return the trial of a confirmation that was cut off: its record is marked and there.

    Raises OSError or CommandFailed where the record cannot be read now.
    """
    try:
        is_marked = stat.S_IMODE(os.lstat(RECORD).st_mode) == _CONFIRMED
        return _read() if is_marked else None
    except (FileNotFoundError, Damaged):
        return None


def _read() -> Trial | None:
    try:
        content = trusted_files.read_trusted(RECORD, MAX_BYTES, secret=True)
    except FileNotFoundError:
        return None
    except InsecureFile as error:
        raise Damaged(str(error), error.hint) from None
    except PamTotpError as error:  # it may well be whole: no reason to go without it
        raise CommandFailed(str(error), error.hint) from None
    try:
        return _understood(json.loads(content))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        hint = "remove all pam_totp lines with: totpctl revert"
        raise Damaged(f"{RECORD}: is not what totpctl wrote", hint) from None


def write(trial: Trial) -> None:
    """Write the record, durably."""
    document = {**trial._asdict(), "files": [file._asdict() for file in trial.files]}
    files.write_own(RECORD, document)


def mark_confirmed() -> None:
    """Let no trial wait any more, durably; the originals may be removed after this."""
    _mark(_CONFIRMED)


def mark_being_undone() -> None:
    """Note that the undo has begun: from now on the trial cannot be confirmed. Raises OSError."""
    _mark(_BEING_UNDONE)


def undo_has_begun(trial: Trial) -> bool:
    """Return whether ``trial`` is half undone, or due: nobody can confirm it any more."""
    if trial.seconds_left() == 0:
        return True
    try:
        if stat.S_IMODE(os.lstat(RECORD).st_mode) == _BEING_UNDONE:
            return True
    except OSError:
        pass
    return any(blocks.is_half_undone(file.path) for file in trial.files)


def command_to_finish(trial: Trial) -> str:
    """Return the command that was interrupted, of a trial whose undo has begun.

    Where our lines were there before the trial, revert keeps some of them: then it was disable.
    """
    was_on = [file.path for file in trial.files if file.keys_before is not None]
    half = [path for path in was_on if blocks.is_half_disabled(path)]
    names = [os.path.basename(path) for path in half]
    return f"totpctl disable {' '.join(names)}" if names else "totpctl revert"


def _mark(mode: int) -> None:
    descriptor = os.open(RECORD, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove() -> None:
    """Remove the record, durably: the trial is confirmed or undone."""
    if os.path.lexists(RECORD):
        files.remove(RECORD)
        files.remove_spare(RECORD)
        files.sync_folder(RECORD)


def _without_record() -> Trial | None:
    """Return what the originals say of a trial whose record is gone; None where there is none."""
    changed = []
    moved_from = ""
    for path in files.having(files.BEFORE, blocks.folders()):
        try:
            content = files.read(path)
            original = files.read(files.beside(path, files.BEFORE)) or None
        except CommandFailed as error:
            raise Damaged(str(error), error.hint) from None
        if content != original and blocks.keys_of(path, content) is not None:
            changed.append(_changed(path, content, original))
            if blocks.is_moved_from(content, original):
                moved_from = _ANOTHER_MODULE
    if not changed:
        return None
    of_sshd = (sshd.DROP_IN, key_only.FILE)
    names = {"sshd" if f.path in of_sshd else os.path.basename(f.path) for f in changed}
    return Trial(
        id=LOST,
        started=0,
        seconds=1,
        boot="",
        started_boottime=0,
        services=tuple(sorted(names)),
        keys=None,
        files=tuple(changed),
        moved_from=moved_from,
    )


def _changed(path: str, content: bytes | None, original: bytes | None) -> ChangedFile:
    """Return what a record would say; where the file was also edited, ``written`` is unknown."""
    keys_before = blocks.keys_of(path, original)
    try:
        is_edited = (
            path != key_only.FILE
            and content
            and blocks.taken_back(path, content, keys_before, original=original) != original
        )
    except PamTotpError:
        is_edited = True
    written = "" if is_edited else files.digest(content)
    return ChangedFile(path, files.digest(original), written, keys_before)


def _understood(document: dict[str, object]) -> Trial:
    """Raises ValueError, KeyError or TypeError for what write() does not write."""
    changed = document["files"]
    services = document["services"]
    if not isinstance(changed, list) or not isinstance(services, list):
        raise TypeError
    trial = Trial(
        **{
            **document,
            "services": tuple(services),
            "files": tuple(ChangedFile(**file) for file in changed),
        }  # type: ignore[arg-type]
    )
    numbers = (trial.started, trial.seconds, trial.started_boottime)
    if not all(type(number) in (int, float) for number in numbers):
        raise TypeError
    if not 0 < trial.seconds <= MAX_SECONDS or trial.keys not in (None, *pam_blocks.KEYS):
        raise ValueError
    if not all(isinstance(text, str) for text in (trial.id, trial.boot, trial.moved_from)):
        raise TypeError
    if not all(SERVICE.fullmatch(service) for service in trial.services):
        raise ValueError
    if not isinstance(trial.recovery_sets, (dict, type(None))):
        raise TypeError
    if not all(type(left) is int for left in (trial.recovery_sets or {}).values()):
        raise TypeError
    for labels in trial.imported.values():
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise TypeError
    for name, before in trial.exempted.items():
        if not isinstance(before, str) or not key_only.is_plain(name):
            raise TypeError
    for file in trial.files:
        _check_file(file)
    return trial


def _check_file(file: ChangedFile) -> None:
    folder, name = os.path.split(file.path)
    ours = folder == pam_stack.PAM_FOLDERS[0] and SERVICE.fullmatch(name)
    if not ours and file.path not in (sshd.DROP_IN, key_only.FILE):
        raise ValueError
    if not _DIGEST.fullmatch(file.before) or not _DIGEST.fullmatch(file.written):
        raise ValueError
    if file.keys_before not in (None, "", *pam_blocks.MODES):
        raise ValueError
