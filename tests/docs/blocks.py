"""The blocks of the pages: what is typed, what is shown, what goes into a file.

The word behind the fence says what kind of block it is; KINDS has them all. Above a block
there may be one comment, which no reader of the rendered page sees:

    <!-- not run: REASON -->        nobody types it, or nothing shows it, for REASON
    <!-- shown by: COMMAND -->      this is what COMMAND shows
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from tests.support.place import ROOT

PAGES = tuple(sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]))
KINDS = {
    "sh": "typed into the root shell; in a second terminal where the words above say so",
    "text": "what is shown",
    "json": "what is shown, with other values",
    "log": "lines of the log",
    "hex": "packets, which tests/unit/test_native_docs.py reads",
    "pam": "lines of a file in /etc/pam.d",
    "pam_totp.conf": "lines of pam_totp.conf",
    "sshd_config": "a file of sshd's",
    "ssh_config": "lines of the client's configuration",
    "conf": "lines of another program's configuration",
    "cron": "a line of a file in /etc/cron.d",
    "ini": "a file of fail2ban's, or of systemd's",
    "sql": "a question to the database of a fleet",
    "yaml": "a playbook, or variables for it",
}
_FENCE = re.compile(r"^( *)```(.*)$")
_COMMENT = re.compile(r"^<!-- (not run|shown by):(.*)-->$")


class Block(NamedTuple):
    page: str  # relative to the tree
    line: int  # of the fence, from 1 on
    kind: str
    text: str
    above: str  # the paragraph above
    not_run: str | None  # the reason
    shown_by: str | None  # the command

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    def is_of_second_terminal(self) -> bool:
        return "second terminal" in self.above.lower()

    def files(self) -> list[str]:
        """Return the files that the paragraph above names, with their folders."""
        return re.findall(r"`(/etc/[\w./-]+[\w-])`", self.above)


def blocks_of(path: Path) -> list[Block]:
    page = path.relative_to(ROOT).as_posix()
    lines = path.read_text(encoding="utf-8").splitlines()
    found, inside, start, above = [], False, 0, [""]
    for number, line in enumerate(lines, 1):
        fence = _FENCE.match(line)
        if not fence:
            if not inside:
                above.append(line)
        elif not inside:
            inside, start, kind = True, number, fence[2].strip()
        else:
            assert not fence[2], f"{page}:{number}: a block begins inside another"
            text = "".join(f"{shown}\n" for shown in lines[start : number - 1])
            found.append(_block(page, start, kind, text, above))
            inside, above = False, [""]
    assert not inside, f"{page}:{start}: the block does not end"
    return found


def _block(page: str, line: int, kind: str, text: str, above: list[str]) -> Block:
    *before, last = "\n".join(above).strip().split("\n\n")
    *words, final = last.splitlines() or [""]
    comment = _COMMENT.match(final)
    if not comment:
        return Block(page, line, kind, text, last, None, None)
    paragraph = "\n".join(words) or (before or [""])[-1]
    named = {comment[1]: comment[2].strip()}
    return Block(page, line, kind, text, paragraph, named.get("not run"), named.get("shown by"))


def all_blocks() -> list[Block]:
    return [block for path in PAGES for block in blocks_of(path)]
