#!/usr/bin/python3
"""Write into the reference and the man pages what the code says about itself: ``make docs``.

Between a line "generated: NAME" and the next "/generated", both in a comment of the page's
language, stands what GENERATED makes of NAME; everything else on a page is written by hand. The
texts are the help strings of totpctl's commands, and pam_totp/system/config_descriptions.py. The
same tree gives the same bytes: nothing depends on a terminal, a locale or a date.

    docs/generate.py            rewrite the pages
    docs/generate.py --check    exit with 1, and name them, if any page is stale
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(ROOT))

import click  # noqa: E402

from admin_cli.main import totpctl  # noqa: E402
from pam_totp.system import config, config_descriptions  # noqa: E402


def _commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield every command below ``group`` with the words that run it, by name."""
    for name, command in sorted(group.commands.items()):
        yield prefix + name, command
        if isinstance(command, click.Group):
            yield from _commands(command, f"{prefix}{name} ")


COMMANDS = dict(_commands(totpctl))
_MARKED = re.compile(
    r"(?P<open><!-- |\.\\\" )generated: (?P<name>[^\n]+?)(?P<close> -->|)\n"
    r".*?(?P<end>^(?:<!-- |\.\\\" )/generated)",
    flags=re.M | re.S,
)


class Option:
    """One option of a command: how it is written, and what it says about itself."""

    def __init__(self, option: click.Option) -> None:
        self.flags = [*option.opts]
        self.choices: list[str] = []
        self.value = ""
        if isinstance(option.type, click.Choice):
            self.choices = list(option.type.choices)
        elif not option.is_flag:
            self.value = option.metavar or option.type.name.upper()
        default = option.default
        self.default = default if isinstance(default, str) and not option.is_flag else ""
        self.help = option.help or ""


def options(command: click.Command) -> list[Option]:
    """Return the options of ``command``, but for help, in the order of its help."""
    return [Option(p) for p in command.params if isinstance(p, click.Option) and p.help]


def usage(name: str) -> str:
    """Return a command with its arguments: ``enable SERVICE...``."""
    command = COMMANDS[name]
    words = [name, "COMMAND"] if isinstance(command, click.Group) else [name]
    for argument in command.params:
        if isinstance(argument, click.Argument) and argument.metavar:
            words.append(argument.metavar)
        elif isinstance(argument, click.Argument):
            word = str(argument.name).upper() + ("..." if argument.nargs == -1 else "")
            words.append(word if argument.required else f"[{word}]")
    return " ".join(words)


def paragraphs(command: click.Command) -> list[str]:
    """Return the help of ``command``, each paragraph in one line."""
    text = inspect.cleandoc(command.help or "")
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]


def default_of(key: str) -> str:
    """Return the default of a configuration key, as the file writes it."""
    value = config.Config._field_defaults[key]
    if key in ("unenrolled_until", "remember"):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " ".join(value)
    text = str(value)
    return f'"{text}"' if text != text.strip() else text


def either(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)


# Markdown


def command_for_page(name: str) -> str:
    """Return heading, help and table of options of one command."""
    parts = [f"### {usage(name)}", *map(with_code, paragraphs(COMMANDS[name]))]
    if options(COMMANDS[name]):
        parts.append(table_of_options(options(COMMANDS[name])))
    return "\n\n".join(parts)


def table_of_options(given: list[Option]) -> str:
    lines = ["| option | default | meaning |", "|---|---|---|"]
    for option in given:
        flags = ", ".join(f"`{flag}`" for flag in option.flags)
        if option.value:
            flags = f"`{option.flags[0]} {option.value}`"
        default = f"`{option.default}`" if option.default else ""
        meaning = with_code(option.help)
        if option.choices:
            meaning += f" {either([f'`{choice}`' for choice in option.choices])}."
        lines.append(f"| {flags} | {default} | {meaning} |")
    return "\n".join(lines)


def with_code(text: str) -> str:
    """Put options into backticks: two hyphens would be drawn as a dash."""
    return re.sub(r"(?<![\w`-])--[a-z][\w-]*", r"`\g<0>`", text)


def global_options_for_page() -> str:
    lines = table_of_options(options(totpctl))
    return f"{lines}\n| `-h`, `--help` | | Print help, also after a command. |"


def keys_for_page() -> str:
    lines = ["| key | default | values | meaning |", "|---|---|---|---|"]
    for key, (_, meaning) in config_descriptions.KEYS.items():
        default = f"`{default_of(key)}`" if default_of(key) else ""
        lines.append(f"| `{key}` | {default} | {config_descriptions.values(key)} | {meaning} |")
    return "\n".join(lines)


def arguments_for_page() -> str:
    lines = ["| argument | meaning |", "|---|---|"]
    for argument, meaning in config_descriptions.ARGUMENTS.items():
        name = argument.removesuffix("path")
        lines.append(f"| `{name}` | {meaning} |")
    return "\n".join(lines)


# mdoc


def command_for_man(name: str) -> str:
    lines = [f".Ss {escaped(usage(name))}"]
    for number, paragraph in enumerate(paragraphs(COMMANDS[name])):
        lines += [".Pp"] * bool(number) + prose(paragraph)
    given = options(COMMANDS[name])
    return "\n".join([*lines, *(list_of_options(given) if given else [])])


