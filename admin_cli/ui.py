"""Every rule of totpctl's output, in one place.

- Results go to stdout; messages, prompts and errors to stderr.
- ``--json`` prints one JSON document to stdout, times as ISO 8601 UTC or null.
- An error is ``totpctl: error: ...`` and, where something can be done, ``hint: ...``.
- Destructive verbs ask; ``--yes`` answers. Without a terminal to ask on they refuse.
- A secret is never in argv. It is shown once, and only because somebody asked for it.
- Whatever is written is one line: control characters in names never reach the terminal, and
  neither does what its encoding lacks. picture() alone goes out as it is.

Exit codes: 0 done, 1 failed, 2 usage, 3 no such user, group or enrolment,
4 not root, 5 store unavailable, 6 a check says no.
"""

from __future__ import annotations

import errno
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

import click

from pam_totp.system import disks
from pam_totp.system.errors import PamTotpError, Unavailable

DONE, FAILED, USAGE, NO_SUCH_USER, NOT_ROOT, STORE_UNAVAILABLE, CHECK_SAYS_NO = range(7)


_HOW_FAR = "see how far it came with: totpctl list"


class CommandFailed(PamTotpError):
    """A command could not do what it was asked; ``exit_code`` is one of the above."""

    exit_code = FAILED

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__("", problem, hint)

    def __str__(self) -> str:
        return self.problem


class NoSuchUser(CommandFailed):
    exit_code = NO_SUCH_USER


class NotRoot(CommandFailed):
    exit_code = NOT_ROOT


class CheckSaysNo(CommandFailed):
    exit_code = CHECK_SAYS_NO


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


def need_root(purpose: str) -> None:
    """Raise NotRoot unless root runs this; ``purpose`` is what only root can do."""
    if os.geteuid() != 0:
        raise NotRoot(f"only root can {purpose}", "run it with sudo")


def result(text: str = "") -> None:
    _write(printable(text), sys.stdout)


def result_json(document: object) -> None:
    _write(json.dumps(document, indent=2, ensure_ascii=True), sys.stdout)


def message(text: str = "") -> None:
    _write(printable(text), sys.stderr)


def warning(text: str) -> None:
    message(f"totpctl: warning: {text}")


def picture(lines: str, stream: TextIO) -> None:
    """Write ``lines`` with the control sequences in them."""
    _write(lines, stream)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is destroyed. Raises CommandFailed on anything but a clear yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandFailed("this needs a confirmation", "answer it beforehand with --yes")
    if ask(f"{question} [y/N]").lower() not in ("y", "yes"):
        raise CommandFailed("nothing was changed")


def ask(question: str, hint_at_end_of_input: str = "") -> str:
    """Ask for a line of text, visible while it is typed; nothing may have been changed before.

    Raises CommandFailed at Ctrl-C and at the end of the input.
    """
    try:
        _write(printable(question) + ": ", sys.stderr, end="")
        line = sys.stdin.readline()
    except UnicodeError:
        line = "\ufffd\n"  # not text; no question here is answered by it
    except KeyboardInterrupt:
        message()
        raise CommandFailed("interrupted; nothing was changed") from None
    if not line or not sys.stdin.isatty():
        message()  # nobody pressed Enter here
    if not line:
        raise CommandFailed("no answer was given; nothing was changed", hint_at_end_of_input)
    return line.strip()


def printable(text: str) -> str:
    """Escape what would move the cursor or end the line."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def iso_time(unix_time: int | None) -> str | None:
    if not unix_time:
        return None
    return datetime.fromtimestamp(unix_time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Lay out columns as wide as their widest cell; return the lines."""
    lines = [headings, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def run(command: Callable[..., Any], arguments: list[str] | None = None) -> int:
    """Run a click command; turn whatever it raises into words and an exit code.

    A reader that is gone (EPIPE) never gets here: click exits with 1, without a word.
    """
    _open_missing_streams()
    try:
        stopped = command(args=arguments, prog_name="totpctl", standalone_mode=False)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "totpctl"
        return _fail(_as_here(error.format_message()), f"see: {path} --help", USAGE)
    except click.ClickException as error:
        return _fail(_as_here(error.format_message()), "", FAILED)
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", _HOW_FAR, FAILED)
    except CommandFailed as error:
        return _fail(str(error), error.hint, error.exit_code)
    except Unavailable as error:
        return _fail(str(error), error.hint, STORE_UNAVAILABLE)
    except PamTotpError as error:
        return _fail(str(error), error.hint, FAILED)
    except OSError as error:
        _drop_unwritten(sys.stdout)
        return _fail(os_error_in_words(error), _mend(error), FAILED)
    return stopped if isinstance(stopped, int) else DONE


def error_in_words(error: OSError | PamTotpError) -> str:
    return os_error_in_words(error) if isinstance(error, OSError) else str(error)


def os_error_in_words(error: OSError) -> str:
    place = _place(error)
    where = f"{place}: " if place else ""
    return f"{where}{error.strerror or type(error).__name__}"


def _place(error: OSError) -> object:
    """Return the file that it is about: of two names, the one that was to be replaced."""
    return error.filename2 or error.filename


def _fail(problem: str, hint: str, exit_code: int) -> int:
    message(f"totpctl: error: {problem}")
    notes = list(_notes(sys.exception()))
    if hint and not (notes and hint == _HOW_FAR):
        message(f"hint: {hint}")
    for note in notes:
        message(note)
    return exit_code


def _notes(error: BaseException | None) -> Iterator[str]:
    """Return what a command has added to its error: what holds after it."""
    while error is not None:
        yield from getattr(error, "__notes__", ())
        error = error.__context__  # click makes its Abort of a KeyboardInterrupt


def _mend(error: OSError) -> str:
    """Return what helps where nothing can be written: the place is known if the error names it."""
    place = _place(error)
    path = os.path.realpath(place) if isinstance(place, str) else ""
    folder = os.path.dirname(path)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disks.no_room_hint(folder) if path else "make room on the disk: df -h; df -i"
    if error.errno == errno.EROFS:
        return disks.read_only_hint(path) if path else "see which disk is read-only: findmnt -O ro"
    if error.errno == errno.EPERM and path and os.geteuid() == 0:
        return f"see whether chattr has made it immutable: lsattr -d {shlex.join([folder, path])}"
    if error.errno == errno.EBUSY and path:
        return f"a file that is mounted cannot be replaced; see: findmnt {shlex.quote(path)}"
    return ""


def _as_here(words_of_click: str) -> str:
    return words_of_click[:1].lower() + words_of_click[1:].rstrip(".")


def _write(line: str, stream: TextIO, end: str = "\n") -> None:
    encoding = stream.encoding or "ascii"
    try:
        stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + end)
        stream.flush()
    except OSError:
        _drop_unwritten(stream)
        raise


def _drop_unwritten(stream: TextIO) -> None:
    """Forget what cannot be written: it would fail again, louder, when Python exits."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _open_missing_streams() -> None:
    """Python has None where a descriptor was closed before it started (``totpctl ... <&-``)."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
