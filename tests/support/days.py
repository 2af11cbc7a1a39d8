"""Days in UTC, as deadlines name them, for tests that must not care when they run."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

_A_TEST = 15  # seconds that a test may take, at most
_DAY = 24 * 60 * 60


def day(offset: int) -> str:
    """Return the day that is ``offset`` days from today, and stays so until a test has ended."""
    left = _DAY - time.time() % _DAY
    if left < _A_TEST:
        time.sleep(left)
    return (datetime.now(UTC) + timedelta(days=offset)).strftime("%Y-%m-%d")