def list_of_options(given: list[Option]) -> list[str]:
    lines = [".Bl -tag -width Ds"]
    for option in given:
        flags = " , ".join(f"Fl {flag.removeprefix('-')}" for flag in option.flags)
        if option.choices:
            flags += f" Cm {' | '.join(option.choices)}"
        elif option.value:
            flags += f" Ar {option.value}"
        lines += [f".It {flags}", *prose(option.help)]
        if option.default:
            lines.append(f"Default: {escaped(option.default)}.")
    return [*lines, ".El"]


def global_options_for_man() -> str:
    *lines, end = list_of_options(options(totpctl))
    help_ = [".It Fl h , Fl -help", "Print help, also after a command."]
    return "\n".join([*lines, *help_, end])


def keys_for_man() -> str:
    lines = [".Bl -tag -width Ds"]
    for key, (_, meaning) in config_descriptions.KEYS.items():
        default = default_of(key)
        if default.startswith('"'):  # blanks at its ends count
            words = default.strip('"').rstrip()
            default = f"Qq {escaped(words)}\\ \\&"
        elif default.startswith("/"):
            default = f"Pa {default}"
        lines.append(f".It Cm {key} No = {default}".rstrip())
        lines += prose(f"{meaning} Value: {config_descriptions.values(key)}.")
    return "\n".join([*lines, ".El"])


def arguments_for_man() -> str:
    lines = [".Bl -tag -width Ds"]
    for argument, meaning in config_descriptions.ARGUMENTS.items():
        name, separator, value = argument.partition("=")
        kind = "Ar" if value == "path" else "Cm"
        lines.append(f".It Cm {name}" + (f" Ns = Ns {kind} {value}" if separator else ""))
        lines += prose(meaning)
    return "\n".join([*lines, ".El"])


def prose(text: str) -> list[str]:
    """Return ``text`` as lines of mdoc: a sentence a line, what is typed in a macro of its own."""
    lines: list[str] = []
    for one in re.split(r"(?<=[.?!]) (?=[A-Z`\"])", text):
        words = ""
        for part in re.split(r"(`[^`]+`\S*|(?<![\w-])--[a-z][\w-]*[.,;:)]*)", one):
            typed = re.fullmatch(r"`([^`]+)`(\S*)|--([a-z][\w-]*)([.,;:)]*)", part)
            if typed is None:
                words += part
                continue
            lines += flowing(words)
            words = ""
            quoted, behind, option, mark = typed.groups(default="")
            macro = f".Fl -{option}" if option else typed_word(quoted)
            lines.append(" ".join([macro, *(behind or mark)]))
        lines += flowing(words)
    return lines


def typed_word(text: str) -> str:
    """Return the macro for what stands in backticks: a path, a PAM code, or anything else."""
    macro = "Pa" if text.startswith("/") else "Dv" if text.startswith("PAM_") else "Ql"
    text = f"{text}\\&" if text[-1] in ".,:;" else text
    return f'.{macro} "{text}"' if " " in text else f".{macro} {text}"


def flowing(words: str) -> list[str]:
    """Return ``words`` in lines of at most 80 characters; none begins with a control character."""
    lines, line = [], ""
    for word in words.split():
        if line and len(f"{line} {word}") > 80:
            lines.append(line)
            line = ""
        line += f" {word}" if line else word
    return [re.sub(r"^(?=[.'])", r"\\&", escaped(one)) for one in [*lines, line] if one]


def escaped(text: str) -> str:
    """Escape what troff reads as its own: an ellipsis would end a sentence, a bracket a word."""
    text = text.replace("\\", "\\e")
    return re.sub(r"(\.\.\.\]?|\])$", r"\1\\&", text)


# Each page: what is generated on it.
GENERATED: dict[str, dict[str, Callable[[], str]]] = {
    "docs/reference/totpctl.md": {
        "global options": global_options_for_page,
        **{name: partial(command_for_page, name) for name in COMMANDS},
    },
    "docs/man/totpctl.8": {
        "global options": global_options_for_man,
        **{name: partial(command_for_man, name) for name in COMMANDS},
    },
    "docs/reference/configuration.md": {"keys": keys_for_page, "arguments": arguments_for_page},
    "docs/man/pam_totp.conf.5": {"keys": keys_for_man},
    "docs/man/pam_totp.8": {"arguments": arguments_for_man},
}


def marked(text: str) -> list[str]:
    """Return the names of all parts of ``text`` that are generated, in their order."""
    return [found["name"] for found in _MARKED.finditer(text)]


def fresh(page: str, text: str) -> str:
    """Return ``text`` with each marked part as the code says it today."""
    blank = "\n" if page.endswith(".md") else ""  # Markdown needs one between a comment and a table

    def part(found: re.Match[str]) -> str:
        opening = f"{found['open']}generated: {found['name']}{found['close']}\n"
        return f"{opening}{blank}{GENERATED[page][found['name']]()}\n{blank}{found['end']}"

    return _MARKED.sub(part, text)


def stale() -> Iterator[tuple[Path, str]]:
    """Yield each page that is not as ``make docs`` leaves it, with what it should be."""
    for page in GENERATED:
        path = ROOT / page
        text = path.read_text(encoding="utf-8")
        if fresh(page, text) != text:
            yield path, fresh(page, text)


def main(arguments: list[str]) -> int:
    checking = arguments == ["--check"]
    if arguments and not checking:
        sys.stderr.write("usage: docs/generate.py [--check]\n")
        return 2
    changed = list(stale())
    for path, text in changed:
        sys.stdout.write(f"{path.relative_to(ROOT)}{': stale; run: make docs' * checking}\n")
        if not checking:
            path.write_text(text, encoding="utf-8")
    return int(checking and bool(changed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
