"""after-restore: what a dump brings back is made safe."""

from __future__ import annotations

import click

from ... import output
from ...session import Session, pass_session
from ..arguments import yes_option


@click.command("after-restore")
@click.option(
    "--void-recovery-codes", is_flag=True, help="Make all recovery codes void: some may be used."
)
@yes_option
@pass_session
def after_restore(session: Session, void_recovery_codes: bool, yes: bool) -> None:
    """Make a restored database safe to log in with.

    Run it before the hosts can reach the database again. A dump knows nothing of the codes used
    since it was made: all codes shown so far become void, people log in with the next ones. It says
    what else may have come back.
    """
    from . import administrator

    with administrator.read(session).administration() as fleet:
        output.confirm("Make every code void that apps have shown so far?", yes=yes)
        restored = fleet.after_restore(void_recovery_codes=void_recovery_codes)
        hosts = [host.name for host in fleet.hosts()]
    session.log("restored", "", count=restored.authenticators)
    output.message(f"{restored.authenticators} authenticators: no code shown so far is good again")
    if restored.with_counters:
        names = ", ".join(restored.with_counters)
        output.warning(f"codes of counters that were used since the dump are good again: {names}")
        output.message("hint: for each of them run: totpctl resync USER")
    if void_recovery_codes:
        output.message(f"the recovery codes of {len(restored.with_recovery_codes)} people are void")
    elif restored.with_recovery_codes:
        names = ", ".join(restored.with_recovery_codes)
        output.warning(f"recovery codes that were used since the dump are good again: {names}")
        output.message("hint: for each of them run: totpctl recovery-codes USER")
    output.message(f"hosts of the dump: {', '.join(hosts) or 'none'}")
    output.message("remove again those that you had removed since: totpctl fleet remove HOST")
    output.message("let those join again that had joined since: totpctl fleet add HOST")
    output.message(
        "suspensions, resets and counts of wrong codes are those of the dump: totpctl list"
    )
