"""What migrate does, in the order in which everything is checked."""

from __future__ import annotations

from typing import NamedTuple

from ... import output
from ...enable import planning, reached, readiness, switch, trial, trial_record, uses
from ...enable.trial import Migration
from ...errors import CommandFailed
from ...host import other_modules, pam_file, sshd
from ...host.other_modules import MODULES
from ...importing.naming import Naming
from ...importing.sources import TokenFile
from ...session import Session
from .. import enabling
from ..importing import plan, report, writing
from ..importing.plan import ImportPlan
from . import pam_files, secrets, without_code
from .code_files import CodeFolder
from .pam_files import PamChanges


class MigrationRequest(NamedTuple):
    """The command line. ``seconds``: to confirm."""

    module: str
    seconds: int
    codes_folder: str
    without_code: frozenset[str]
    dry_run: bool
    skip_bad: bool
    force: bool


class _Ready(NamedTuple):
    """All that was checked, before anything is changed. ``id``: of the trial."""

    id: str
    pam: PamChanges
    files: list[TokenFile]
    people: ImportPlan


def carry_out(session: Session, request: MigrationRequest) -> None:
    """Read, check, and change everything as a trial. Raises CommandFailed, with all as it was."""
    with trial.changing():
        switch.revert_if_due(session)
        waiting = trial_record.pending()
        if waiting is not None:
            raise switch.not_confirmed(waiting)
        codes = CodeFolder(request.codes_folder)
        codes.check()
        ready = _read(session, request)
        if request.dry_run:
            for change in ready.pam.changes:
                for line in planning.diff(change):
                    output.result(line)
            output.message("nothing was changed, because of --dry-run")
            return
        new, warnings = switch.migrate(
            session,
            ready.pam.names,
            ready.pam.changes,
            request.seconds,
            uses.partly_used_sets(session),
            Migration(ready.id, MODULES[request.module], _labels(ready.people)),
            lambda: _enroll(session, request, ready, codes),
        )
    for name in new.services:
        session.log("enabled", "", service=name)
    with session.open_store() as store:
        names = dict.fromkeys(each.name for each in ready.people.planned)
        report.say_who_has_none(record for name in names if (record := store.load(name)))
    if codes.names:
        output.message(
            f"new recovery codes of {len(codes.names)} people are in {codes.path}, a file for each"
            " person: hand them out, then remove the folder"
        )
    report.say_what_is_left(ready.files, is_trial=True)
    enabling.tell_switched_on(new, warnings)


def _read(session: Session, request: MigrationRequest) -> _Ready:
    """Say what will become of whom, and of which file. Raises CommandFailed."""
    module = MODULES[request.module]
    new_id = trial_record.new_id()
    pam = pam_files.plan(
        module,
        new_id,
        keys_come_first=_keys_come_first(),
        unenrolled=session.config.unenrolled,
    )
    if not pam.names:
        raise CommandFailed(
            f"no PAM file has {module}", "to import its secrets alone: totpctl import"
        )
    _check_sshd(pam)
    found = secrets.read(pam.lines)
    report.warn_of_files(found.files)
    if len(found.places) > 1:
        places = " and ".join(found.places)
        output.warning(f"secrets of {places} all count wherever a code is asked for")
    with session.open_store() as store:
        people = plan.make(session, store, found.contents, Naming(), takes_unusual=True)
    report.show_table(people.planned)
    report.name_rejected(people.rejected)
    report.warn_of_remarks(people.planned)
    report.warn_of_secrets(people.planned, session.policy.window)
    for note in pam.notes:
        output.warning(note)
    for sentence in _reached(pam):
        output.message(sentence)
    if not people.planned:
        raise CommandFailed("there is nobody who can be moved; nothing was changed")
    if people.bad and not request.skip_bad:
        all_told = people.bad + len(people.planned)
        raise CommandFailed(
            f"{people.bad} of {all_told} people cannot be moved, so nobody was",
            "fix that, or move the others with --skip-bad",
        )
    without_code.check(session, pam.lines, found.people, people, request.without_code)
    return _Ready(new_id, pam, found.files, people)


def _keys_come_first() -> bool:
    try:
        return sshd.keys_come_first()
    except (OSError, CommandFailed):
        return False


def _check_sshd(pam: PamChanges) -> None:
    """Raise CommandFailed where sshd cannot ask for a code by itself."""
    if planning.SSHD not in pam.logins:
        return
    sshd.check()
    settings = sshd.effective()
    for keyword, name in (
        ("usepam", "UsePAM"),
        ("kbdinteractiveauthentication", "KbdInteractiveAuthentication"),
    ):
        if settings.get(keyword, "yes") != "yes":
            raise CommandFailed(
                f"{name} no is in force in sshd, which then cannot ask for a code",
                f"set {name} yes in sshd_config, reload sshd, and run this again",
            )


def _reached(pam: PamChanges) -> list[str]:
    try:
        return list(reached.check(pam.changes, pam.names))
    except CommandFailed as error:
        parts = [name for name in pam.names if pam_file.is_part(name)]
        if not parts:
            raise
        raise CommandFailed(
            str(error),
            f"move the line from {', '.join(parts)} into the files of the services that people "
            "log in through; then run this again",
        ) from None


def _enroll(session: Session, request: MigrationRequest, ready: _Ready, codes: CodeFolder) -> None:
    """Enroll everybody, and only then see who would be shut out. Raises CommandFailed."""
    with session.open_store() as store:
        writing.write(session, store, ready.people, codes.issue)
    keys = None
    if planning.SSHD in ready.pam.logins:
        keys = sshd.keys_in_force(sshd.effective())
        keys = "code" if keys == "none" else keys
    readiness.check(
        session,
        ready.pam.logins,
        keys,
        force=request.force,
        dry_run=False,
        has_nullok=all(map(other_modules.lets_in_without_a_code, ready.pam.lines)),
    )


def _labels(people: ImportPlan) -> dict[str, list[str]]:
    """Return the labels of what is new, by person."""
    new = [each for each in people.planned if each.result == plan.NEW]
    return {
        name: [each.authenticator.label for each in new if each.name == name]
        for name in dict.fromkeys(each.name for each in new)
    }
