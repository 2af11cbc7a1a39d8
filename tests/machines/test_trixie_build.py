"""By night: a build as a developer makes it. What by day is installed was built in trixie too."""

from pathlib import Path

import pytest

from tests.machines.building import WITH_A_TEST_THAT_FAILS, Building
from tests.machines.packages import build_into


@pytest.mark.night
class TestTrixie(Building):
    release = "trixie"

    def test_build_whose_tests_fail_gives_no_package(self, builder: Path, tmp_path: Path) -> None:
        with pytest.raises(AssertionError, match="a test of tomorrow"):
            build_into(tmp_path / "broken", builder, WITH_A_TEST_THAT_FAILS)
        assert [] == list(tmp_path.iterdir())
