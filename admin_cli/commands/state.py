"""unlock, forget, suspend, resume, rebind."""

from __future__ import annotations

from collections.abc import Callable

import click

from pam_totp.core import addresses, users
from pam_totp.core.users import UserRecord

from .. import output
from ..completion import candidates
from ..errors import CommandFailed
from ..session import Session, account_name, known_name, now, pass_session
from . import asked_again
from .arguments import local_option, user_argument, yes_option


@click.command()
@user_argument
@local_option
@pass_session
def unlock(session: Session, user: str) -> None:
    """Forget USER's wrong codes, so that codes count again.

    Also fixes last accepted codes that lie in the future, as after a clock was set back.
    """
    fixed: list[str] = []

    def change(record: UserRecord) -> UserRecord:
        if record.failures or record.throttled_until:
            fixed.append(f"{record.failures} wrong codes forgotten")
        elif record.guesses_until > now():
            fixed.append("wrong codes of the last weeks forgotten")
        unlocked = record.unlocked(now(), session.policy.window, _widest_window(session))
        for before, after in zip(record.authenticators, unlocked.authenticators, strict=True):
            if before != after:
                fixed.append(f"the last accepted code of {after.label} is no longer ahead")
        return unlocked

    name = _change(session, user, change)
    session.log("unlocked", name)
    output.message(f"{name}: " + ("; ".join(fixed) or "nothing to unlock"))


def _widest_window(session: Session) -> int:
    """Return the steps that a code may have been early at any login: a PAM line may allow more.

    Hosts of a fleet may only allow less.
    """
    from pam_totp.system.config_values import RANGES

    return session.policy.window if session.is_of_fleet else RANGES["window"][1]


@click.command()
@user_argument
@click.argument("place", nargs=-1)
@local_option
@pass_session
def forget(session: Session, user: str, place: tuple[str, ...]) -> None:
    """Ask USER for a code again where one was right a while ago.

    At each PLACE, as "totpctl show" names it; without one, at all of them.
    """
    places = tuple(map(_as_remembered, place))
    forgotten: list[str] = []

    def change(record: UserRecord) -> UserRecord:
        known = {one.place for one in record.remembered}
        for wanted in places:
            if wanted not in known:
                raise CommandFailed(
                    f"{record.name}: no place {wanted} is remembered",
                    f"see: totpctl show {record.name}",
                )
        forgotten.extend(sorted(known.intersection(places) if places else known))
        return record.without_remembered(places)

    name = _change(session, user, change)
    session.log("forgotten", name, place=" ".join(forgotten))
    said = f"forgotten: {', '.join(forgotten)}" if forgotten else "no place is remembered"
    output.message(f"{name}: {said}")


def _as_remembered(place: str) -> str:
    """Return an address as logins spell it."""
    address = addresses.parse(place)
    return place if address is None else addresses.as_text(address)


@click.command()
@user_argument
@local_option
@pass_session
def suspend(session: Session, user: str) -> None:
    """Deny USER every login that needs a code, until resumed."""
    with asked_again.by_sshd(session, [known_name(user)]):
        name = _change(session, user, UserRecord.suspended)
        session.log("suspended", name)
    output.message(f"{name} is suspended")


@click.command()
@click.argument("user", shell_complete=candidates.suspended)
@local_option
@pass_session
def resume(session: Session, user: str) -> None:
    """Let a suspended USER log in again.

    A user without an authenticator must enroll again.
    """
    resumed: list[str] = []

    def change(record: UserRecord) -> UserRecord:
        if record.status != users.SUSPENDED:
            raise CommandFailed(f"{record.name} is not suspended: the status is {record.status}")
        after = record.resumed()
        resumed.append(after.status)
        return after

    name = _change(session, user, change)
    session.log("resumed", name)
    output.message(f"{name} is {resumed[-1]}")


@click.command()
@click.argument("user", nargs=-1, required=True, shell_complete=candidates.enrolled)
@yes_option
@local_option
@pass_session
def rebind(session: Session, user: tuple[str, ...], yes: bool) -> None:
    """Tie the enrollments of USERs to their accounts of today.

    For people whose uid has changed. If an account was made again for somebody else, run
    "totpctl reset" or "totpctl remove" instead.
    """
    if session.is_of_fleet:
        raise CommandFailed(
            "records of a fleet are bound to no uid: people have another one on each host",
            "if an account was made for somebody else: totpctl reset USER",
        )
    names = [account_name(given) for given in user]
    for name in names:
        record, account = session.load(name), session.account_of(name)
        if account is None or record.uid == account.uid:
            continue
        was = "an unknown uid" if record.uid is None else f"uid {record.uid}"
        output.message(f"{name} was enrolled as {was}; the account has uid {account.uid} now")
    output.confirm(f"Do {', '.join(names)} belong to the people who enrolled?", yes=yes)
    for name in names:
        _change(session, name, lambda record: session.bound(record, again=True))
        session.log("rebound", name)
        output.message(f"{name} keeps the enrollment")


def _change(session: Session, user: str, change: Callable[[UserRecord], UserRecord]) -> str:
    """Replace the record of ``user`` by what ``change`` makes of it; return the canonical name."""
    name = known_name(user)
    with session.open_store() as store, store.transaction(name, unseal=False) as transaction:
        record = session.enrolled(transaction.record, name)
        transaction.save(change(record).changed_at(now()))
    return name
