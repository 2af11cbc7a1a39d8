"""Every command on a page works, in its order, on a machine of the page's own that has booted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docs.blocks import blocks_of
from tests.docs.playing import Playing
from tests.docs.stories import PACKAGES, STORIES
from tests.support.booted import Booted
from tests.support.booted_base import base_of
from tests.support.place import ROOT

pytestmark = pytest.mark.root
RELEASE = "trixie"  # the tutorial is followed on both: tests/booted/test_tutorial.py


@pytest.fixture(scope="module")
def tree() -> Iterator[str]:
    with base_of(RELEASE, PACKAGES) as tree:
        yield str(tree)


@pytest.mark.parametrize("page", STORIES)
def test_what_the_page_says_is_so(page: str, tree: str) -> None:
    with Booted(RELEASE, tree) as machine:
        playing = Playing(machine, STORIES[page])
        for block in blocks_of(ROOT / page):
            if block.not_run is None:
                playing.play(block)
        playing.end()
