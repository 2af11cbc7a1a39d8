"""enroll, reset, remove, recovery-codes."""

from __future__ import annotations

import os
import sys

import click

from pam_totp import config, otp, recovery, verifier
from pam_totp.verifier import Authenticator, UserRecord

from . import otpauth, qr, ui
from .session import Session, account_name, now, pass_session, user_argument

CONFIRMATION_ATTEMPTS = 3
PERIODS = (30, 60)
# RFC 4226 section 4 asks for 160 bits; RFC 6238 section 5.1 for as many as the hash has.
SECRET_BYTES = {"SHA1": 20, "SHA256": 32, "SHA512": 64}


def _label(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not value.strip() or not value.isprintable() or len(value) > 64:
        raise click.BadParameter("1 to 64 printable characters")
    return value.strip()


label_option = click.option(
    "--label", default="phone", show_default=True, callback=_label, help="Name of the device."
)
algorithm_option = click.option(
    "--algorithm",
    type=click.Choice(otp.ALGORITHMS),
    default="SHA1",
    show_default=True,
    help="Hash function.",
)
digits_option = click.option(
    "--digits",
    type=click.Choice([str(d) for d in otp.DIGITS]),
    default="6",
    show_default=True,
    help="Digits of a code.",
)
period_option = click.option(
    "--period",
    type=click.Choice([str(p) for p in PERIODS]),
    default="30",
    show_default=True,
    help="Seconds a code is shown.",
)
no_confirm_option = click.option(
    "--no-confirm", is_flag=True, help="Keep it without asking for a code of the app."
)


@click.command()
@user_argument
@label_option
@algorithm_option
@digits_option
@period_option
@click.option("--if-missing", is_flag=True, help="Do nothing if USER is enrolled already.")
@no_confirm_option
@ui.json_option
@pass_session
def enroll(
    session: Session,
    user: str,
    label: str,
    algorithm: str,
    digits: str,
    period: str,
    if_missing: bool,
    no_confirm: bool,
    as_json: bool,
) -> None:
    """Give USER an authenticator app, and recovery codes if there are none."""
    name = account_name(user)
    with session.open_store() as store:
        record = store.load(name)
    if if_missing and record is not None and record.authenticators:
        ui.message(f"{name} is enrolled already")
        if as_json:
            ui.result_json(_document(name, record.authenticators[0].label, None, None, []))
        return
    _refuse_known_label(record, name, label)
    new = _new_authenticator(label, algorithm, int(digits), int(period))
    new = _hand_over(session, name, new, no_confirm=no_confirm, as_json=as_json)
    codes, salt, digests = _new_recovery_codes()
    with session.open_store() as store, store.transaction(name) as transaction:
        record = transaction.record or UserRecord(name, created_at=now())
        _refuse_known_label(record, name, label)
        if record.status == verifier.MUST_ENROLL:
            record = record._replace(status=verifier.ACTIVE)
        if record.recovery_digests:
            codes = []
        else:
            record = record._replace(recovery_salt=salt, recovery_digests=digests)
        authenticators = (*record.authenticators, new)
        transaction.save(record._replace(authenticators=authenticators, updated_at=now()))
    session.log("enrolled", name, authenticator=label)
    if codes:
        session.log("codes_issued", name, recovery_codes_left=str(len(codes)))
    _show_result(session, name, new, codes, as_json=as_json)
    if not codes:
        left = len(record.recovery_digests)
        ui.message(f"the recovery codes stay as they are: {left} left")
    if record.status != verifier.ACTIVE:
        ui.warning(f"{name} is {record.status}")


@click.command()
@user_argument
@label_option
@algorithm_option
@digits_option
@period_option
@no_confirm_option
@ui.yes_option
@ui.json_option
@pass_session
def reset(
    session: Session,
    user: str,
    label: str,
    algorithm: str,
    digits: str,
    period: str,
    no_confirm: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Give USER a new secret and new recovery codes; everything old is void.

    What is old stays good until a code of the new app has been confirmed.
    """
    name = session.load(user).name
    ui.confirm(f"Void all authenticators and recovery codes of {name}?", yes=yes)
    new = _new_authenticator(label, algorithm, int(digits), int(period))
    new = _hand_over(session, name, new, no_confirm=no_confirm, as_json=as_json)
    codes, salt, digests = _new_recovery_codes()
    with session.open_store() as store, store.transaction(name) as transaction:
        record = session.enrolled(transaction.record, name)
        if record.status == verifier.MUST_ENROLL:
            record = record._replace(status=verifier.ACTIVE)
        transaction.save(
            record._replace(
                failures=0,
                throttled_until=0,
                recovery_salt=salt,
                recovery_digests=digests,
                authenticators=(new,),
                updated_at=now(),
            )
        )
    session.log("reset", name, authenticator=label)
    _show_result(session, name, new, codes, as_json=as_json)
    if record.status != verifier.ACTIVE:
        ui.warning(f"{name} is {record.status}")


@click.command()
@user_argument
@click.option("--label", help="Remove this authenticator only.")
@ui.yes_option
@pass_session
def remove(session: Session, user: str, label: str | None, yes: bool) -> None:
    """Remove USER's enrolment, or one authenticator of it."""
    record = session.load(user)
    name = record.name
    keeps_others = label is not None and len(record.authenticators) > 1
    if label is not None and label not in [a.label for a in record.authenticators]:
        raise _no_such_label(record, label)
    if keeps_others:
        ui.confirm(f"Remove {label} of {name}?", yes=yes)
    else:
        skips = session.config.unenrolled == config.SKIP
        then = "log in with the password alone" if skips else "be denied wherever a code is asked"
        ui.confirm(f"Remove the whole enrolment of {name}, who will then {then}?", yes=yes)
    with session.open_store() as store, store.transaction(name) as transaction:
        record = session.enrolled(transaction.record, name)
        kept = tuple(a for a in record.authenticators if label is not None and a.label != label)
        if kept and len(kept) == len(record.authenticators):
            raise _no_such_label(record, str(label))
        changed = record._replace(authenticators=kept, updated_at=now()) if kept else None
        transaction.save(changed)
    session.log("removed", name, authenticator=label if kept else "")
    ui.message(f"removed {label} of {name}" if kept else f"removed the enrolment of {name}")


@click.command("recovery-codes")
@user_argument
@ui.yes_option
@ui.json_option
@pass_session
def recovery_codes(session: Session, user: str, yes: bool, as_json: bool) -> None:
    """Issue a fresh set of recovery codes to USER; the old ones are void."""
    record = session.load(user)
    name = record.name
    if record.recovery_digests:
        left = len(record.recovery_digests)
        ui.confirm(f"Void the {left} recovery codes that {name} has left?", yes=yes)
    codes, salt, digests = _new_recovery_codes()
    with session.open_store() as store, store.transaction(name) as transaction:
        record = session.enrolled(transaction.record, name)
        transaction.save(
            record._replace(recovery_salt=salt, recovery_digests=digests, updated_at=now())
        )
    session.log("codes_issued", name, recovery_codes_left=str(len(codes)))
    if as_json:
        ui.result_json({"user": name, "recovery_codes": codes})
    else:
        _show_recovery_codes(name, codes)


def _new_authenticator(label: str, algorithm: str, digits: int, period: int) -> Authenticator:
    unusual = [
        text
        for text, is_unusual in (
            (algorithm, algorithm != "SHA1"),
            (f"{digits} digits", digits != 6),
            (f"{period} s", period != 30),
        )
        if is_unusual
    ]
    if unusual:
        ui.warning(f"some apps ignore {', '.join(unusual)} and show wrong codes: try it first")
    return Authenticator(
        id=os.urandom(16).hex(),
        label=label,
        secret=os.urandom(SECRET_BYTES[algorithm]),
        algorithm=algorithm,
        digits=digits,
        period=period,
        created_at=now(),
    )


def _new_recovery_codes() -> tuple[list[str], bytes, frozenset[bytes]]:
    """Return the codes to show, and the salt and digests to keep."""
    salt = os.urandom(recovery.SALT_BYTES)
    codes = [
        recovery.format_code(os.urandom(recovery.RANDOM_BYTES))
        for _ in range(recovery.CODES_IN_A_SET)
    ]
    return codes, salt, frozenset(recovery.digest(code.replace("-", ""), salt) for code in codes)


def _hand_over(
    session: Session, name: str, new: Authenticator, *, no_confirm: bool, as_json: bool
) -> Authenticator:
    """Show the secret and, unless ``no_confirm``, keep asking until the app shows its codes.

    Returns the authenticator with that code used up. Raises CommandFailed after
    CONFIRMATION_ATTEMPTS wrong ones: nothing has been written by then.
    """
    if as_json and no_confirm:
        return new
    _show_secret(session, name, new, err=as_json)
    if no_confirm:
        return new
    for _ in range(CONFIRMATION_ATTEMPTS):
        answer = ui.ask("Code that the app shows")
        step = _confirming_step(new, answer, session.config.window)
        if step is not None:
            return new._replace(last_accepted_step=step, last_used_at=now())
        ui.message("that is not the code; is the time of this machine and of the phone right?")
    raise ui.CommandFailed("no right code was given; nothing was changed", "try again")


def _confirming_step(new: Authenticator, answer: str, window: int) -> int | None:
    assert new.secret is not None
    given = verifier.classify(answer, None, frozenset((new.digits,)))
    if given.kind != verifier.CODE:
        return None
    step = otp.time_step(now(), new.period)
    steps = range(step - window, step + window + 1)
    found = otp.matching_steps(given.code, new.secret, steps, new.algorithm, new.digits)
    return found[-1] if found else None


def _show_secret(session: Session, name: str, new: Authenticator, *, err: bool) -> None:
    show = ui.message if err else ui.result
    assert new.secret is not None
    uri = otpauth.provisioning_uri(new, name, session.issuer)
    reason = qr.reason_not_to_draw(uri, sys.stderr if err else sys.stdout)
    if reason:
        show(f"No QR code here, because {reason}. Give the app this address or the secret below:")
    else:
        show("Scan this with an authenticator app:\n")
        show(qr.draw(uri))
    secret = otpauth.base32_secret(new.secret)
    show(f"\n  {uri}\n")
    show("  secret: " + " ".join(secret[i : i + 4] for i in range(0, len(secret), 4)))
    show(f"  {new.algorithm}, {new.digits} digits, {new.period} seconds\n")


def _show_result(
    session: Session, name: str, new: Authenticator, codes: list[str], *, as_json: bool
) -> None:
    if as_json:
        assert new.secret is not None
        uri = otpauth.provisioning_uri(new, name, session.issuer)
        secret = otpauth.base32_secret(new.secret)
        ui.result_json(_document(name, new.label, secret, uri, codes))
        return
    if codes:
        _show_recovery_codes(name, codes)
    ui.message(f"{name} is enrolled with {new.label}")


def _document(
    name: str, label: str, secret: str | None, uri: str | None, codes: list[str]
) -> dict[str, object]:
    return {"user": name, "label": label, "secret": secret, "uri": uri, "recovery_codes": codes}


def _show_recovery_codes(name: str, codes: list[str]) -> None:
    ui.result(f"Recovery codes of {name}, each good for one login without the phone:\n")
    for left, right in zip(codes[::2], codes[1::2], strict=True):
        ui.result(f"  {left}   {right}")
    ui.result("\nThey are not shown again: write them down, away from the phone.\n")


def _refuse_known_label(record: UserRecord | None, name: str, label: str) -> None:
    if record is not None and label in [a.label for a in record.authenticators]:
        raise ui.CommandFailed(
            f"{name} has an authenticator {label} already",
            f"name the second device with --label, or start anew with: totpctl reset {name}",
        )


def _no_such_label(record: UserRecord, label: str) -> ui.NoSuchUser:
    labels = ", ".join(a.label for a in record.authenticators) or "none"
    return ui.NoSuchUser(f"{record.name} has no authenticator {label}", f"there are: {labels}")
