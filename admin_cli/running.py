"""Run a click command: whatever it raises becomes words, a hint and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click

from pam_totp.system.errors import PamTotpError, Unavailable
from pam_totp.system.reinstalling import missing_module_hint

from . import output
from .errors import (
    CHECK_SAYS_NO,
    DONE,
    FAILED,
    STORE_UNAVAILABLE,
    USAGE,
    CommandFailed,
    os_error_hint,
    os_error_in_words,
)

_HOW_FAR = "to see how far it got, run: totpctl "
# The command that shows what another one changes, where that is not "list".
_SHOWN_BY = {
    "fleet": "fleet list",
    **dict.fromkeys(("enable", "disable", "confirm", "revert"), "status"),
    **dict.fromkeys(("fleet join", "fleet refresh", "fleet init", "fleet migrate"), "doctor"),
    "fleet policy": "fleet policy",
    **dict.fromkeys(("fleet allow", "fleet import", "fleet after-restore"), "list"),
}


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
        asked = sys.argv[1:] if arguments is None else arguments
        return _fail("interrupted", _HOW_FAR + _shown_by(asked), FAILED)
    except CommandFailed as error:
        return _fail(str(error), error.hint, error.exit_code)
    except Unavailable as error:
        return _fail(str(error), error.hint, STORE_UNAVAILABLE)
    except PamTotpError as error:
        return _fail(str(error), error.hint, FAILED)
    except ImportError as error:  # a command's file is loaded when it runs
        problem = f"Python, or a module of it, is missing or half installed: {error}"
        # For doctor that is a finding: a login is made of the same modules.
        asks_doctor = "doctor" in (sys.argv[1:] if arguments is None else arguments)
        hint = missing_module_hint(error.name or "pam_totp")
        return _fail(problem, hint, CHECK_SAYS_NO if asks_doctor else FAILED)
    except OSError as error:
        output.drop_unwritten(sys.stdout)
        return _fail(os_error_in_words(error), os_error_hint(error), FAILED)
    return stopped if isinstance(stopped, int) else DONE


def _fail(problem: str, hint: str, exit_code: int) -> int:
    output.message(f"totpctl: error: {problem}")
    notes = list(_notes(sys.exception()))
    if hint and not (notes and hint.startswith(_HOW_FAR)):
        output.message(f"hint: {hint}")
    for note in notes:
        output.message(note)
    return exit_code


def _shown_by(arguments: list[str]) -> str:
    """Return the command that shows how far the one with these ``arguments`` got."""
    if arguments[:1] == ["--config"]:
        arguments = arguments[2:]
    names = [word for word in arguments if not word.startswith("-")]
    candidates = (" ".join(names[:2]), *names[:1])
    return next((_SHOWN_BY[name] for name in candidates if name in _SHOWN_BY), "list")


def _notes(error: BaseException | None) -> Iterator[str]:
    """Return what a command has added to its error: what holds after it."""
    while error is not None:
        yield from getattr(error, "__notes__", ())
        error = error.__context__  # click makes its Abort of a KeyboardInterrupt


def _as_here(words_of_click: str) -> str:
    return words_of_click[:1].lower() + words_of_click[1:].rstrip(".")


def _open_missing_streams() -> None:
    """Python has None where a descriptor was closed before it started (``totpctl ... <&-``)."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
