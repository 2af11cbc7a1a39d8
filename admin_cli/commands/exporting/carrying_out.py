"""What export does, in the order in which everything is checked."""

from __future__ import annotations

import errno
import os
from typing import NamedTuple

from pam_totp.core import users
from pam_totp.core.users import UserRecord
from pam_totp.system import atomic_files

from ... import output
from ...errors import CommandFailed, os_error_hint
from ...exporting import pskc, sealed_file
from ...importing import trust
from ...session import Session
from .. import passphrases
from ..enrollment import otpauth


class ExportRequest(NamedTuple):
    """The command line; without ``names``: everybody."""

    names: tuple[str, ...]
    format: str
    path: str | None
    passphrase_file: str | None
    yes: bool


def carry_out(session: Session, request: ExportRequest) -> None:
    """Read the secrets, write them down, and say what the file lacks. Raises CommandFailed.

    The log has each name before the file has its secret: there is no file that it does not know of.
    """
    if request.path is not None and os.path.lexists(request.path):
        raise _is_there(request.path)
    names = _names(session, request.names)
    passphrase = ""
    if request.format == "otpauth":
        where = request.path or "standard output"
        question = f"Write the secrets of {_people(len(names))} in clear, to {where}?"
        output.confirm(question, yes=request.yes)
    else:
        passphrase = passphrases.new(request.passphrase_file)
    records = _with_secrets(session, names)
    content = _written(session, request.format, records, passphrase)
    if len(content) > trust.MOST_BYTES:
        raise CommandFailed(
            f"that is more than import reads at once: {trust.MOST_BYTES // 2**20} MiB",
            "name fewer people, and write several files",
        )
    for record in records:
        session.log("exported", record.name, detail=request.format)
    _hand_out(content, request.path)
    _say_what_holds(request, records)


def _names(session: Session, given: tuple[str, ...]) -> list[str]:
    if given:
        return list(dict.fromkeys(session.load(name).name for name in given))
    with session.open_store() as store:
        return [record.name for record in store.records() if record.authenticators]


def _with_secrets(session: Session, names: list[str]) -> list[UserRecord]:
    """Return the records of those who have authenticators. Raises CommandFailed for none."""
    records = []
    with session.open_store() as store:
        for name in names:
            with store.transaction(name) as transaction:
                record = transaction.record
            if record is not None and record.authenticators:
                records.append(record)
            else:
                output.warning(f"{name} has no authenticator, and is left out")
    if not records:
        raise CommandFailed("there is nobody with an authenticator: nothing was written")
    return records


def _written(session: Session, wanted: str, records: list[UserRecord], passphrase: str) -> bytes:
    if wanted == "pam_totp":
        return sealed_file.seal(records, passphrase)
    if wanted == "pskc":
        return pskc.written(records, passphrase)
    # The account is the name alone, by which import knows the person again.
    addresses = [
        otpauth.provisioning_uri(authenticator, record.name, session.issuer)
        for record in records
        for authenticator in record.authenticators
    ]
    return "".join(f"{address}\n" for address in addresses).encode("ascii")


def _hand_out(content: bytes, path: str | None) -> None:
    if path is None:
        for line in content.decode("ascii").splitlines():
            output.result(line)
        return
    try:
        atomic_files.write_new_whole(path, content)
    except FileExistsError:
        raise _is_there(path) from None
    except OSError as error:
        hint = os_error_hint(OSError(error.errno, error.strerror, path))
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            hint = "name a file in a folder that exists"
        problem = f"cannot write {path}: {error.strerror}; nothing was exported"
        raise CommandFailed(problem, hint or "name a file in another folder") from None


def _is_there(path: str) -> CommandFailed:
    return CommandFailed(f"{path} is there already", "name a new file with --output")


def _say_what_holds(request: ExportRequest, records: list[UserRecord]) -> None:
    count = sum(len(record.authenticators) for record in records)
    devices = f"{count} authenticator{'' if count == 1 else 's'}"
    where = "" if request.path is None else f" to {request.path}, for root alone"
    output.message(f"wrote {devices} of {_people(len(records))}{where}")
    if request.format != "pam_totp":
        output.warning(
            "the file has no recovery codes, and does not say which codes were used: the program "
            "that reads it may accept the last one once more"
        )
        held = [record.name for record in records if record.status == users.SUSPENDED]
        if held:
            output.warning(f"the file does not say that these are suspended: {', '.join(held)}")
    output.message("they stay enrolled here; once they have moved, run: totpctl remove USER")


def _people(count: int) -> str:
    return f"{count} {'person' if count == 1 else 'people'}"
