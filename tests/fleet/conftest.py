from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Make sure that a test leaves no thread and no descriptor."""

    def here() -> tuple[int, int]:
        return threading.active_count(), len(os.listdir("/proc/self/fd"))

    before = here()
    yield
    deadline = time.monotonic() + 5
    while here()[0] > before[0] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert before == here()
