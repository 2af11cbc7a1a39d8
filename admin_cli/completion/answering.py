"""Answer one shell: the first line is ``words`` or ``files``, then a word a line.

What a shell gives and takes:

bash    the line up to the cursor, and COMP_WORDBREAKS; words to be inserted as they are
zsh     the words before the cursor, and the beginning of this one; ``word TAB description``
fish    the same, but not only words that begin like this one
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

import click
from click.shell_completion import CompletionItem, ShellComplete

from . import bash_line

VARIABLE = "_TOTPCTL_COMPLETE"
WORDS, FILES = "words", "files"
NO_COMMAND = 1
SHELLS = ("bash", "zsh", "fish")


def asked_by() -> str | None:
    """Return the shell that wants a completion, None where a command is to be run."""
    return os.environ.get(VARIABLE)


def run(command: click.Command, shell: str, arguments: Sequence[str]) -> int:
    """Print an answer; return an exit status. Whatever goes wrong is not worth a word at Tab.

    It is never 0: a script must not assume that its command was run, if the variable was left in
    the environment. The shells do not look at it.
    """
    with contextlib.suppress(Exception, SystemExit, KeyboardInterrupt):
        lines = answer(command, shell, arguments)
        sys.stdout.buffer.write("".join(f"{line}\n" for line in lines).encode())
        sys.stdout.flush()
    return NO_COMMAND


def answer(command: click.Command, shell: str, arguments: Sequence[str]) -> list[str]:
    """Return the lines of an answer. Raises what click raises at words that it does not know."""
    if shell not in SHELLS:
        raise ValueError(shell)
    if shell == "bash":
        line, breaks = arguments
        return _answer_to_bash(command, bash_line.parse(line, breaks))
    *before, incomplete = arguments
    prefix, value = _split(before, incomplete)
    items = _items(command, before, prefix + ("" if shell == "fish" and prefix else value))
    if items is None:
        return [FILES]
    return [WORDS, *(_described(prefix, item) for item in items)]


def _answer_to_bash(command: click.Command, line: bash_line.TypedLine) -> list[str]:
    if line.is_redirection:
        return [FILES]
    before, incomplete = line.words[1:-1], line.words[-1]
    prefix, _ = _split(before, incomplete)
    items = _items(command, before, incomplete)
    if items is None:
        return [FILES]
    words = [line.to_insert(prefix + str(item.value)) for item in items]
    return [WORDS, *(word for word in words if word is not None)]


def _items(
    command: click.Command, before: Sequence[str], incomplete: str
) -> list[CompletionItem] | None:
    """Return what can stand at the cursor, None for files; nothing that could not be typed."""
    completion = ShellComplete(command, {"obj": tuple(before)}, "totpctl", VARIABLE)
    items = completion.get_completions(list(before), incomplete)
    if any(item.type != "plain" for item in items):
        return None
    looks_like_option = incomplete.startswith("-")
    return [
        item
        for item in items
        if item.value
        and str(item.value).isprintable()
        and (looks_like_option or not str(item.value).startswith("-"))
    ]


def _split(before: Sequence[str], incomplete: str) -> tuple[str, str]:
    """Part ``--option=`` from the value that follows."""
    name, equals, value = incomplete.partition("=")
    if name.startswith("--") and equals and "--" not in before:
        return f"{name}=", value
    return "", incomplete


def _described(prefix: str, item: CompletionItem) -> str:
    help_text = " ".join((item.help or "").split())
    return f"{prefix}{item.value}\t{help_text}" if help_text else f"{prefix}{item.value}"
