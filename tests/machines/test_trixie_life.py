"""By night: by day Debian 13 sees upgrades and removals, and Debian 12 this."""

import pytest

from tests.machines.life import LifeOfAServer


@pytest.mark.night
class TestTrixie(LifeOfAServer):
    release = "trixie"
