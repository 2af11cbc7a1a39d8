"""doctor: what is wrong with two-factor logins on this machine, and the command that fixes it."""

from __future__ import annotations

import click

from .. import output
from ..errors import CheckSaysNo, need_root
from ..session import Session, pass_session
from .arguments import json_option


@click.command()
@json_option
@click.option("--quiet", is_flag=True, help="Print only what is wrong, and nothing if all is well.")
@click.option("--log", "to_log", is_flag=True, help="Also write what is wrong to the log.")
@pass_session
def doctor(session: Session, as_json: bool, quiet: bool, to_log: bool) -> None:
    """Find what breaks or bypasses two-factor logins.

    Each finding says what is wrong, why it matters, and how to fix it. Changes nothing. Exits with
    6 if anything is wrong, but not for notes.
    """
    need_root("read everything that doctor checks")
    from ..doctor.examination import examine  # with every check: not for Tab and --help
    from ..doctor.facts import Facts
    from ..doctor.finding import WRONG

    findings = examine(Facts(session))
    wrong = [finding for finding in findings if finding.level == WRONG]
    if to_log:
        for found in wrong:
            session.log("finding", "", check=found.check, reason=found.problem, hint=found.fix)
    shown = wrong if quiet else findings
    if as_json:
        output.result_json({"wrong": len(wrong), "findings": [f._asdict() for f in shown]})
    else:
        for finding in shown:
            output.result_in_words(f"{finding.level.upper():7}{finding.problem} [{finding.check}]")
            output.result_in_words(f"       why: {finding.why}")
            output.result_in_words(f"       fix: {finding.fix}")
    if wrong:
        things = "1 thing is" if len(wrong) == 1 else f"{len(wrong)} things are"
        raise CheckSaysNo(f"{things} wrong")
    if not quiet:
        output.message("nothing is wrong")
