"""require, exempt: users who must enroll, and users who need no code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import click
from click.core import ParameterSource

from pam_totp import store
from pam_totp.core import admission, dates, users
from pam_totp.core.admission import Admission, GroupRule
from pam_totp.core.users import ACTIVE, EXEMPT, MUST_ENROLL, SUSPENDED, Authenticator, UserRecord

from .. import output, policy
from ..completion import candidates
from ..errors import CommandFailed
from ..host import directory
from ..session import Session, known_name, now, pass_session
from . import asked_again, group_rules
from .arguments import local_option, yes_option
from .logins import ChangesLogins, confirm_within_option

MAX_SOURCES = 32
Change = Callable[[UserRecord | None, str], UserRecord | None]

users_argument = click.argument("user", nargs=-1, shell_complete=candidates.accounts)
group_option = click.option(
    "--group",
    "groups",
    multiple=True,
    metavar="GROUP",
    shell_complete=candidates.groups,
    help="Apply to the members of this Unix group; can be repeated.",
)


def _until(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int:
    if value is None:
        return 0
    try:
        until = dates.end_of_day(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if users.has_ended(until, now()):
        raise click.BadParameter(f"{value} is over (UTC)")
    return until


def _sources(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> tuple[str, ...]:
    from pam_totp.core import networks

    try:
        found = [networks.parse(text.strip()) for text in value.split(",")] if value else []
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if len(found) > MAX_SOURCES:
        raise click.BadParameter(f"at most {MAX_SOURCES} addresses and networks")
    return tuple(dict.fromkeys(map(str, found)))


def _check_key_only(context: click.Context, *, key_only: bool) -> None:
    """Raise UsageError for options that do not go with --key-only, or only with it."""
    given = {name for name in context.params if _given(context, name)}
    if key_only:
        for name, option in (("groups", "--group"), ("until", "--until"), ("remove", "--remove")):
            if name in given:
                raise click.UsageError(f"--key-only and {option} cannot be used together")
        if {"no_confirm", "confirm_within"} <= given:
            raise click.UsageError("--no-confirm and --confirm-within cannot be used together")
        return
    for name in ("sources", "confirm_within", "no_confirm", "yes"):
        if name in given:
            option = "--from" if name == "sources" else f"--{name.replace('_', '-')}"
            raise click.UsageError(f"{option} needs --key-only")


def _given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


@click.command()
@users_argument
@group_option
@click.option("--remove", is_flag=True, help="Remove the rule.")
@local_option
@pass_session
def require(session: Session, user: tuple[str, ...], groups: tuple[str, ...], remove: bool) -> None:
    """Make USERs, or the members of a group, use a code.

    Users without an authenticator must enroll at their next login; where that is not possible they
    are denied. This ends a personal exemption. A required group overrides an exempt one.
    """
    _refuse_nobody(user, groups)
    reason = "removed" if remove else ""
    change: Change = _no_longer_required if remove else _required
    with asked_again.by_sshd(session, () if remove else [*map(known_name, user)]):
        for name in _change_people(session, user, change):
            session.log("required", name, reason=reason)
    for name in group_rules.change(session, groups, admission.REQUIRED, remove=remove):
        session.log("required", "", group=name, reason=reason)


class _Exempt(ChangesLogins):
    """With --key-only it changes logins; else a record alone."""

    def invoke(self, ctx: click.Context) -> Any:
        if ctx.params.get("key_only"):
            return super().invoke(ctx)
        return click.Command.invoke(self, ctx)


@click.command(cls=_Exempt)
@users_argument
@group_option
@click.option(
    "--until",
    callback=_until,
    metavar="YYYY-MM-DD",
    help="Last day of the exemption, in UTC (default: no end).",
)
@click.option("--remove", is_flag=True, help="Remove the rule.")
@click.option(
    "--key-only",
    is_flag=True,
    help="For programs: let sshd let USERs in by their SSH key alone, and by nothing else.",
)
@click.option(
    "--from",
    "sources",
    callback=_sources,
    metavar="ADDRESS[,ADDRESS...]",
    help="With --key-only: from these addresses and networks alone.",
)
@confirm_within_option
@click.option("--no-confirm", is_flag=True, help="Make --key-only permanent at once.")
@yes_option
@local_option
@pass_session
@click.pass_context
def exempt(
    context: click.Context,
    session: Session,
    user: tuple[str, ...],
    groups: tuple[str, ...],
    until: int,
    remove: bool,
    key_only: bool,
    sources: tuple[str, ...],
    confirm_within: int,
    no_confirm: bool,
    yes: bool,
) -> None:
    """Let USERs, or the members of a group, in without a code.

    They log in with the password or key alone, enrolled or not. Programs whose SSH client cannot
    offer keyboard-interactive need --key-only. As it changes sshd's configuration, that is undone
    automatically unless you run totpctl confirm in time.
    """
    _refuse_nobody(user, groups)
    if until and remove:
        raise click.UsageError("--until and --remove cannot be used together")
    _check_key_only(context, key_only=key_only)
    reason = "removed" if remove else policy.last_day(until).strip()

    def exempted(record: UserRecord | None, name: str) -> UserRecord:
        record = session.same_account(record or UserRecord(name, created_at=now()), name)
        record = _not_suspended(record)
        exempt = record.exempted(until)
        return record if exempt == record else session.bound(exempt)

    if key_only:
        from . import key_only as by_key

        def exempt_all() -> None:
            for name in _change_people(session, user, exempted):
                session.log("exempted", name, reason="key only")

        options = by_key.KeyOnlyOptions(sources, confirm_within, no_confirm=no_confirm, yes=yes)
        by_key.exempt(session, user, options, exempted, exempt_all)
        return
    if until:
        _refuse_an_end_of(user)
    with asked_again.by_sshd(session, [*map(known_name, user)] if remove else ()) as gone:
        left = [name for name in user if name not in gone or _is_known(session, name)]
        for name in _change_people(session, left, _no_longer_exempt if remove else exempted):
            session.log("exempted", name, reason=reason)
    for name in group_rules.change(session, groups, admission.EXEMPT, until=until, remove=remove):
        session.log("exempted", "", group=name, reason=reason)


def _refuse_an_end_of(users: Sequence[str]) -> None:
    """Raise CommandFailed for accounts that log in by a key alone, which sshd does not end."""
    from ..host import key_only

    known = {account.name for account in key_only.accounts() or ()}
    for name in map(known_name, users):
        if name in known:
            raise CommandFailed(
                f"{name} logs in with a key alone, which sshd cannot end on a day",
                f"run first: totpctl exempt {name} --remove",
            )


def _refuse_nobody(users: Sequence[str], groups: Sequence[str]) -> None:
    if not users and not groups:
        raise click.UsageError("name a USER, or a group with --group")


def _change_people(session: Session, users: Sequence[str], change: Change) -> Iterator[str]:
    """Replace records by what ``change`` makes of them; yield whose were changed, once they are.

    Nobody's is changed where one cannot be. Says what holds from now on.
    """
    if not users:
        return
    with session.open_store() as opened:
        names = list(dict.fromkeys(_person(session, opened, user) for user in users))
        for name in names:
            change(opened.load(name), name)
        rules = opened.group_rules()
        for name in names:
            with opened.transaction(name, unseal=False) as transaction:
                before = transaction.record
                after = change(before, name)
                if after != before:
                    transaction.save(after and after.changed_at(now()))
            if after != before:
                yield name
            _say_what_holds(session, name, before, after, rules)


def _is_known(session: Session, name: str) -> bool:
    """Return whether there is such an account, or a record of it."""
    if directory.person(name) is not None:
        return True
    with session.open_store() as opened:
        return opened.load(name) is not None


def _person(session: Session, opened: store.RecordStore, user: str) -> str:
    """Return the canonical name of an account, or of a record whose account is gone."""
    name = known_name(user)
    return name if opened.load(name) is not None else session.person(user)


def _required(record: UserRecord | None, name: str) -> UserRecord:
    return _not_suspended(record or UserRecord(name, created_at=now())).required()


def _no_longer_required(record: UserRecord | None, _name: str) -> UserRecord | None:
    return record and record.without_status(MUST_ENROLL)


def _no_longer_exempt(record: UserRecord | None, _name: str) -> UserRecord | None:
    return record and record.without_status(EXEMPT)


def _not_suspended(record: UserRecord) -> UserRecord:
    if record.status == SUSPENDED:
        raise CommandFailed(
            f"{record.name} is suspended, and this would lift that",
            f"run first: totpctl resume {record.name}",
        )
    return record


def _say_what_holds(
    session: Session,
    name: str,
    before: UserRecord | None,
    after: UserRecord | None,
    rules: Iterable[GroupRule],
) -> None:
    def admitted(record: UserRecord | None) -> Admission | None:
        return policy.admission_of(name, record, rules, session.config)

    was, holds = admitted(before), admitted(after)
    output.message(policy.in_words(name, holds))
    if was is not None and holds is not None and (was.kind, was.until) == (holds.kind, holds.until):
        output.warning(f"this changes nothing: as before, {policy.in_words(name, was)}")
    if after is None:
        return
    had_to_enroll = before is not None and before.status == MUST_ENROLL
    if had_to_enroll and after.status == EXEMPT:
        output.warning(f"{name} no longer has to enroll once the exemption ends")
    if after.status in (ACTIVE, MUST_ENROLL):
        enrolled = after.activated()._replace(authenticators=(Authenticator("", "", None),))
        later = admitted(enrolled)
        if later is not None and later.kind == admission.SKIP:
            output.warning(f"once enrolled, {policy.in_words(name, later)}")
            output.message(f"hint: {group_rules.how_to_end(later.group, rules)}")
