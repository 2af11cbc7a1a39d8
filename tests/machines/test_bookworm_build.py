"""By night: what the older lintian says too. The package is built in both, by the other tests."""

from tests.machines.building import Building
from tests.support import thorough

if thorough.NIGHTLY:

    class TestBookworm(Building):
        release = "bookworm"
