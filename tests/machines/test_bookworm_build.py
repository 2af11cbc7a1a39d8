from tests.machines.building import Building


class TestBookworm(Building):
    release = "bookworm"
