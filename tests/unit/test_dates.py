"""Days, and the seconds at which they end."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pam_totp.core import dates

days = st.dates(date(1970, 1, 1), date(9999, 12, 31))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(days)
def test_the_end_of_a_day_is_the_first_second_of_the_next(day: date) -> None:
    seconds = (datetime(day.year, day.month, day.day, tzinfo=UTC) - EPOCH).total_seconds()
    assert int(seconds) + 86_400 == dates.end_of_day(day.isoformat())


@given(days, st.integers(0, 86_399))
@example(date(9999, 12, 31), 86_399)
def test_every_second_belongs_to_its_day(day: date, second: int) -> None:
    until = dates.end_of_day(day.isoformat())
    assert day.isoformat() == dates.day_of(until - 86_400 + second)
    following = "10000-01-01" if day == date.max else (day + timedelta(1)).isoformat()
    assert following == dates.day_of(until)
    assert day.isoformat() == dates.last_day(until)


@given(st.text(max_size=12) | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", fullmatch=True))
def test_a_text_is_a_day_of_the_calendar_or_refused(text: str) -> None:
    try:
        expected = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
        good = text.isascii() and len(text) == 10 and expected >= EPOCH
    except ValueError:
        good = False
    if good:
        assert int((expected - EPOCH).total_seconds()) + 86_400 == dates.end_of_day(text)
    else:
        with pytest.raises(ValueError, match="a day, as YYYY-MM-DD"):
            dates.end_of_day(text)


@pytest.mark.parametrize("text", ["20261231", "2026-W53-4", "2026W534", "1969-12-31", "2026-02-29"])
def test_what_iso_8601_allows_besides_and_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a day, as YYYY-MM-DD"):
        dates.end_of_day(text)
