"""Reads the pages and man pages: their sections, tables and words."""

from __future__ import annotations

import re

from tests.support.place import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(ROOT.glob("*.md")) + sorted(DOCS.rglob("*.md"))


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """Return what stands under a Markdown heading, down to the next of its level or above."""
    level = heading.split(" ")[0]
    after = f"\n{text}\n".split(f"\n{heading}\n", 1)[1]
    return re.split(rf"\n#{{1,{len(level)}}} ", after)[0]


def man_section(page: str, heading: str) -> str:
    """Return what stands under ``.Sh HEADING`` or ``.Ss heading``, down to the next of either."""
    after = re.split(rf"^\.S[hs] {heading}\n", read(f"docs/man/{page}"), maxsplit=1, flags=re.M)[1]
    return re.split(r"^\.S[hs] ", after, maxsplit=1, flags=re.M)[0]


def rows(text: str) -> list[list[str]]:
    """Return the cells of the rows of every table, without the headings."""
    found = []
    for table in re.findall(r"(?:^\|.*\n?)+", text, flags=re.M):
        lines = table.splitlines()[2:]
        found += [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return found


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def first_column(text: str) -> list[str]:
    return [code for row in rows(text) for code in codes(row[0])]


def man_items(text: str, macro: str) -> list[str]:
    """Return the words after ``.It macro``; an escaped blank or a quote is none of them."""
    return re.findall(rf"^\.It {macro} (\S+)", text, flags=re.M)
