"""enroll, reset, remove, recovery-codes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps

import click

from pam_totp.core import enrollment, otp, users
from pam_totp.core.users import Authenticator, UserRecord
from pam_totp.system.errors import SealingError, StoreCorrupt

from ... import output
from ...completion import candidates
from ...errors import CommandFailed, NoSuchUser
from ...session import Session, now, pass_session, who_ran_sudo
from .. import asked_again
from ..arguments import json_option, local_option, user_argument, yes_option
from ..bulk import options
from . import given_secret, handover, issuing, picture_option


def _label(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if reason := issuing.label_refusal(value):
        raise click.BadParameter(reason)
    return value.strip()


def _serial(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if reason := issuing.serial_refusal(value):
        raise click.BadParameter(reason)
    return value.strip()


_AUTHENTICATOR_OPTIONS = (
    click.option(
        "--label",
        default=enrollment.LABEL,
        show_default=True,
        callback=_label,
        help="Name of the device.",
    ),
    click.option(
        "--algorithm",
        type=click.Choice(otp.ALGORITHMS, case_sensitive=False),
        default=enrollment.ALGORITHM,
        show_default=True,
        help="Hash function.",
    ),
    click.option(
        "--digits",
        type=click.Choice([str(d) for d in otp.DIGITS]),
        default=str(enrollment.DIGITS),
        show_default=True,
        help="Digits of a code.",
    ),
    click.option(
        "--period",
        type=click.IntRange(enrollment.LEAST_PERIOD, enrollment.MOST_PERIOD),
        default=enrollment.PERIOD,
        show_default=True,
        help="Seconds that a code is shown.",
    ),
    click.option("--hotp", is_flag=True, help="Codes come from a counter: a token with a button."),
    click.option(
        "--counter",
        type=click.IntRange(0, enrollment.MOST_COUNTER),
        help="With --hotp: the counter of its next code, 0 if this is not given.",
    ),
    click.option(
        "--serial", default="", callback=_serial, help="Serial number, as it stands on the token."
    ),
    click.option(
        "--secret-stdin",
        is_flag=True,
        help="It has a secret already: standard input says base32:SECRET or hex:SECRET.",
    ),
    click.option(
        "--secret-format",
        type=click.Choice(tuple(given_secret.FORMATS)),
        help="How the secret is written, where it does not begin with that word.",
    ),
)
_HANDOVER_OPTIONS = (
    click.option(
        "--no-confirm", is_flag=True, help="Save it without asking for a code of the app."
    ),
    picture_option.qr_option,
)


def authenticator_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that describe a new authenticator, which ``command`` takes as ``wanted``."""

    @wraps(command)
    def with_wanted(
        *arguments: object,
        label: str,
        algorithm: str,
        digits: str,
        period: int,
        hotp: bool,
        counter: int | None,
        serial: str,
        secret_stdin: bool,
        secret_format: str | None,
        **others: object,
    ) -> None:
        if counter is not None and not hotp:
            raise click.UsageError("--counter is for --hotp")
        if hotp and period != enrollment.PERIOD:
            raise click.UsageError("--period is not for --hotp: a counter has none")
        if secret_format and not secret_stdin:
            raise click.UsageError("--secret-format is for --secret-stdin")
        wanted = issuing.Wanted(
            label,
            algorithm,
            int(digits),
            period,
            counter=(counter or 0) if hotp else None,
            serial=serial,
            has_secret=secret_stdin,
            secret_format=secret_format,
        )
        command(*arguments, wanted=wanted, **others)

    for option in reversed(_AUTHENTICATOR_OPTIONS):
        with_wanted = option(with_wanted)
    return with_wanted


