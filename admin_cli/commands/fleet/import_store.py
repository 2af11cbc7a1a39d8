"""What import does: people leave an SQLite store, and are in the fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pam_totp import store
from pam_totp.store import sealing
from pam_totp.store.postgresql.importing import Sorted

from ... import output
from ...errors import CommandFailed
from ...session import Session
from . import administrator, join_host

if TYPE_CHECKING:
    from pam_totp.store import Store
    from pam_totp.store.postgresql.administration import Administration


class Chosen(NamedTuple):
    """What import was asked for; "": of this machine. ``leave``: who stays where they are."""

    store: str
    sealing_key: str
    leave: frozenset[str]


def take_along(session: Session, chosen: Chosen, *, dry_run: bool, yes: bool) -> None:
    """Move everybody of an SQLite store, or nobody. Raises CommandFailed, Unavailable.

    The local store is locked until the fleet has its people, durably: no login can use a code here
    that the fleet does not hear of. What is killed in between is finished by the next run.
    """
    reached = administrator.read(session)
    is_copy = bool(chosen.store)
    if not is_copy and not administrator.fleet_url(session):
        raise CommandFailed(
            f"{session.config_path} names no fleet as this machine's store",
            "let it join first: totpctl fleet add HOST; or name another machine's store: --store",
        )
    path = chosen.store or session.config.local_store
    sealer = sealing.read_sealer(chosen.sealing_key or session.config.sealing_key)
    with (
        store.open_store(path, sealer, administers=not is_copy) as local,
        reached.administration() as fleet,
    ):
        found = _sorted(local, fleet, chosen.leave)
        _say_what_is_done(found)
        people = [record.name for record in (*found.new, *found.there)]
        if dry_run or not (people or found.rules):
            output.message("nothing was changed")
            return
        output.confirm(f"Let the fleet judge {len(people)} people from now on?", yes=yes)
        with local.batch():  # nobody waits for an answer on a terminal
            found = _sorted(local, fleet, chosen.leave)
            fleet.take(found)
            moved = [record.name for record in (*found.new, *found.there)]
            for name in moved if not is_copy else ():
                with local.transaction(name, unseal=False) as transaction:
                    transaction.save(None)
        is_anybody_left = next(local.records(), None) is not None
    for record in found.new:
        session.log("imported", record.name, store=path)
    output.message(f"{len(found.new)} people are in the fleet now; {len(found.there)} were already")
    if not (is_copy or is_anybody_left):
        join_host.say_that_nobody_is_local()
    if is_copy and moved:
        output.message(f"the machine that {path} is of judges them itself as long as it has them:")
        for name in moved:
            output.message(f"    totpctl remove --local --yes {name}")


def _sorted(local: Store, fleet: Administration, leave: frozenset[str]) -> Sorted:
    """Read all people and rules of ``local``, and compare. Raises CommandFailed for conflicts."""
    records = []
    for name in [record.name for record in local.records()]:
        if name not in leave:
            with local.transaction(name) as transaction:
                if transaction.record is not None:
                    records.append(transaction.record)
    found = fleet.sort(records, local.group_rules())
    if found.conflicts:
        raise CommandFailed(
            f"enrolled in both, with different authenticators: {', '.join(found.conflicts)}",
            "nothing was changed; decide for each: remove one of both enrollments, or --leave USER",
        )
    if found.conflicting_rules:
        raise CommandFailed(
            f"groups with another rule in the fleet: {', '.join(found.conflicting_rules)}",
            "nothing was changed; make both alike: totpctl require, totpctl exempt",
        )
    return found


def _say_what_is_done(found: Sorted) -> None:
    for record in found.new:
        labels = ", ".join(authenticator.label for authenticator in record.authenticators) or "none"
        codes = len(record.recovery_digests)
        output.result(f"{record.name}: {record.status}; {labels}; {codes} recovery codes")
    for record in found.there:
        output.result(f"{record.name}: in the fleet already")
    for rule in found.rules:
        output.result(f"group {rule.name}: {rule.rule}")
