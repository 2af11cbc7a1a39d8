from tests.machines.building import Building


class TestTrixie(Building):
    release = "trixie"
