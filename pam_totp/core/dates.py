"""Days as people write them, YYYY-MM-DD in UTC, and as unix times."""

from __future__ import annotations

from datetime import date

DAY = 86400  # seconds; unix time knows no leap seconds
_EPOCH = date(1970, 1, 1).toordinal()
_LAST = date.max.toordinal()
_AFTER_THE_LAST = "10000-01-01"  # what follows the last day that date knows, and may be written


def end_of_day(text: str) -> int:
    """Return the unix time of the first second after the day ``text``. Raises ValueError.

    From 1970 on. Of what ISO 8601 allows, YYYY-MM-DD alone: fromisoformat() takes 20261231 and
    2026-W53-4 as well.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text or day.year < 1970:
        raise ValueError("a day, as YYYY-MM-DD")
    return (day.toordinal() - _EPOCH + 1) * DAY


def day_of(unix_time: int) -> str:
    """Return the day of ``unix_time`` as YYYY-MM-DD; of all beyond year 9999, the first one."""
    ordinal = _EPOCH + unix_time // DAY
    return date.fromordinal(ordinal).isoformat() if ordinal <= _LAST else _AFTER_THE_LAST


def last_day(until: int) -> str:
    """Return the last day before ``until``, which is the first second after it."""
    return day_of(until - 1)
