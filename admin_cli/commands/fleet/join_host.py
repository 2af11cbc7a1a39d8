"""What join does: identity, CA and configuration are written, proven, and undone if they fail."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from pam_totp import store
from pam_totp.core.verifier import CODE, LOCKED, REJECTED, THROTTLED, Answer, Policy
from pam_totp.store import LoginAttempt
from pam_totp.store.postgresql.client import Client
from pam_totp.store.postgresql.host_store import HostStore
from pam_totp.system import atomic_files, config, fleet_file
from pam_totp.system.audit import Source
from pam_totp.system.config import Config
from pam_totp.system.config_values import split_store_url
from pam_totp.system.errors import StoreRefused, Unavailable
from pam_totp.system.fleet_file import Identity

from ... import output
from ...errors import CommandFailed
from ...host import files, fleet_units, services, settings_file
from ...session import Session
from . import token as tokens
from .token import JoinToken

_OF_A_DECOY = (REJECTED, THROTTLED, LOCKED)  # strangers may have used up its guesses
_HOW_TO_GET_ONE = "on an administrator's machine run: totpctl fleet add HOST"


def join(session: Session, text: bytes, *, yes: bool) -> None:
    """Make this machine a host of the fleet, or change nothing. Raises CommandFailed, Unavailable.

    The database is asked for this host's membership only once its key is on the disk, and the
    configuration names the new store only once that has been proven.
    """
    token = _decoded(text)
    settings = session.config
    _refuse_a_member(settings, yes=yes)
    ca = os.path.join(os.path.dirname(settings.fleet_host), os.path.basename(fleet_file.DEFAULT_CA))
    identity = Identity(
        host=token.host,
        key=os.urandom(fleet_file.KEY_BYTES),
        user=token.user,
        password=token.password,
        certificate=token.certificate,
        private_key=token.private_key,
        ca=ca,
    )
    joined = settings._replace(store=token.url, local_store=_local_store(settings))
    with _undone_if_it_fails(ca, settings.fleet_host, session.config_path):
        files.write_for_root(ca, token.ca.encode())
        files.write_for_root(settings.fleet_host, fleet_file.content(identity))
        with contextlib.closing(Client(token.url, identity)) as client:
            HostStore(client).join(token.one_time_key)
        prove(token.url, identity)
        _write_settings(session.config_path, joined)
        prove(config.load(session.config_path).config.store, fleet_file.read(settings.fleet_host))
    if session.config_path == config.DEFAULT_PATH:
        fleet_units.open_network()
    session.log("joined", "", host=token.host, store=token.url)
    _say_what_holds(token, joined)


def prove(url: str, identity: Identity) -> None:
    """Ask the fleet as a login does. Raises Unavailable, or CommandFailed for a wrong answer.

    Nobody has the name: a decoy answers for it. And another key must open nothing.
    """
    name = f"nobody.{os.urandom(8).hex()}"
    with contextlib.closing(Client(url, identity)) as client:
        asked = HostStore(client)
        known = asked.admission(name)
        verdict = asked.verify(
            LoginAttempt(
                name,
                Answer(CODE, "000000"),
                known.policy or Policy(),
                is_decoy=True,
                account=None,
                source=Source("totpctl"),
            )
        )
    if known.record is not None or verdict is None or verdict.outcome not in _OF_A_DECOY:
        raise CommandFailed(
            f"{url} does not answer as a fleet does", "restore its functions from a backup"
        )
    another = identity._replace(key=bytes(byte ^ 255 for byte in identity.key))
    with contextlib.closing(Client(url, another)) as client:
        try:
            HostStore(client).admission(name)
        except StoreRefused:
            return
    raise CommandFailed(
        f"{url} answers a host with a wrong key", "restore its functions from a backup"
    )


def _decoded(text: bytes) -> JoinToken:
    try:
        return tokens.decode(text.strip())
    except ValueError as error:
        raise CommandFailed(f"what was read {error}", _HOW_TO_GET_ONE) from None


def _refuse_a_member(settings: Config, *, yes: bool) -> None:
    try:
        known = fleet_file.read(settings.fleet_host)
    except FileNotFoundError:
        return
    except Unavailable as error:  # joining again is what fixes it
        output.confirm(f"{error}. Join again?", yes=yes)
        return
    output.confirm(f"This machine is in a fleet already, as {known.host}. Join again?", yes=yes)


def _local_store(settings: Config) -> str:
    """Return what stays local: the SQLite store that this machine had, where it had one."""
    return settings.local_store if settings.is_fleet else split_store_url(settings.store)[1]


@contextlib.contextmanager
def _undone_if_it_fails(*paths: str) -> Iterator[None]:
    """Restore the files at ``paths`` where what is done inside fails or is interrupted."""
    before = {path: files.read(path) for path in paths}
    modes = {path: os.stat(path).st_mode & 0o777 for path, kept in before.items() if kept}
    try:
        yield
    except BaseException as error:
        for path, content in reversed(before.items()):
            if content is None:
                atomic_files.remove(path)
            else:
                files.replace(path, content)
                os.chmod(path, modes[path])
        error.add_note("this machine logs in as before: what was written is removed again")
        raise


def _write_settings(path: str, joined: Config) -> None:
    text = files.text_of(files.read(path) or b"")
    text = settings_file.with_setting(text, "store", joined.store)
    if joined.local_store != Config().local_store:
        text = settings_file.with_setting(text, "local_store", joined.local_store)
    files.replace(path, files.bytes_of(text))


def _say_what_holds(token: JoinToken, joined: Config) -> None:
    output.message(f"this machine is in the fleet, as {token.host}")
    output.message(f"codes are checked by {token.url}")
    for service in services.read_services().values():
        for line in service.lines:
            given = services.arguments_of(line)
            if any(key == "store" for key, _ in given.settings):
                output.warning(
                    f"{line.file}, line {line.number} has a store= of its own, and keeps using it"
                )
    _say_who_is_local(joined)
    output.message("what services ask for a code has not changed: totpctl status")


def _say_who_is_local(joined: Config) -> None:
    try:
        names = _local_people(joined)
    except Unavailable as error:  # the machine has joined all the same
        output.warning(str(error))
        output.message(f"hint: {error.hint}")
        return
    if names:
        output.message(f"still judged here alone, by {joined.local_store}: {', '.join(names)}")
        output.message("to move them into the fleet: totpctl fleet import (docs/howto/fleet.md)")
        return
    say_that_nobody_is_local()


def say_that_nobody_is_local() -> None:
    output.message("nobody is local: without the database, every login that needs a code is denied")
    output.message(
        "hint: enroll an account that may use sudo in the local store: totpctl enroll --local USER"
    )


def _local_people(joined: Config) -> list[str]:
    """Return who is in the local store. Raises Unavailable."""
    if store.is_missing(joined.local_store):
        return []
    with store.open_on_disk(joined) as opened:
        return [record.name for record in opened.records()]
