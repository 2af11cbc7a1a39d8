#!/usr/bin/python3
"""Write pam_totp/po again from the sentences in the code, and what the C module says: ``make po``.

pam_totp.pot has every sentence that people see at a prompt, LANGUAGE.po its translation; what is
new is empty there. pam_totp/native/translated.h has what pam_totp.so itself says. GNU gettext does
the work; the same tree gives the same bytes.

    packaging/translations.py            rewrite them
    packaging/translations.py --check    exit with 1, and name them, if any is stale
"""

from __future__ import annotations

import gettext
import io
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(ROOT))

from pam_totp.login import conversation, messages  # noqa: E402

FOLDER = Path("pam_totp/po")
TEMPLATE = FOLDER / "pam_totp.pot"
NATIVE = Path("pam_totp/native/translated.h")
# Sentences are there alone: see tests/unit/test_translations.py.
SOURCES = ("pam_totp/login/messages.py", "pam_totp/login/conversation.py")
_EXTRACT = (
    "xgettext",
    "--language=Python",
    "--from-code=UTF-8",
    "--omit-header",
    "--no-location",
    "--no-wrap",
)
_KEYWORDS = (
    "--keyword",
    "--keyword=text:1",
    "--keyword=counted:1,2",
    "--add-comments=Translators:",
)
_TEMPLATE_HEADER = """\
# What people see at a prompt of pam_totp. Written by: make po
msgid ""
msgstr ""
"Project-Id-Version: pam_totp\\n"
"Language: \\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=UTF-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"Plural-Forms: nplurals=INTEGER; plural=EXPRESSION;\\n"

"""
_NATIVE_HEADER = """\
/* What pam_totp.so itself says, in each language that there is. Written by: make po */

#ifndef PAM_TOTP_TRANSLATED_H
#define PAM_TOTP_TRANSLATED_H

#include "language.h"

static const struct translated translated[] = {
"""


def languages() -> list[str]:
    return sorted(path.stem for path in (ROOT / FOLDER).glob("*.po"))


def template() -> str:
    """Return the text of pam_totp.pot."""
    return _TEMPLATE_HEADER + _run(*_EXTRACT, *_KEYWORDS, "--output=-", *SOURCES)


def merged(language: str, pot: str) -> str:
    """Return the text of a LANGUAGE.po with the sentences of ``pot``, a text of pam_totp.pot."""
    command = ("msgmerge", "--quiet", "--no-fuzzy-matching", "--no-wrap", "--output-file=-")
    whole = _run(*command, str(FOLDER / f"{language}.po"), "/dev/stdin", typed=pot)
    return _run("msgattrib", "--no-obsolete", "--no-wrap", "-", typed=whole)


def compiled(po: str) -> bytes:
    """Return a pam_totp.mo with the translations of ``po``, a text of a LANGUAGE.po."""
    command = ["msgfmt", "--check-format", "--check-domain", "--output-file=-", "-"]
    done = subprocess.run(command, input=po.encode(), stdout=subprocess.PIPE, check=True, cwd=ROOT)
    return done.stdout


def catalog_of(content: bytes) -> gettext.GNUTranslations:
    return gettext.GNUTranslations(io.BytesIO(content))


def native() -> str:
    """Return the text of translated.h."""
    lines = [_NATIVE_HEADER]
    for language, said_in in {"": None, **{name: _catalog(name) for name in languages()}}.items():
        said = (messages.UNAVAILABLE.said_in(said_in), conversation.PRESS_ENTER.said_in(said_in))
        lines += [f'    {{"{language}",\n', *(f'     "{_in_c(text)}",\n' for text in said)]
        lines[-1] = lines[-1].replace('",\n', '"},\n')
    return "".join([*lines, "};\n\n#endif\n"])


def fresh() -> dict[Path, str]:
    """Return what each file should hold."""
    pot = template()
    pages = {FOLDER / f"{name}.po": merged(name, pot) for name in languages()}
    return {TEMPLATE: pot, **pages, NATIVE: native()}


def main(arguments: list[str]) -> int:
    stale = {
        path: text
        for path, text in fresh().items()
        if not (ROOT / path).exists() or (ROOT / path).read_text(encoding="utf-8") != text
    }
    for path, text in stale.items():
        if arguments == ["--check"]:
            print(f"{path}: stale; run: make po")  # noqa: T201
        else:
            (ROOT / path).write_text(text, encoding="utf-8")
            print(path)  # noqa: T201
    return 1 if stale and arguments == ["--check"] else 0


def _catalog(language: str) -> gettext.GNUTranslations:
    return catalog_of(compiled((ROOT / FOLDER / f"{language}.po").read_text(encoding="utf-8")))


def _in_c(text: str) -> str:
    """Write ``text`` for a string of C, in ASCII. An escape has three digits: no more are read."""
    plain = text.replace("\\", "\\\\").replace('"', '\\"')
    return "".join(
        chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}" for byte in plain.encode("utf-8")
    )


def _run(*command: str, typed: str = "") -> str:
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, input=typed.encode(), stdout=subprocess.PIPE, check=True
    )
    return done.stdout.decode("utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
