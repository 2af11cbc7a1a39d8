"""What import does, in the order in which everything is checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ... import output
from ...errors import CommandFailed, NoSuchUser
from ...importing import naming, recognition, sources
from ...importing.naming import Naming
from ...importing.sources import TokenFile
from ...importing.tokens import Contents, Rejected, Unreadable
from ...importing.xml_encryption import Unlocking
from ...session import Session
from . import plan, report, writing
from .plan import ImportPlan, Planned
from .unlocking import unlocking

if TYPE_CHECKING:
    from pam_totp.store import RecordStore


class ImportRequest(NamedTuple):
    """The command line. Without sources: the homes of all accounts."""

    sources: tuple[str, ...]
    format: str
    user: str
    map_file: str | None
    strips_domain: bool
    assigned: tuple[str, ...]
    passphrase_file: str | None
    key_file: str | None
    accepts_no_mac: bool
    dry_run: bool
    skip_bad: bool
    takes_unusual: bool
    partial: bool
    as_json: bool


def carry_out(session: Session, request: ImportRequest) -> None:
    """Read, check, write, and say what follows. Raises CommandFailed, and has written nothing."""
    with session.open_store() as store:
        names = _naming(session, request)
        files, refused = _sources(request.sources)
        report.warn_of_files(files, names.user)
        opening = unlocking(
            request.key_file, request.passphrase_file, accepts_no_mac=request.accepts_no_mac
        )
        formats, contents = _read(files, opening, request.format)
        contents = refused.plus(contents)
        _refuse_unknown_serials(contents, names)
        wanted = plan.make(session, store, contents, names, takes_unusual=request.takes_unusual)
        problem = _problem(wanted, request)
        writes = not problem and not request.dry_run
        planned = writing.write(session, store, wanted) if writes else wanted.planned
        if request.as_json:
            output.result_json(report.document(wanted, planned, formats, changed=writes))
        else:
            report.show_table(planned)
        report.name_rejected(wanted.rejected)
        report.warn_of_remarks(planned)
        report.warn_of_secrets(planned, session.policy.window)
        report.warn_of_other_owners(planned, store.records())
        if wanted.passed_over:
            output.message(f"{wanted.passed_over} tokens belong to nobody and were passed over")
        if problem:
            raise problem
        if writes:
            _say_what_follows(store, files, planned)
        else:
            output.message("nothing was changed, because of --dry-run")


def _naming(session: Session, request: ImportRequest) -> Naming:
    return Naming(
        session.person(request.user) if request.user else "",
        naming.read_assignments(request.assigned),
        naming.read_map(sources.content(request.map_file)) if request.map_file else {},
        request.strips_domain,
        session.is_of_fleet,
    )


def _sources(given: tuple[str, ...]) -> tuple[list[TokenFile], Contents]:
    """Return all files, and what is refused of them; without ``given``, those of homes."""
    if not given:
        return sources.in_homes()
    files: list[TokenFile] = []
    refused = Contents()
    left = sources.MOST_BYTES_ALL_TOLD
    for path in given:
        found, problems = sources.named(path)
        left -= sum(len(file.data) for file in found)
        if left < 0:
            limit = f"{sources.MOST_BYTES_ALL_TOLD // 2**20} MiB"
            raise CommandFailed(f"the files are larger than {limit}", "name fewer at a time")
        files += found
        refused = refused.plus(problems)
    return files, refused


def _read(
    files: list[TokenFile], opening: Unlocking, given_format: str
) -> tuple[dict[str, str], Contents]:
    """Return the format of each file, and all that they hold.

    Raises Unreadable for a single file; of several, it is one of what is rejected.
    """
    formats: dict[str, str] = {}
    contents = Contents()
    for file in files:
        try:
            formats[file.name], read = recognition.read(file, opening, given_format)
        except Unreadable as error:
            if len(files) == 1:
                raise CommandFailed(f"{file.name} {error}", error.hint) from None
            read = Contents(rejected=(Rejected("the file", str(error), file.user),))
        contents = contents.plus(read if len(files) == 1 else read.in_file(file.name))
    return formats, contents


def _refuse_unknown_serials(contents: Contents, names: Naming) -> None:
    """A mistyped serial must not pass for one of the many tokens that nobody has yet."""
    there = {token.serial for token in contents.tokens}
    there |= {rejected.serial for rejected in contents.rejected}
    for serial in names.assigned:
        if serial not in there:
            raise NoSuchUser(f"there is no token with the serial {serial}", "check --assign")


def _problem(wanted: ImportPlan, request: ImportRequest) -> CommandFailed | None:
    """Return why nothing is imported; None where it is."""
    if wanted.missing and not request.partial:
        return CommandFailed(
            f"{'; '.join(wanted.missing)}; nothing was imported",
            "add the others, or import what is there with --partial",
        )
    if not wanted.planned:
        return CommandFailed("there is no token that can be imported")
    if wanted.bad and not request.skip_bad:
        all_told = wanted.bad + len(wanted.planned)
        return CommandFailed(
            f"{wanted.bad} of {all_told} tokens cannot be imported, so none was",
            "fix them, or import the others with --skip-bad",
        )
    return None


def _say_what_follows(
    store: RecordStore, files: list[TokenFile], planned: tuple[Planned, ...]
) -> None:
    new = sum(1 for each in planned if each.result == plan.NEW)
    output.message(f"{new} of {len(planned)} tokens are new")
    people = dict.fromkeys(each.name for each in planned)
    report.say_who_has_none(record for name in people if (record := store.load(name)))
    report.say_what_is_left(files)
