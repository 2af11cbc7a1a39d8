"""Whoever reads finds the next page: from the README to every other, and no link leads nowhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.blocks import PAGES
from tests.support.place import ROOT

README = ROOT / "README.md"
MAP = ROOT / "docs" / "README.md"
DOCS = [path for path in PAGES if path.is_relative_to(ROOT / "docs")]
MAN_PAGES = sorted((ROOT / "docs" / "man").iterdir())
FIRST_SCREEN = 20  # lines
# In the order of who is new; each is reached from the one before, or from the README.
PATH = (
    "docs/tutorial/first-login.md",
    "docs/howto/ssh.md",
    "docs/howto/sudo.md",
    "docs/howto/roll-out.md",
    "docs/howto/locked-out.md",
    "docs/README.md",
)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose(path: Path) -> str:
    return re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)


def links(path: Path, text: str) -> list[tuple[Path, str]]:
    """Return the file and the anchor of each link to another file or place of this tree."""
    found = []
    for target in re.findall(r"!?\[[^\]]*\]\(([^)\s]+)\)", text):
        if not re.match(r"https?://", target):
            file, _, anchor = target.partition("#")
            found.append(((path.parent / file).resolve() if file else path, anchor))
    return found


def anchors(path: Path) -> set[str]:
    """Return what a link may name: the headings, as they are turned into anchors."""
    headings = re.findall(r"^#+ (.*)$", prose(path), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, anchor in links(page, prose(page)):
        assert target.exists(), target
        assert not anchor or anchor in anchors(target), f"{name(target)}#{anchor}"


def test_every_page_is_on_the_map() -> None:
    listed = {target for target, _ in links(MAP, prose(MAP))}
    assert {*DOCS, *MAN_PAGES} - listed == {MAP}


def test_every_page_is_reached_from_the_readme() -> None:
    reached, new = {README}, [README]
    while new:
        page = new.pop()
        found = {target for target, _ in links(page, prose(page)) if target.suffix == ".md"}
        new += found - reached
        reached |= found
    assert {*DOCS} - reached == set()


@pytest.mark.parametrize("page", DOCS, ids=name)
def test_no_page_ends_in_a_dead_end(page: Path) -> None:
    """Under the last heading there is a way on: to another page than this."""
    last = re.split(r"^## ", prose(page), flags=re.M)[-1]
    assert [target for target, _ in links(page, last) if target != page]


def test_first_screen_has_the_first_steps_and_the_readme_leads_along_the_path() -> None:
    screen = "\n".join(README.read_text(encoding="utf-8").splitlines()[:FIRST_SCREEN])
    for command in ("install.sh", "totpctl enroll", "totpctl enable"):
        assert command in screen
    order = [name(target) for target, _ in links(README, prose(README))]
    assert list(PATH) == sorted(PATH, key=order[order.index(PATH[0]) :].index)
