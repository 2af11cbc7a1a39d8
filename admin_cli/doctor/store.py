"""The configuration, the key, the store, and who could have touched them."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from pam_totp.stack.pam_ways import NATIVE_MODULE
from pam_totp.store import is_missing, open_for_administrator
from pam_totp.system import catalogs, config, disks, languages, trusted_files
from pam_totp.system.errors import InsecureFile, Unavailable

from .. import recorded
from ..enable import enabled
from ..host import files
from . import store_room
from .facts import PROGRAMS, CannotTell, Facts, module_path
from .finding import NOTE, WRONG, Found, check

if TYPE_CHECKING:
    from pam_totp.store.sealing import Sealer

ENOUGH_BYTES = 16 * 1024 * 1024
ENOUGH_FILES = 100
PAGE = "/usr/share/doc/pam_totp/docs/howto/back-up.md"
OPEN_TO_ALL = ("/tmp", "/var/tmp", "/dev/shm", "/var/mail", "/var/crash")  # noqa: S108
_COMMIT = "a code is accepted only once its use is recorded on disk"


class _RollBack(Exception):
    """Leaves a transaction without a commit."""


@check("configuration", WRONG, "an invalid setting is ignored, and the strict default is used")
def configuration(facts: Facts) -> Iterator[Found]:
    try:
        problems = facts.loaded.problems
    except InsecureFile:
        return  # see permissions
    except Unavailable as error:
        yield str(error), error.hint
        return
    for problem in problems:
        yield problem, f"edit {facts.config_path}; see pam_totp.conf(5)"


@check("language", NOTE, "people at a prompt are spoken to in English")
def language(facts: Facts) -> Iterator[Found]:
    try:
        setting = facts.loaded.config.language
    except Unavailable:
        return  # see configuration
    names, problem = languages.asked_for(setting)
    catalog = None
    if names:
        catalog, problem = catalogs.find(names)
    if problem is not None:
        yield str(problem), problem.hint
    elif names and setting and catalog is None:
        known = ", ".join(("en", *catalogs.installed()))
        yield (
            f"there is no translation for language = {setting}",
            (f"edit {facts.config_path}: language is one of {known}"),
        )


@check("permissions", WRONG, "files that others can write are not trusted: logins are denied")
def permissions(facts: Facts) -> Iterator[Found]:
    beside = ((path, trusted_files.check_file) for path in _files_of_the_store(facts))
    for path, look in (*_trusted_by_the_hook(facts), *beside):
        try:
            look(path)
        except InsecureFile as error:
            yield str(error), error.hint
        except (OSError, Unavailable):
            continue  # it is not there, or cannot be read: other checks say so
    try:
        folder, file = os.stat(os.path.dirname(facts.store_path)), os.stat(facts.store_path)
        if folder.st_mode & 0o077 and file.st_mode & 0o077:
            path = facts.store_path
            fix = f"run: chmod 0600 {path}"
            yield f"{path}: others can read it, and can deny logins by locking it", fix
    except (OSError, CannotTell):
        pass
    for path in _programs():
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            continue
        if status.st_uid != 0:
            yield f"{path}: is owned by uid {status.st_uid}, not by root", f"run: chown root {path}"
        elif status.st_mode & 0o022:
            yield f"{path}: is writable by others", f"run: chmod go-w {path}"


@check(
    "key-mode", WRONG, "the service has no capabilities, and denies logins if it cannot read them"
)
def key_mode(facts: Facts) -> Iterator[Found]:
    """Find what root reads by its capability alone: it works with totpctl, and in no login."""
    needs = (
        (facts.config.sealing_key, 0o400),
        (facts.store_path, 0o600),
        (os.path.dirname(facts.store_path), 0o700),
        (facts.config_path, 0o400),
    )
    for path, mode in needs:
        try:
            status = os.stat(path)
        except OSError:
            continue
        if status.st_mode & mode != mode:
            shown = f"{stat.S_IMODE(status.st_mode):04o}"
            yield f"{path}: its owner has too few rights (mode {shown})", f"run: chmod u+rwX {path}"


@check("store", WRONG, "without key and store, every login that needs a code is denied")
def store(facts: Facts) -> Iterator[Found]:
    """Find a store that cannot be used: this machine's, or the fleet's as a host needs it."""
    settings = facts.config
    ways: list[Callable[[], object]] = []
    if not settings.is_fleet or not is_missing(settings.local_store):
        ways.append(lambda: facts.open_on_disk().close())
    if facts.is_host_of_fleet:
        ways.append(facts.ahead_of_fleet)
    if settings.is_fleet and recorded.administers(settings):
        ways.append(lambda: open_for_administrator(settings).close())
    for try_it in ways:
        try:
            try_it()
        except Unavailable as error:
            yield str(error), error.hint


@check("store-damage", WRONG, "a damaged store denies users, or forgets which codes were used")
def store_damage(facts: Facts) -> Iterator[Found]:
    for open_one in recorded.stores(facts.config):
        try:
            opened = open_one()
        except Unavailable:
            continue  # see store
        with opened:
            for problem in opened.check():
                name = problem.partition(": ")[0]  # of a user, or the path of the store
                failing = "totpctl reset USER" if name.startswith("/") else f"totpctl reset {name}"
                yield problem, f"restore key and store from one backup; failing that: {failing}"


@check("store-write", WRONG, f"{_COMMIT}: while that fails, every code is refused")
def store_write(facts: Facts) -> Iterator[Found]:
    """Do what a login does to a decoy, and roll it back in place of the commit.

    Finds a read-only or immutable file, a lock that is held for too long, and tables that are gone.
    """
    try:
        with facts.usable_on_disk() as opened, opened.decoy_transaction("") as decoy:
            assert decoy.record is not None
            decoy.save(decoy.record._replace(failures=decoy.record.failures + 1))
            raise _RollBack
    except _RollBack:
        return
    except Unavailable as error:
        yield str(error), error.hint


@check("key-rotation", NOTE, "until it is finished, the old key can still be used")
def key_rotation(facts: Facts) -> Iterator[Found]:
    path = facts.key_path
    leftover = files.beside(path, files.NEW)
    try:
        if _read_sealer(path).others:
            yield f"{path}: holds two keys: a rotation was interrupted", "run: totpctl rotate-key"
        elif os.path.lexists(leftover):
            yield f"{leftover}: holds keys, left behind by a rotation", f"run: rm {leftover}"
    except Unavailable:
        return  # see store


@check("store-volume", NOTE, "a store hidden below a mount point is empty or outdated")
def store_volume(facts: Facts) -> Iterator[Found]:
    if not os.path.lexists(facts.store_path):
        return  # see store
    for point in disks.unmounted_points(facts.store_path):
        fix = f"run: mount {shlex.quote(point)}"
        yield f"{point} is not mounted, and the store is in it", fix


@check(
    "store-shared", NOTE, "others can use up its space and inodes, and then no changes are possible"
)
def shared(facts: Facts) -> Iterator[Found]:
    """Look where users can make files by default: /tmp and its like, mail, and homes."""
    folder = os.path.dirname(facts.store_path)
    homes = [entry.pw_dir for entry in facts.people.values() if entry.pw_uid != 0]
    places = [place for place in (*OPEN_TO_ALL, *homes) if _is_on_one_disk(place, folder)]
    if places and not disks.has_quotas(folder):
        yield (
            f"users can fill the file system of {folder}: they can write to {places[0]}",
            f"give {folder} a file system of its own, or users quotas: see {PAGE}",
        )


@check("store-room", NOTE, "without reserved room in its files, a full disk denies logins")
def room(facts: Facts) -> Iterator[Found]:
    """Find what opening the store does not restore although the disk has room for it."""
    shortage = facts.shortage
    if shortage and shortage.fits:
        path = facts.store_path
        yield store_room.problem(shortage, path), store_room.hint(shortage, path)


@check("disk", WRONG, f"{_COMMIT}: without room, every code is refused")
def disk(facts: Facts) -> Iterator[Found]:
    """Find a disk that cannot be written, or without room for what logins will come to need.

    A store that has its room needs no more: logins go on when the disk is full.
    """
    folder = os.path.dirname(facts.store_path)
    try:
        is_read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
    except OSError:
        return
    if is_read_only:
        yield f"the disk of {folder} is read-only", disks.read_only_hint(folder)
        return
    shortage = facts.shortage
    if shortage and not shortage.fits:
        path = facts.store_path
        yield store_room.problem(shortage, path), store_room.hint(shortage, path)


@check("disk-room", NOTE, "logins keep working, but nobody can be enrolled once it is full")
def disk_room(facts: Facts) -> Iterator[Found]:
    """Of a small disk of its own, a quarter is enough."""
    folder = os.path.dirname(facts.store_path)
    try:
        left = os.statvfs(folder)
    except OSError:
        return
    if left.f_bfree * left.f_frsize < min(ENOUGH_BYTES, left.f_blocks * left.f_frsize // 4):
        kib = left.f_bfree * left.f_frsize // 1024
        yield f"the disk of {folder} has {kib} KiB left", disks.no_room_hint(folder)
    elif left.f_files and left.f_ffree < ENOUGH_FILES:
        yield (
            f"the disk of {folder} has {left.f_ffree} files left",
            f"remove files: df -i {disks.mount_point(folder)}",
        )


def _files_of_the_store(facts: Facts) -> Iterator[str]:
    """Yield all files beside the store: its own, what enable noted, and the rooms kept for them."""
    try:
        folder = os.path.dirname(facts.store_path)
        names = sorted(os.listdir(folder))
    except (OSError, CannotTell):
        return
    for name in names:
        path = os.path.join(folder, name)
        if os.path.isfile(path) and not os.path.islink(path):
            yield path


def _trusted_by_the_hook(facts: Facts) -> Iterator[tuple[str, Callable[[str], object]]]:
    """Yield each file, with the check that the hook makes before it trusts it."""
    yield facts.config_path, lambda path: trusted_files.read_trusted(path, config.MAX_FILE_BYTES)
    yield enabled.PATH, lambda path: trusted_files.read_trusted(path, enabled.MAX_BYTES)
    try:
        yield facts.config.sealing_key, _read_sealer
        for suffix in ("", "-wal", "-shm", "-journal"):
            yield facts.store_path + suffix, _check_file_and_folder
    except CannotTell:
        pass  # a configuration that is not trusted


def _read_sealer(path: str) -> Sealer:
    from pam_totp.store import sealing  # with PyNaCl: what takes codes out of a PAM file spares it

    return sealing.read_sealer(path)


def _check_file_and_folder(path: str) -> None:
    trusted_files.check_folder(os.path.dirname(path))
    trusted_files.check_file(path)


def _is_on_one_disk(place: str, folder: str) -> bool:
    try:
        return os.stat(place).st_dev == os.stat(folder).st_dev
    except OSError:
        return False


def _programs() -> Iterator[str]:
    """Yield every file that runs as root in a login, with the folders."""
    for folder, _, names in os.walk(PROGRAMS):
        yield folder
        yield from (os.path.join(folder, name) for name in names)
    module = module_path(NATIVE_MODULE)
    if module:
        yield module


CHECKS = (
    configuration,
    language,
    permissions,
    key_mode,
    store,
    store_damage,
    store_write,
    key_rotation,
    store_volume,
    shared,
    room,
    disk,
    disk_room,
)
