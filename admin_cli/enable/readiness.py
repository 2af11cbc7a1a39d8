"""Check what a code needs before a service asks for one: refuse here, not at the login."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pam_totp.stack.pam_ways import NATIVE_MODULE
from pam_totp.system import config
from pam_totp.system.reinstalling import reinstall_hint

from .. import output, recorded, selftest
from ..access import becoming_root, shut_out
from ..access.becoming_root import Standing
from ..access.shut_out import AffectedUser
from ..errors import CheckSaysNo, CommandFailed
from ..host import sshd
from ..session import Session
from . import planning

SHOWN = 10  # people of whom the reasons are told


def check(
    session: Session,
    services: Sequence[str],
    keys: str | None,
    *,
    force: bool,
    dry_run: bool,
    has_nullok: bool = False,
) -> list[str]:
    """Return the users who get in by sshd now, and warn of those who no longer will.

    Raise CommandFailed, or Unavailable, for whatever would keep a right code from working.

    And CheckSaysNo where no administrator would get in, unless ``force``. A ``dry_run`` leaves
    the self-test out: it would make files. ``has_nullok``: all lines of ``services`` do; nobody is
    counted as an administrator by that.
    """
    _check_configuration(session)
    problems = recorded.problems(session.config)
    if problems:
        raise CommandFailed("; ".join(problems), "restore the store from a backup")
    if selftest.default_module() != NATIVE_MODULE:
        raise CommandFailed("pam_totp.so is not installed", reinstall_hint())
    if planning.SSHD in services:
        sshd.check()
    by_ssh = _check_people(session, services, keys, force=force, has_nullok=has_nullok)
    if not dry_run:
        _check_chain()
    return by_ssh


def _check_configuration(session: Session) -> None:
    if session.config_path != config.DEFAULT_PATH:
        raise CommandFailed(
            f"the lines that enable writes use {config.DEFAULT_PATH}", "run it without --config"
        )
    if config.load(session.config_path).problems:
        assert session.config  # which warns of each
        raise CommandFailed(
            f"{session.config_path} has mistakes", "fix them first: they are listed above"
        )


def _check_people(
    session: Session,
    services: Sequence[str],
    keys: str | None,
    *,
    force: bool,
    has_nullok: bool,
) -> list[str]:
    by_ssh: list[str] = []
    notes: list[str] = []
    stranded: dict[str, tuple[Standing, ...]] = {}
    machine = shut_out.look(session, notes)
    for service in services:
        verdict = shut_out.shut_out(service, keys, machine, services)
        let_in = [each for each in verdict.denied if has_nullok and _is_only_unenrolled(each)]
        if let_in:
            names = output.some_of(person.name for person in let_in)
            output.warning(f"{service} asks these for no code, because of nullok: {names}")
        for person in (each for each in verdict.denied if each not in let_in):
            output.warning(f"{service} will deny {person.name}, who {person.denied}")
        notes += [note for note in verdict.notes if note not in notes]
        if not verdict.administrators_left:
            stranded[service] = verdict.stranded
        if service == planning.SSHD:
            by_ssh = [person.name for person in verdict.people]
    for note in notes:
        output.warning(note)
    if stranded and not force:
        raise _nobody_left(stranded)
    return by_ssh


def _is_only_unenrolled(person: AffectedUser) -> bool:
    return all(obstacle.what == becoming_root.NOT_ENROLLED for obstacle in person.obstacles)


def _nobody_left(stranded: Mapping[str, Sequence[Standing]]) -> CheckSaysNo:
    """Warn of each administrator's obstacles; return the error with the shortest way to root."""
    people: dict[str, Standing] = {}
    for standings in stranded.values():
        for standing in standings:
            known = people.get(standing.name, standing)
            people[standing.name] = known.behind(standing.obstacles)
    for standing in list(people.values())[:SHOWN]:
        what = becoming_root.in_words(standing.obstacles) or "may not get in at all"
        output.warning(f"{standing.name} could not become root: {standing.name} {what}")
    return CheckSaysNo(
        f"no administrator could become root any more: {', '.join(stranded)}",
        becoming_root.way_out(people.values()),
    )


def _check_chain() -> None:
    failed = [check for check in selftest.run(NATIVE_MODULE) if not check.passed]
    if failed:
        raise CommandFailed(
            f"selftest: {failed[0].name}: {failed[0].detail or 'no output'}",
            "the reason is in: journalctl -n 50 -g pam_totp",
        )
