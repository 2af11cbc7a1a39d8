from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docs.stories import RELEASE
from tests.support.booted_base import MORE, base_of


@pytest.fixture(scope="session")
def tree() -> Iterator[str]:
    """A Debian with all that the pages type."""
    with base_of(RELEASE, MORE) as tree:
        yield str(tree)
