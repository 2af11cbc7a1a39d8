"""rename."""

from __future__ import annotations

import click

from pam_totp.core.users import UserRecord

from .. import output
from ..completion import candidates
from ..errors import CommandFailed, NoSuchUser
from ..host import accounts, directory, key_only
from ..session import Session, now, pass_session
from .arguments import local_option, yes_option


@click.command()
@click.argument("old", shell_complete=candidates.enrolled)
@click.argument("new", shell_complete=candidates.accounts)
@yes_option
@local_option
@pass_session
def rename(session: Session, old: str, new: str, yes: bool) -> None:
    """Give NEW the enrollment of OLD, whose account was renamed.

    For people whose login name has changed, as by "usermod -l". Authenticators, recovery codes,
    used codes and the status stay as they are. It asks first where nothing tells that it is the
    same account.
    """
    new = session.person(new)
    _check_names(old, new)
    _refuse_in_trial(old, new)
    with session.open_store() as store:
        store.check_key()
        record = _renamed(session, store.load_all([old, new]), old, new)
    if not _is_proven(session, record, new):
        output.confirm(f"Is {new} the person who enrolled as {old}?", yes=yes)
    with (
        session.open_store() as store,
        store.joint_transaction([old, new], unseal=True) as transaction,
    ):
        _renamed(session, transaction.records, old, new)  # as it is after the question
        transaction.rename(old, new)
        record = transaction.records[new]
        transaction.save(session.bound(record).changed_at(now()))
    session.log("renamed", new, old=old)
    output.message(f"{new} has the enrollment of {old} now")
    if record.authenticators:
        output.message(f"the app goes on working; it may go on showing the name {old}")
    still = directory.person(old)
    if still is not None and still.pw_name == old:  # and no other name of the new one
        output.warning(f"there still is an account {old}, and it is no longer enrolled")


def _check_names(old: str, new: str) -> None:
    """Raise CommandFailed unless the directory may have renamed ``old`` to ``new``."""
    if old == new:
        raise CommandFailed(f"{old} is the old name and the new one", "run: totpctl rename OLD NEW")
    was, entry = directory.person(old), directory.person(new)
    if was is None and directory.problem():
        raise CommandFailed(
            f"whether {old} still has an account is not known: {directory.problem()}",
            directory.HINT,
        )
    if "root" in (old, new) or any(e is not None and e.pw_uid == 0 for e in (was, entry)):
        raise _not_for_root(new)
    if was is not None and entry is not None and was.pw_uid != entry.pw_uid:
        raise CommandFailed(
            f"{old} and {new} are two accounts, with uid {was.pw_uid} and {entry.pw_uid}: they "
            "may be two people",
            f"run: totpctl enroll {new}",
        )


def _refuse_in_trial(old: str, new: str) -> None:
    """Raise CommandFailed while a trial waits whose undo would look for ``old``.

    It would find nobody, and leave the enrollment that it has to remove.
    """
    from ..enable import trial_record  # which Tab does not need

    waiting = trial_record.pending()
    if waiting is not None and old in {*waiting.imported, *waiting.exempted}:
        raise CommandFailed(
            f"{old} is part of a change that waits for its confirmation: {waiting.subject}",
            f"run: totpctl confirm, or: totpctl revert; then: totpctl rename {old} {new}",
        )


def _renamed(session: Session, records: dict[str, UserRecord], old: str, new: str) -> UserRecord:
    """Return the record of ``old``. Raises CommandFailed where ``new`` must not have it."""
    record = records.get(old)
    if record is None:
        raise NoSuchUser(f"{old} is not enrolled", "check the spelling with: totpctl list")
    if new in records:
        raise CommandFailed(
            f"{new} has a record already",
            f"keep one of them, and remove the other: totpctl remove {old}",
        )
    if record.uid == 0 and not session.is_of_fleet:
        raise _not_for_root(new)
    account = session.account_of(new)
    if account is not None and record.has_another_uid(account):
        raise CommandFailed(
            f"{old} was enrolled as uid {record.uid}, but {new} has uid {account.uid}: that is "
            "another account",
            f"run: totpctl remove {old}; then: totpctl enroll {new}",
        )
    _refuse_key_only(record, old, new)
    return record


def _refuse_key_only(record: UserRecord, old: str, new: str) -> None:
    """Raise CommandFailed where sshd lets one of the names in by a key alone.

    It would go on to do so for whoever gets an account of the old name, and stop for the new one.
    """
    try:
        with open(key_only.FILE, encoding="utf-8", errors="replace") as file:
            content = file.read()
    except FileNotFoundError:
        return
    for name in (old, new):
        if key_only.named(content, [name]):
            steps = [f"run: totpctl exempt --remove {name}"]
            if name == new or record.authenticators or record.recovery_digests:
                steps.append(f"totpctl rename {old} {new}")  # else nothing of it is left
            if name == old:
                steps.append(f"totpctl exempt --key-only {new}")
            raise CommandFailed(
                f"{key_only.FILE}: sshd lets {name} in by a key alone", "; then: ".join(steps)
            )


def _is_proven(session: Session, record: UserRecord, new: str) -> bool:
    """Return whether the account of ``new`` is the one that was enrolled, as far as can be seen.

    The uid tells, unless the account is younger: useradd gives the last one out again.
    """
    from ..host import birth  # with ctypes, which Tab does not need

    account, entry = session.account_of(new), directory.person(new)
    if account is None or entry is None or record.uid != account.uid:
        return False
    try:
        shadow = accounts.read_shadow()
    except OSError:  # who is not root has a store of their own
        shadow = {}
    if not birth.is_younger(entry, shadow.get(new), record.bound_at):
        return True
    output.warning(f"home folder and password of {new} are newer than the enrollment")
    return False


def _not_for_root(new: str) -> CommandFailed:
    return CommandFailed(
        "an enrollment of root is given to nobody else, nor root another one",
        f"run: totpctl enroll {new}",
    )
