from tests.machines.upgrades import Upgrades


class TestBookworm(Upgrades):
    release = "bookworm"
