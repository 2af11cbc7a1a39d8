"""list, show, verify: what the store knows, never a secret."""

from __future__ import annotations

import click

from pam_totp.core import clock_skew, recovery, users, verifier
from pam_totp.core.admission import GroupRule
from pam_totp.core.places import KnownPlace
from pam_totp.core.remembering import Remembered
from pam_totp.core.users import Authenticator, UserRecord
from pam_totp.core.verifier import Policy

from .. import output, policy
from ..errors import CheckSaysNo
from ..host import key_only
from ..session import Session, now, pass_session
from . import documents
from .arguments import json_option, local_option, user_argument
from .enrollment import clocks


@click.command("list")
@json_option
@local_option
@pass_session
def list_users(session: Session, as_json: bool) -> None:
    """List everyone who has a record, and the rules for groups."""
    with session.open_store() as store:
        records = list(store.records())
        rules = store.group_rules()
    if as_json:
        output.result_json([_summary(record) for record in records])
        return
    if not records and not rules:
        output.message("nobody is enrolled; begin with: totpctl enroll USER")
        return
    rows = [
        (
            output.printable(record.name),
            _state(session, record),
            output.printable(", ".join(map(_named, record.authenticators))) or "-",
            str(len(record.recovery_digests)),
            _last_used(record) or "never",
        )
        for record in records
    ]
    headings = ("USER", "STATUS", "AUTHENTICATORS", "RECOVERY CODES", "LAST CODE")
    if records:
        output.result_table(headings, rows)
    if records and rules:
        output.result()
    _list_group_rules(rules)


def _list_group_rules(rules: tuple[GroupRule, ...]) -> None:
    if rules:
        rows = [(output.printable(rule.name), policy.rule_in_words(rule)) for rule in rules]
        output.result_table(("GROUP", "RULE"), rows)


@click.command()
@user_argument
@json_option
@local_option
@pass_session
def show(session: Session, user: str, as_json: bool) -> None:
    """Show the state of USER."""
    record = session.load(user)
    if as_json:
        output.result_json(_details(session, record))
        return
    output.result(f"user            {record.name}")
    output.result(f"status          {_state(session, record)}")
    output.result(f"at a login      {_at_a_login(session, record)}")
    account = _by_key_alone(record)
    if account is not None:
        places = f" from {', '.join(account.sources)}" if account.sources else ""
        output.result(f"sshd            lets {record.name} in by a key alone{places}")
    output.result(f"wrong codes     {record.failures} in a row{_of_the_month(session, record)}")
    output.result(f"recovery codes  {len(record.recovery_digests)} left")
    for number, place in enumerate(_known_places(record)):
        heading = "known places" if number == 0 else ""
        used = output.iso_time(place.used_at)
        output.result(f"{heading:<16}{output.printable(place.name)}, last used {used}")
    for number, one in enumerate(_remembered(record)):
        heading = "remembered" if number == 0 else ""
        on = f" on {one.host}" if one.host else ""
        until = output.iso_time(one.until)
        words = f"{one.kind} {one.place}, by {one.service}{on}, until {until}"
        output.result(f"{heading:<16}{output.printable(words)}")
    for authenticator in record.authenticators:
        a = authenticator
        pace = f"HOTP, counter {a.counter}" if a.counts else f"{a.period} s"
        serial = f", serial {a.serial}" if a.serial else ""
        output.result(
            f"authenticator   {a.label}: {a.algorithm}, {a.digits} digits, {pace}{serial}"
        )
        used = output.iso_time(a.last_used_at) or "never"
        output.result(f"                enrolled {output.iso_time(a.created_at)}, last used {used}")
        if abs(a.drift * a.period + a.followed) >= a.period:
            output.result(f"                {clock_skew.of_authenticator(a, 0)}")
        if a.clock_sightings:
            off = clock_skew.of_authenticator(a, a.clock_offset)
            output.warning(f"{off} (seen in {a.clock_sightings} of its last codes)")
            output.message(f"hint: set it right, or run: totpctl resync {record.name}")
        if a.clock_is_behind(now(), session.policy.window):
            output.warning(
                f"the last accepted code of {a.label} lies in the future: was the clock set back?"
            )
            output.message(f"hint: look at: timedatectl; then run: totpctl unlock {record.name}")


@click.command()
@user_argument
@json_option
@local_option
@pass_session
def verify(session: Session, user: str, as_json: bool) -> None:
    """Check a code or recovery code of USER without using it up.

    Finds out, too, whether the clock of the phone or of this machine is wrong. Exits with 6
    if the code is not good.
    """
    name = session.load(user).name
    answer = output.ask("Code")
    with session.open_store() as store, store.transaction(name) as transaction:
        record = session.enrolled(transaction.record, name)
    digits = frozenset(a.digits for a in record.authenticators)
    given = verifier.classify(answer, digits)
    if given.kind == verifier.RECOVERY_CODE:
        finding = _check_recovery_code(record, given.code)
    elif given.kind == verifier.CODE:
        finding = _check_code(record, given.code, session.policy)
    else:
        finding = {"valid": False, "reason": "this is neither a code nor a recovery code"}
    warn_of_state(session, record)
    if as_json:
        output.result_json({"user": name, **finding})
    elif finding["valid"]:
        output.result(str(finding["reason"]))
    if not finding["valid"]:
        raise CheckSaysNo(str(finding["reason"]))


def _by_key_alone(record: UserRecord) -> key_only.KeyOnly | None:
    return next((a for a in key_only.accounts() or () if a.name == record.name), None)


