"""How often all is measured: as often as it takes, or but a few times, to see whether it runs."""

from __future__ import annotations

import os

VARIABLE = "PAM_TOTP_BENCH_ROUNDS"
_MOST = int(os.environ.get(VARIABLE) or 0)
IS_QUICK = _MOST > 0


def rounds(count: int) -> int:
    return min(count, _MOST) if IS_QUICK else count


def with_a_first(count: int) -> range:
    """Return the numbers of the rounds: 0 is one before them that does not count."""
    return range(1 if IS_QUICK else 0, count + 1)
