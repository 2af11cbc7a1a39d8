"""By night: the scripts are the same on both releases, and LifeOfAServer removes it here."""

import pytest

from tests.machines.removals import Removals


@pytest.mark.night
class TestBookworm(Removals):
    release = "bookworm"