def warn_of_state(session: Session, record: UserRecord) -> None:
    """Say what denies this user a login whatever the code is."""
    if record.status not in (users.ACTIVE, users.EXEMPT):
        output.warning(f"{record.name} is {record.status}: no code lets them in")
    elif verifier.is_locked(record, session.policy) or record.throttled_until > now():
        output.warning(f"{record.name} is {_state(session, record)}: see totpctl unlock")


def _check_recovery_code(record: UserRecord, code: str) -> dict[str, object]:
    salt = record.recovery_salt
    known = salt and recovery.match(recovery.digest(code, salt), record.recovery_digests)
    if known:
        return {"valid": True, "reason": "this recovery code is good"}
    return {"valid": False, "reason": "this recovery code was used, is void, or never was one"}


def _check_code(record: UserRecord, code: str, policy: Policy) -> dict[str, object]:
    at = now()
    offsets = [(a, clocks.nearest_offset(a, code, at)) for a in record.authenticators]
    found = [(abs(offset), offset, a) for a, offset in offsets if offset is not None]
    if not found:
        return {"valid": False, "reason": "this is not the code of any authenticator"}
    _, offset, nearest = min(found)
    finding = {"authenticator": nearest.label, "offset_steps": offset}
    if offset not in nearest.accepted_offsets(at, policy.window, policy.look_ahead):
        return {"valid": False, "reason": clocks.explain(nearest, offset), **finding}
    if nearest.current_step(at) + offset <= nearest.last_accepted_step:
        return {"valid": False, "reason": "this code was used already", **finding}
    return {"valid": True, "reason": f"this code of {nearest.label} is good", **finding}


def _summary(record: UserRecord) -> dict[str, object]:
    return {
        "user": record.name,
        "status": record.status,
        "exempt_until": output.iso_time(_exempt_until(record)),
        "authenticators": [_authenticator(a) for a in record.authenticators],
        "recovery_codes_left": len(record.recovery_digests),
        "failures": record.failures,
        "throttled_until": output.iso_time(record.throttled_until),
    }


def _authenticator(authenticator: Authenticator) -> dict[str, object]:
    return {
        "label": authenticator.label,
        **documents.how_codes_are_made(authenticator),
        "last_used_at": output.iso_time(authenticator.last_used_at),
    }


def _named(authenticator: Authenticator) -> str:
    """Return its label, and for a token how it is told from others."""
    known = []
    if authenticator.counts:
        known.append(f"HOTP, counter {authenticator.counter}")
    if authenticator.serial and authenticator.serial != authenticator.label:
        known.append(f"serial {authenticator.serial}")
    return f"{authenticator.label} ({', '.join(known)})" if known else authenticator.label


def _details(session: Session, record: UserRecord) -> dict[str, object]:
    window, by_key = session.policy.window, _by_key_alone(record)
    return {
        **_summary(record),
        "key_only": None if by_key is None else {"from": list(by_key.sources)},
        "wrong_codes_not_told": record.untold,
        "wrong_codes_of_30_days": verifier.guesses_spent(record, now(), session.policy),
        "locked": verifier.is_locked(record, session.policy),
        "known_places": [
            {"place": place.name, "last_used_at": output.iso_time(place.used_at)}
            for place in _known_places(record)
        ],
        "remembered": [
            {
                "place": one.place,
                "kind": one.kind,
                "service": one.service,
                "host": one.host or None,
                "since": output.iso_time(one.since),
                "until": output.iso_time(one.until),
            }
            for one in _remembered(record)
        ],
        "created_at": output.iso_time(record.created_at),
        "updated_at": output.iso_time(record.updated_at),
        "authenticators": [
            {
                **_authenticator(a),
                "created_at": output.iso_time(a.created_at),
                "drift": a.drift,
                "learned": a.learned,
                "clock_offset": a.clock_offset,
                "clock_sightings": a.clock_sightings,
                "clock_is_behind": a.clock_is_behind(now(), window),
            }
            for a in record.authenticators
        ],
    }


def _known_places(record: UserRecord) -> list[KnownPlace]:
    """Return those that still are known, the last one used first."""
    known = [place for place in record.known_places if not place.has_ended(now())]
    return sorted(known, key=lambda place: -place.used_at)


def _remembered(record: UserRecord) -> list[Remembered]:
    """Return the places where a login would not be asked now, the last one first."""
    return [one for one in reversed(record.remembered) if one.since <= now() < one.until]


def _of_the_month(session: Session, record: UserRecord) -> str:
    rules = session.policy
    spent = verifier.guesses_spent(record, now(), rules)
    days = rules.slow_period // 86_400
    return f", {spent} of {rules.slow_guesses} in {days} days" if spent else ""


def _exempt_until(record: UserRecord) -> int:
    return record.exempt_until if record.status == users.EXEMPT else 0


def _state(session: Session, record: UserRecord) -> str:
    status = policy.status_in_words(record)
    if verifier.is_locked(record, session.policy):
        return f"{status}, locked"
    wait = record.throttled_until - now()
    if wait > 0:
        return f"{status}, throttled for {wait} s"
    return status


def _at_a_login(session: Session, record: UserRecord) -> str:
    with session.open_store() as store:
        rules = store.group_rules()
    admitted = policy.admission_of(record.name, record, rules, session.config)
    places = policy.not_asked_at(record.name, record, rules, session.config)
    words = policy.in_words(record.name, admitted)
    return f"{words}, but not from {', '.join(places)}" if places else words


def _last_used(record: UserRecord) -> str | None:
    return output.iso_time(max((a.last_used_at or 0 for a in record.authenticators), default=0))
