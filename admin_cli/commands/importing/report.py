"""What is said of an import: a table or JSON without secrets, each refusal, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from pam_totp.core import users
from pam_totp.core.users import UserRecord

from ... import output
from ...importing import supported
from ...importing.sources import TokenFile
from ...importing.tokens import HOTP, Rejected
from ...session import now
from .plan import ImportPlan, Planned

_DONE = {"read": "read", "write": "written"}
_HEADINGS = (
    *("USER", "AUTHENTICATOR", "TYPE", "ALGORITHM", "DIGITS", "PERIOD", "DRIFT", "LAST CODE"),
    *("FROM", "RESULT"),
)


def show_table(planned: Iterable[Planned]) -> None:
    rows = [
        (
            each.name,
            output.printable(each.authenticator.label),
            each.token.kind.upper(),
            each.token.algorithm,
            str(each.token.digits),
            "-" if each.authenticator.counts else str(each.token.period),
            f"{each.token.drift:+d}" if each.token.drift else "0",
            _last_code(each) or "not known",
            output.printable(each.token.place),
            each.result,
        )
        for each in planned
    ]
    if rows:
        output.result_table(_HEADINGS, rows)


def document(
    plan: ImportPlan, planned: Iterable[Planned], formats: dict[str, str], *, changed: bool
) -> dict[str, object]:
    """Return all of it for --json; ``changed``: whether anything was written."""
    return {
        "changed": changed,
        "formats": formats,
        "tokens": [_entry(each) for each in planned],
        "rejected": [rejected._asdict() for rejected in plan.rejected],
        "unassigned": plan.passed_over,
        "missing": list(plan.missing),
    }


def _entry(each: Planned) -> dict[str, object]:
    token = each.token
    return {
        "user": each.name,
        "label": each.authenticator.label,
        "named": token.user or None,
        "place": token.place,
        "serial": token.serial or None,
        "issuer": token.issuer or None,
        "type": token.kind,
        "algorithm": token.algorithm,
        "digits": token.digits,
        "period": None if token.kind == HOTP else token.period,
        "drift": token.drift,
        "last_accepted_step": token.last_accepted_step,
        "counter": token.next_counter if token.kind == HOTP else None,
        "recovery_codes": token.recovery_codes,
        "remarks": list(supported.remarks(token)),
        "result": each.result,
    }


def _last_code(each: Planned) -> str | None:
    """Return when the last code was used that the file knows of; of HOTP the next counter."""
    if each.token.kind == HOTP:
        return f"counter {each.token.next_counter}"
    step = each.token.last_accepted_step
    return None if step is None else output.iso_time((step - each.token.drift) * each.token.period)


def name_rejected(rejected: Iterable[Rejected]) -> None:
    for each in rejected:
        who = f" {each.user}:" if each.user else ""
        serial = f"serial {each.serial}"
        which = f" {serial}:" if each.serial and serial not in each.place else ""
        output.message(f"rejected: {each.place}:{who}{which} {each.reason}")


def warn_of_remarks(planned: Iterable[Planned]) -> None:
    """Say each remark once, with the people whom it is about."""
    people: dict[str, dict[str, None]] = {}
    for each in planned:
        for remark in supported.remarks(each.token):
            people.setdefault(remark, {})[each.name] = None
    for remark, names in people.items():
        output.warning(f"{output.some_of(names)}: {remark}")


def warn_of_secrets(planned: Iterable[Planned], window: int) -> None:
    """Warn of one secret for several people, and of codes that will be refused for long."""
    planned = list(planned)
    owners: dict[bytes, dict[str, None]] = {}
    for each in planned:
        owners.setdefault(each.token.secret, {})[each.name] = None
    for names in owners.values():
        if len(names) > 1:
            output.warning(
                f"{output.some_of(names)} have the same secret: each can log in as the other"
            )
    for name in dict.fromkeys(
        each.name for each in planned if each.authenticator.clock_is_behind(now(), window)
    ):
        output.warning(
            f"the last code of {name} was used in the future, by this machine's clock: until then "
            f"no code is accepted; if the clock is right, run: totpctl unlock {name}"
        )


def warn_of_other_owners(planned: Iterable[Planned], records: Iterable[UserRecord]) -> None:
    """Warn of tokens that other people have, too: each record counts the used codes for itself."""
    owners = {p.authenticator.serial: p.name for p in planned if p.authenticator.serial}
    for record in records if owners else ():
        for authenticator in record.authenticators:
            if owners.get(authenticator.serial, record.name) != record.name:
                output.warning(
                    f"{record.name} has the token {authenticator.serial} as well: a code that one "
                    f"of them has used is good for the other; run: totpctl remove {record.name} "
                    f"--label {shlex.quote(authenticator.label)}"
                )


def warn_of_files(sources: Iterable[TokenFile], user: str = "") -> None:
    """Warn of files that others may read or have written; ``user``: whose all tokens are."""
    for source in sources:
        if source.owner and source.owner != (user or source.user):
            output.warning(
                f"{source.name} is owned by {source.owner}, who can log in with whatever secret it "
                "has; check what is in it"
            )
        if source.others_may:
            output.warning(
                f"{source.name} can be {_DONE[source.others_may]} by others; run: chmod 0600 "
                f"{source.name}"
            )


def say_what_is_left(sources: Iterable[TokenFile], *, is_trial: bool = False) -> None:
    """Say that the secrets still lie where they were read.

    ``is_trial``: they are what people log in with if it is undone.
    """
    names = [source.name for source in sources if not source.name.startswith("standard")]
    if names:
        confirmed = "you have confirmed and " if is_trial else ""
        output.message(
            f"the secrets are still in {output.some_of(names)}: once {confirmed}everybody "
            "has logged in with a code, delete them with shred -u"
        )


def say_who_has_none(records: Iterable[users.UserRecord]) -> None:
    """Name the people who have no recovery codes, and those who are not active."""
    without = []
    for record in records:
        if record.status != users.ACTIVE:
            output.warning(f"{record.name} is {record.status}")
        if not record.recovery_digests:
            without.append(record.name)
    if without:
        output.message(
            f"no recovery codes, as old ones are not imported: {output.some_of(without)}; "
            "issue new ones with: totpctl recovery-codes USER"
        )
