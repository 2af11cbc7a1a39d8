"""No block of a page is left to chance: each is tried, or says why it is not."""

from __future__ import annotations

import re

import pytest

from tests.docs.blocks import KINDS, PAGES, Block, all_blocks
from tests.docs.stories import STORIES
from tests.support.place import ROOT

TUTORIAL = "docs/tutorial/first-login.md"  # tests/booted/test_tutorial.py takes every block of it
BLOCKS = all_blocks()
# Others take every block of these, on several machines at once.
ELSEWHERE = {
    "docs/howto/fleet.md": "tests/e2e/test_fleet_page.py",
    "docs/howto/fleet-pooler.md": "tests/e2e/test_fleet_page.py",
}
# These are looked at wherever they stand, by test_config_blocks.py and tests/unit.
OF_EVERY_PAGE = {"hex", "log", "pam", "pam_totp.conf", "ssh_config", "cron", "ini", "yaml"}
A_REASON = 2  # words, at the least


def is_tried(block: Block) -> bool:
    return (
        block.kind in OF_EVERY_PAGE or block.page in STORIES or block.page in (TUTORIAL, *ELSEWHERE)
    )


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_block_is_tried_or_says_why_not(block: Block) -> None:
    assert block.kind in KINDS, "what kind of block is it?"
    if block.not_run is None:
        assert is_tried(block), "give the page a story, or write <!-- not run: REASON --> above"
    else:
        assert A_REASON <= len(block.not_run.split()), "the reason?"


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_only_what_is_shown_names_the_command_that_shows_it(block: Block) -> None:
    if block.kind == "json":
        assert block.not_run or block.shown_by
    elif block.kind != "text":
        assert block.shown_by is None


def test_every_story_has_something_to_tell() -> None:
    pages = {block.page for block in BLOCKS if block.not_run is None}
    assert set(STORIES) - pages == set()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_block_stands_between_fences(path) -> None:
    """A block that is only indented says not of what kind it is."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    assert re.findall(r"\n\n(?: {4}|\t).*", text) == []
    assert "~~~" not in text
    assert re.findall(r"^ +```", text, flags=re.M) == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_comment_belongs_to_a_block(path) -> None:
    text = path.read_text(encoding="utf-8")
    comments = re.findall(r"^<!-- (?!generated: |/generated).*", text, flags=re.M)
    taken = re.findall(r"^<!-- (?:not run|shown by): .+ -->\n+```\w", text, flags=re.M)
    assert len(comments) == len(taken), comments
