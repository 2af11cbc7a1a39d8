"""resync: a device whose clock or counter is off, found by two of its codes."""

from __future__ import annotations

import click

from pam_totp.core import clock_skew, resynchronisation, verifier
from pam_totp.core.users import Authenticator, UserRecord

from .. import output
from ..completion import candidates
from ..errors import CheckSaysNo, NoSuchUser
from ..session import Session, now, pass_session
from . import reports
from .arguments import json_option, local_option, user_argument

_LONG = 600  # seconds: nobody waits for longer until a clock has caught up


@click.command()
@user_argument
@click.option("--label", help="Look at this authenticator only.", shell_complete=candidates.labels)
@json_option
@local_option
@pass_session
def resync(session: Session, user: str, label: str | None, as_json: bool) -> None:
    """Find the clock or counter of USER's device by two codes in a row, and remember it.

    Both codes are used up. Clocks are found up to 31 days off, counters up to 1,000 codes ahead.
    Exits with 6 if these are no two codes in a row.
    """
    name = session.load(user).name
    first = output.ask("Code")
    second = output.ask("Next code")
    at = now()
    with session.open_store() as store, store.transaction(name) as transaction:
        record = session.enrolled(transaction.record, name)
        device, step = _found(record, label, first, second, at)
        changed = device.resynchronised(step, at)
        transaction.save(record.with_changed(changed).changed_at(at))
    session.log("resynchronised", name, authenticator=changed.label)
    if as_json:
        output.result_json(
            {
                "user": name,
                "label": changed.label,
                "type": changed.kind,
                "drift": None if changed.counts else changed.drift,
                "counter": changed.counter,
            }
        )
    output.message(_in_words(changed))
    reports.warn_of_state(session, record)


def _found(
    record: UserRecord, label: str | None, first: str, second: str, at: int
) -> tuple[Authenticator, int]:
    """Return whose codes these are, and the step of the second. Raises CheckSaysNo."""
    held = [a for a in record.authenticators if label in (None, a.label)]
    if label is not None and not held:
        raise NoSuchUser(
            f"{record.name} has no authenticator {label}", f"run: totpctl show {record.name}"
        )
    wait = 0  # seconds until these devices show codes that were not used
    for authenticator in held:
        digits = frozenset((authenticator.digits,))
        codes = [verifier.classify(answer, digits) for answer in (first, second)]
        if any(code.kind != verifier.CODE for code in codes):
            continue
        step = resynchronisation.second_step(authenticator, codes[0].code, codes[1].code, at)
        if step is None:
            continue
        if step > authenticator.last_accepted_step:
            return authenticator, step
        wait = (authenticator.last_accepted_step + 1 - step) * authenticator.period
    if wait:
        raise CheckSaysNo(
            "these codes were used already; nothing was changed",
            f"try again in {wait} s" if wait < _LONG else f"run: totpctl reset {record.name}",
        )
    raise CheckSaysNo(
        f"these are no two codes in a row of an authenticator of {record.name}; nothing was changed"
    )


def _in_words(changed: Authenticator) -> str:
    if changed.counts:
        return f"the next code of {changed.label} is that of counter {changed.counter}"
    if not changed.drift:
        return f"the clock of {changed.label} agrees with this machine's"
    off = clock_skew.of_authenticator(changed, 0)
    return f"{off}; from now on, its codes count all the same"