def handover_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say how it is handed over, which ``command`` takes as ``how``."""

    @wraps(command)
    def with_how(
        *arguments: object, no_confirm: bool, qr: str, as_json: bool, **others: object
    ) -> None:
        command(*arguments, how=handover.How(no_confirm, as_json, qr), **others)

    for option in reversed(_HANDOVER_OPTIONS):
        with_how = option(with_how)
    return with_how


@click.command()
@click.argument("user", required=False, shell_complete=candidates.accounts)
@options.bulk_options
@authenticator_options
@click.option("--if-missing", is_flag=True, help="Do nothing if USER is already enrolled.")
@handover_options
@json_option
@local_option
@pass_session
def enroll(
    session: Session,
    user: str | None,
    many: options.Many,
    wanted: issuing.Wanted,
    if_missing: bool,
    how: handover.How,
) -> None:
    """Give USER an authenticator app, and recovery codes. Without USER: who ran sudo.

    Shows a QR code and the secret, and saves nothing until a code of the app has been entered.
    Existing recovery codes stay valid. A second device needs its own --label.

    With --from or --group it enrolls many people, asks for no code, and leaves those alone who are
    enrolled already. Each gets a sheet that is a secret: hand it out, then destroy what is left.
    """
    if options.are_many(user, many, wanted, how):
        from ..bulk import carrying_out

        carrying_out.carry_out(session, many, wanted, as_json=how.as_json)
        return
    _enroll_one(session, _who_asks() if user is None else user, wanted, how, if_missing=if_missing)


def _who_asks() -> str:
    name = who_ran_sudo()
    if name is None:
        raise click.UsageError("name a USER, or many people with --from or --group")
    output.message(f"this enrolls {name}, who ran sudo")
    return name


def _enroll_one(
    session: Session, user: str, wanted: issuing.Wanted, how: handover.How, *, if_missing: bool
) -> None:
    name = session.person(user)
    with session.open_store() as store:
        store.check_key()
        record = store.load(name)
    if if_missing and record is not None and record.authenticators:
        output.message(f"{name} is already enrolled")
        if how.as_json:
            output.result_json(handover.document(name, record.authenticators[0], None, []))
        return
    if record is not None:
        session.same_account(record, name)
    _refuse_known_label(record, name, wanted.label)
    new = issuing.new_authenticator(wanted)
    if wanted.has_secret:
        _refuse_known_secret(session, name, new)
    issuing.warn_of_unusual(wanted)
    offer = handover.offer(session, name, new, record, is_given=wanted.has_secret)
    with picture_option.file_of(how.picture, offer.uri):
        new = handover.hand_over(session, offer, how)
        codes, salt, digests = issuing.new_recovery_codes()
        with session.open_store() as store, store.transaction(name, unseal=False) as transaction:
            record = transaction.record or UserRecord(name, created_at=now())
            record = session.bound(session.same_account(record, name))
            _refuse_known_label(record, name, new.label)
            record = record.with_authenticator(new, now())
            if record.recovery_digests:
                codes = []
            else:
                record = record.with_recovery_codes(salt, digests)
            transaction.save(record.changed_at(now()))
    session.log("enrolled", name, authenticator=new.label)
    if codes:
        session.log("codes_issued", name, recovery_codes_left=str(len(codes)))
    handover.show_result(offer, codes, as_json=how.as_json)
    if not codes:
        left = len(record.recovery_digests)
        output.message(f"the recovery codes are unchanged: {left} left")
    if record.status != users.ACTIVE:
        output.warning(f"{name} is {record.status}")


@click.command()
@user_argument
@authenticator_options
@handover_options
@yes_option
@json_option
@local_option
@pass_session
def reset(
    session: Session,
    user: str,
    wanted: issuing.Wanted,
    how: handover.How,
    yes: bool,
) -> None:
    """Give USER a new secret and codes; all old ones are void.

    The old ones stay valid until a code of the new app has been confirmed.
    """
    before = session.load(user, to_enroll=True)
    name = before.name
    output.confirm(f"Void all authenticators and recovery codes of {name}?", yes=yes)
    new = issuing.new_authenticator(wanted)
    if wanted.has_secret:
        _refuse_known_secret(session, name, new)
    issuing.warn_of_unusual(wanted)
    offer = handover.offer(session, name, new, is_given=wanted.has_secret)
    with picture_option.file_of(how.picture, offer.uri):
        new = handover.hand_over(session, offer, how)
        codes, salt, digests = issuing.new_recovery_codes()
        with session.open_store() as store, store.transaction(name, unseal=False) as transaction:
            record = session.enrolled(transaction.record, name)
            record = _without_exemption_of_another(session, record)
            record = record.enrolled(new, salt, digests, now())
            transaction.save(session.bound(record, again=True).changed_at(now()))
    session.log("reset", name, authenticator=new.label)
    if record.status != users.EXEMPT:  # it exempted an account that is there no more
        with asked_again.by_sshd(session, [name]):
            pass
    handover.show_result(offer, codes, as_json=how.as_json)
    handover.say_what_to_delete(session, before)
    _say_counters(before.authenticators)
    if record.status != users.ACTIVE:
        output.warning(f"{name} is {record.status}")


@click.command()
@user_argument
@click.option("--label", help="Remove this authenticator only.", shell_complete=candidates.labels)
@yes_option
@local_option
@pass_session
def remove(session: Session, user: str, label: str | None, yes: bool) -> None:
    """Remove USER's enrollment, or one authenticator of it."""
    record = session.load(user)
    name = record.name
    keeps_others = label is not None and len(record.authenticators) > 1
    if label is not None and label not in [a.label for a in record.authenticators]:
        raise _no_such_label(record, label)
    if keeps_others:
        output.confirm(f"Remove {label} of {name}?", yes=yes)
    else:
        _refuse_to_lift(record)
        exemption = " and the exemption" if record.is_exempt(now()) else ""
        output.confirm(
            f"{name} will be denied, or let in with the password alone where 'nullok' or "
            f"'unenrolled = skip' is set. Remove the whole enrollment{exemption} of {name}?",
            yes=yes,
        )
    with (
        asked_again.by_sshd(session, () if keeps_others else [name]),
        session.open_store() as store,
        store.transaction(name, unseal=False) as transaction,
    ):
        record = session.enrolled(transaction.record, name)
        kept = None if label is None else record.without_authenticator(label)
        if kept is not None and kept == record:
            raise _no_such_label(record, str(label))
        if kept is None:
            _refuse_to_lift(record)
        transaction.save(kept and kept.changed_at(now()))
    session.log("removed", name, authenticator=label if kept else "")
    output.message(f"removed {label} of {name}" if kept else f"removed the enrollment of {name}")
    left = kept.authenticators if kept else ()
    _say_counters(a for a in record.authenticators if a not in left)


