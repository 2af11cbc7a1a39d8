"""Words and turns that were retired stay away from everything that somebody reads.

RETIRED is the one list. ``said(path)`` returns what a file says to people: of a page its prose, of
Python and C the literals and comments. To have more files looked at, add them to CHECKED.
"""

from __future__ import annotations

import io
import re
import textwrap
import tokenize
from pathlib import Path

import pytest

from admin_cli.doctor.examination import CHECKS
from tests.support.each import each
from tests.support.place import ROOT

# What is not to be written, as a pattern, and what stands in its place. Blanks match line ends.
RETIRED = {
    r"\benrol(?!l)": "enroll, enrollment",
    r"\bmend(?:s|ed|ing)?\b": "fix",
    r"\bput(?:s|ting)? (?:\w+ ){0,3}back\b": "undo, undone; of files: restore",
    r"\bWho\b(?![^.!?|]*\?)": "name the people: users who, people who, logins that",
    r"\b(?:of|for|to|by|from|with|than|but|except|like) who\b": "name the people",
    r"\b(?:native|pam_python|both|two) hosts?\b": "pam_totp.so, the in-process way, application",
    r"\bhosts? (?:process|program)\b": "application",
    r"\bnone of both\b": "neither",
    r"\bby hearsay\b": "say who knows what",
    r"\bnobody takes the calls\b": "the listen queue is full",
    r"\bsays too much\b": "too large, with the limit",
    r"\bin (?:the )?place of that duty\b": "must enroll again",
    r"\bwhat is to be looked at\b": "what is checked",
    r"\bbroken off\b": "interrupted",
    r"\banew\b": "again",
    r"\bof ours\b": "our",
    r"\bcompiled code of\b": "our C module",
    r"\bbeliev(?:e|es|ed)\b": "trust, trusted",
}

PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "docs" / "man").iterdir()),
]
# What administrators read before, or in place of, the pages.
PACKAGED = [
    ROOT / "packaging" / path
    for path in (
        "pam_totp.conf",
        "authselect/pam_totp/README",
        "debian/README.Debian",
        "debian/control",
        "debian/libpam-totp.templates",
        "debian/pam-configs/totp",
        "fail2ban/pam_totp.conf",
    )
]
# Scripts and units are looked at whole: their code has none of these words.
SCRIPTS = [
    ROOT / "install.sh",
    *sorted((ROOT / "packaging").glob("*.sh")),
    *sorted((ROOT / "packaging" / "installer").iterdir()),
    *sorted((ROOT / "packaging" / "debian").glob("libpam-totp.p*")),
    *sorted((ROOT / "packaging" / "systemd").iterdir()),
    ROOT / "packaging" / "rpm" / "pam_totp.spec",
]
SOURCES = [
    *sorted((ROOT / "pam_totp").rglob("*.py")),
    *sorted((ROOT / "pam_totp" / "native").glob("*.[ch]")),
    *sorted((ROOT / "admin_cli").rglob("*.py")),
]
CHECKED = [*PAGES, *PACKAGED, *SCRIPTS, *SOURCES, *sorted((ROOT / "packaging").glob("*.d/*"))]

_FENCED = re.compile(r"^```.*?^```", flags=re.M | re.S)
_CODE = re.compile(r"(`+).+?\1", flags=re.S)
_GENERATED = re.compile(r"generated: .*?/generated", flags=re.S)
_C = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:[^"\\\n]|\\.)*"', flags=re.S)


def said(path: Path) -> str:
    """Return what ``path`` says to people; what is left out stands as blank lines, or a blank."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return of_page(text)
    if path.suffix == ".py":
        return of_python(text)
    if path.suffix in (".c", ".h"):
        return keeping(_C, text)
    return without(_GENERATED, text)  # man pages, settings, scripts: whole


def of_page(text: str) -> str:
    """Return the prose: what programs print or take, in code, is looked at where it comes from."""
    for check in CHECKS:
        text = text.replace(f"| {check.why} |", "| |")
    return without(_CODE, without(_FENCED, without(_GENERATED, text)))


def of_python(text: str) -> str:
    """Return string literals, docstrings and comments, each on its line."""
    lines = [""] * (text.count("\n") + 2)
    part = getattr(tokenize, "FSTRING_MIDDLE", -1)  # since Python 3.12: up to what is put in
    kinds = {tokenize.STRING, tokenize.COMMENT, part}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in kinds:
            for offset, line in enumerate(token.string.lstrip("#").split("\n")):
                lines[token.start[0] - 1 + offset] += f" {line}"
            if token.type == part:
                lines[token.end[0] - 1] += "{}"
    return "\n".join(lines)


def without(pattern: re.Pattern[str], text: str) -> str:
    return pattern.sub(lambda found: "\n" * found[0].count("\n") or " ", text)


def keeping(pattern: re.Pattern[str], text: str) -> str:
    kept, end = "", 0
    for found in pattern.finditer(text):
        kept += "\n" * text[end : found.start()].count("\n") + f" {found[0]}"
        end = found.end()
    return kept


def retired(text: str) -> list[str]:
    """Return each retired word with its line and what to write instead."""
    found = []
    for pattern, instead in RETIRED.items():
        flags = 0 if "Who" in pattern else re.IGNORECASE
        for word in re.finditer(pattern.replace(" ", r"[\s#*]+"), text, flags=flags):
            line = text[: word.start()].count("\n") + 1
            found.append(f"line {line}: {' '.join(word[0].split())!r}: write {instead}")
    return found


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@each("path", CHECKED, ids=name)
def test_no_retired_word_is_said(path: Path) -> None:
    assert [] == retired(said(path))


@pytest.mark.parametrize(
    ("suffix", "text", "line"),
    [
        (".md", "# Page\n\nPeople enrol here.\n", 3),
        (".md", "It is put\nback by itself.\n", 1),
        (".md", "For logins. Who comes with a key is asked.\n", 1),
        (".md", "| a | Who is exempt |\n", 1),
        (".py", '"""Mend it."""\n', 1),
        (".py", "x = 1\ny = f'to enrol {x}'\n", 2),
        (".py", "x = 1  # put back\n", 1),
        (".py", "# It is\n# put\n# back.\n", 2),
        (".c", "int x;\n/* the native\n * host */\n", 2),
        (".c", 'int x;\nlog("mend it");\n', 2),
        (".8", ".Sh NAME\nWho is exempt is let in.\n", 2),
        (".conf", "# Who has none: deny\n", 1),
    ],
)
def test_retired_word_is_found_wherever_people_read(
    tmp_path: Path, suffix: str, text: str, line: int
) -> None:
    path = tmp_path / f"example{suffix}"
    path.write_text(text, encoding="utf-8")
    (found,) = retired(said(path))
    assert found.startswith(f"line {line}: ")


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".md", "Who is missing?\n"),
        (".md", "`mend:` is what it prints:\n\n```text\nmend: run it\n```\n"),
        (".md", "<!-- generated: x -->\nEnrol people.\n<!-- /generated -->\n"),
        (".py", "mend = enrol(put)  # what is fixed\n"),
        (".c", "int mend = enrol;\n"),
    ],
)
def test_names_of_the_code_and_what_programs_print_are_left_alone(
    tmp_path: Path, suffix: str, text: str
) -> None:
    path = tmp_path / f"example{suffix}"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    assert [] == retired(said(path))
