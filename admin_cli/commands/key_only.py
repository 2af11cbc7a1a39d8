"""exempt --key-only: the checklist of what it does; its options are in rollout.py."""

from __future__ import annotations

import pwd
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pam_totp.core.users import UserRecord
from pam_totp.login import identity
from pam_totp.system import config

from .. import output
from ..access import shut_out
from ..enable import by_key, exempted, planning, switch, trial, trial_record
from ..errors import CommandFailed, need_root
from ..host import accounts, directory, key_only, sshd
from ..host.key_only import KeyOnly
from ..host.sshd import key_only_state
from ..session import Session
from . import enabling


class KeyOnlyOptions(NamedTuple):
    """``sources``: where the accounts may come from; ``confirm_within``: seconds."""

    sources: tuple[str, ...]
    confirm_within: int
    no_confirm: bool
    yes: bool


def exempt(
    session: Session,
    users: Sequence[str],
    options: KeyOnlyOptions,
    change: Callable[[UserRecord | None, str], UserRecord],
    exempt_all: Callable[[], None],
) -> None:
    """Let sshd let ``users`` in by their key alone, and exempt them.

    ``change``: what becomes of a record; it raises CommandFailed where that cannot be.
    ``exempt_all``: do that to all of them.
    """
    need_root("change login configuration")
    _check_place(session)
    entries = [_account(user) for user in dict.fromkeys(users)]
    for entry in entries:
        _check_names(entry)
        _check_key(entry)
        _check_what_others_say(entry)
    wanted = [KeyOnly(entry.pw_name, options.sources) for entry in entries]
    with trial.changing():
        switch.revert_if_due(session)
        waiting = trial_record.pending()
        if waiting is not None:
            raise switch.not_confirmed(waiting, "not confirmed yet")
        file = planning.change_to_exempt(wanted)
        with session.open_store() as store:
            records = {entry.pw_name: store.load(entry.pw_name) for entry in entries}
        after = {name: change(record, name) for name, record in records.items()}
        if file.before == file.after and records == after:
            sshd.check()
            by_key.check_in_force(wanted)
            output.message(f"{_words(wanted)}: key only already, nothing to change")
            return
        for entry in entries:
            _warn_of_rights(session, entry, yes=options.yes)
        if records == after:
            exempt_all = _nothing
        before = {name: exempted.before(record) for name, record in records.items()}
        seconds = options.confirm_within
        new, warnings = by_key.exempt(session, wanted, file, seconds, before, exempt_all)
        if options.no_confirm:
            switch.confirm(session, new)
            warnings = []
    output.message(f"sshd lets in by a key alone, and by nothing else: {_words(wanted)}")
    for text in warnings:
        output.warning(text)
    if not options.no_confirm:
        output.message("Let the program log in NOW, with a new connection; then: totpctl confirm")
        enabling.tell_when_undone(new)


def _check_place(session: Session) -> None:
    """Raise CommandFailed where the exemption could end without anybody who tells this sshd."""
    if session.config_path != config.DEFAULT_PATH:
        raise CommandFailed(f"sshd's logins go by {config.DEFAULT_PATH}", "run it without --config")
    if session.is_of_fleet:
        raise CommandFailed(
            "an exemption of the fleet can end on another host, and this sshd would not know",
            "exempt the account on this host alone: totpctl exempt USER --key-only --local",
        )


def _account(user: str) -> pwd.struct_passwd:
    entry = directory.person(user)
    if entry is None:
        raise CommandFailed(
            f"there is no user {user} on this machine", "create the account first: useradd"
        )
    if not key_only.is_plain(entry.pw_name):
        raise CommandFailed(
            f"sshd would not read the name {entry.pw_name} as it stands, in a Match line",
            "use an account whose name has letters, digits, and . _ - + @ alone",
        )
    return entry


def _check_names(entry: pwd.struct_passwd) -> None:
    """Raise CommandFailed where a client could give the account another name, and sshd ask PAM."""
    name = entry.pw_name
    for other in key_only_state.other_names(name):
        raise CommandFailed(
            f"this machine takes {other} for {name}, too, and sshd's Match does not: whoever "
            "logs in under that name would be asked for no code, wherever they come from",
            "give the program an account of this machine's own: useradd",
        )
    if not identity.account(entry).is_local:
        output.warning(
            f"{name} is an account of a directory: if that has another name for it, as {name}@"
            "DOMAIN, sshd asks PAM about logins under that one, and PAM asks for no code"
        )


def _check_key(entry: pwd.struct_passwd) -> None:
    """Raise CommandFailed where sshd would let the account in by nothing at all."""
    name = entry.pw_name
    settings = {**sshd.effective(name), "pubkeyauthentication": "yes"}
    if accounts.has_key(entry, settings) == accounts.NO:
        raise CommandFailed(
            f"{name} has no key, so that sshd would let it in by nothing",
            f"put its public key into {entry.pw_dir}/.ssh/authorized_keys first",
        )


def _check_what_others_say(entry: pwd.struct_passwd) -> None:
    """Raise CommandFailed where a Match block of somebody else's may be about the account, too."""
    for line in key_only_state.conflicts(entry):
        raise CommandFailed(
            f"{line.place}: sets {line.keyword} {line.value} for Match {' and '.join(line.match)}, "
            f"which may be for {entry.pw_name}, too",
            f"remove that line, or except the account: Match ... User *,!{entry.pw_name}",
        )


def _warn_of_rights(session: Session, entry: pwd.struct_passwd, *, yes: bool) -> None:
    """Say what the key is worth then. Raises CommandFailed where root is not meant."""
    name = entry.pw_name
    if entry.pw_uid == 0:
        output.warning(f"whoever has a key of {name} is root here, and needs nothing else")
        output.confirm(f"Let {name} in with a key alone?", yes=yes)
        return
    notes: list[str] = []
    machine = shut_out.look(session, notes)
    for note in notes:
        output.warning(note)
    if name in machine.administrators:
        needs = "only the password" if machine.sudo.asks_password(entry) else "nothing"
        output.warning(
            f"{name} may use sudo: whoever has a key of {name} needs {needs} to become root"
        )


def _nothing() -> None:
    """Change no record: they say so already."""


def _words(wanted: Sequence[KeyOnly]) -> str:
    return ", ".join(map(str, wanted))