@click.command("recovery-codes")
@user_argument
@yes_option
@json_option
@local_option
@pass_session
def recovery_codes(session: Session, user: str, yes: bool, as_json: bool) -> None:
    """Issue new recovery codes to USER; the old ones are void."""
    record = session.load(user)
    name = record.name
    if record.recovery_digests:
        left = len(record.recovery_digests)
        output.confirm(f"Void the {left} remaining recovery codes of {name}?", yes=yes)
    codes, salt, digests = issuing.new_recovery_codes()
    with session.open_store() as store, store.transaction(name, unseal=False) as transaction:
        record = session.enrolled(transaction.record, name)
        transaction.save(record.with_recovery_codes(salt, digests).changed_at(now()))
    session.log("codes_issued", name, recovery_codes_left=str(len(codes)))
    with handover.once_committed(
        f"{name} has new recovery codes", f"totpctl recovery-codes {name}"
    ):
        if as_json:
            output.result_json({"user": name, "recovery_codes": codes})
        else:
            handover.show_recovery_codes(name, codes)


def _without_exemption_of_another(session: Session, record: UserRecord) -> UserRecord:
    """Return ``record`` active, if it exempts an account of its name that is there no more."""
    account = session.account_of(record.name)
    if account is None or record.status != users.EXEMPT:
        return record
    return record.activated() if record.is_of_another_account(account) else record


def _refuse_known_label(record: UserRecord | None, name: str, label: str) -> None:
    if record is not None and label in [a.label for a in record.authenticators]:
        raise CommandFailed(
            f"{name} already has an authenticator {label}",
            f"name the second device with --label, or start over with: totpctl reset {name}",
        )


def _refuse_known_secret(session: Session, name: str, new: Authenticator) -> None:
    """Raise CommandFailed if ``name`` has the token ``new``: used codes would be good again."""
    held: tuple[Authenticator, ...] = ()
    try:
        with session.open_store() as store, store.transaction(name) as transaction:
            held = transaction.record.authenticators if transaction.record else ()
    except (SealingError, StoreCorrupt) as error:  # a reset is the way back from that
        output.warning(f"nobody can tell whether {name} has this token already: {error}")
    for authenticator in held:
        has_same_pace = new.counts or authenticator.period == new.period
        is_same = (authenticator.secret, authenticator.kind) == (new.secret, new.kind)
        if is_same and has_same_pace:
            raise CommandFailed(
                f"{name} already has the token with this secret: {authenticator.label}",
                f"if its codes are refused, run: totpctl resync {name}",
            )


def _say_counters(gone: Iterable[Authenticator]) -> None:
    """Say from where on the codes of tokens that were taken away may be accepted again."""
    for authenticator in gone:
        if authenticator.counter:
            output.message(
                f"if the token of {authenticator.label} is enrolled again, give it "
                f"--counter {authenticator.counter}, so that no used code is good again"
            )


def _refuse_to_lift(record: UserRecord) -> None:
    if record.status == users.SUSPENDED:
        raise CommandFailed(
            f"{record.name} is suspended, and a removal would lift that",
            f"run first: totpctl resume {record.name}",
        )
    if record.status == users.MUST_ENROLL:
        raise CommandFailed(
            f"{record.name} must enroll, and a removal would lift that",
            f"run: totpctl require {record.name} --remove",
        )


def _no_such_label(record: UserRecord, label: str) -> NoSuchUser:
    labels = ", ".join(a.label for a in record.authenticators) or "none"
    return NoSuchUser(f"{record.name} has no authenticator {label}", f"there are: {labels}")
