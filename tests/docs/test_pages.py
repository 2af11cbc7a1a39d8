"""Every command on a page works, in its order, on a machine of the page's own that has booted."""

from __future__ import annotations

import pytest

from tests.docs.playing import play
from tests.docs.stories import STORIES
from tests.docs.test_long_pages import LONG

pytestmark = pytest.mark.root


@pytest.mark.parametrize("page", sorted({*STORIES} - {*LONG}))
def test_what_the_page_says_is_so(page: str, tree: str) -> None:
    play(page, tree)
