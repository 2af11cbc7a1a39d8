"""By night: the scripts are the same on both releases, and LifeOfAServer removes it on both."""

from tests.machines.removals import Removals
from tests.support import thorough

if thorough.NIGHTLY:

    class TestBookworm(Removals):
        release = "bookworm"
