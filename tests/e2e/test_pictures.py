"""The screens in docs/pictures are what the program shows today, letter by letter."""

from __future__ import annotations

import pytest

from tests.pictures import scenes, svg

pytestmark = pytest.mark.root


def test_pictures_show_what_the_program_says() -> None:
    """Where this fails and the new words are meant: sudo make pictures."""
    recorded = scenes.record()
    drawn = {name: (scenes.PICTURES / name).read_text(encoding="utf-8") for name in recorded}
    for name, picture in recorded.items():
        assert svg.text_of(picture) == svg.text_of(drawn[name]), name
    assert recorded == drawn
