"""By night: what the older lintian says too. The package is built in both, by the other tests."""

import pytest

from tests.machines.building import Building


@pytest.mark.night
class TestBookworm(Building):
    release = "bookworm"
