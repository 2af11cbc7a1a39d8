from tests.machines.upgrades import Upgrades


class TestTrixie(Upgrades):
    release = "trixie"
