"""As test_pages.py, for pages that take half a minute: another worker can have this file."""

from __future__ import annotations

import pytest

from tests.docs.playing import play
from tests.support import thorough

pytestmark = pytest.mark.root
LONG = ("README.md", "docs/howto/ansible.md")
BY_DAY = LONG if thorough.NIGHTLY else LONG[:1]


@pytest.mark.parametrize("page", BY_DAY)
def test_what_the_long_page_says_is_so(page: str, tree: str) -> None:
    play(page, tree)
