from tests.machines.building import WITHOUT, Building


class TestBookworm(Building):
    release = "bookworm"
    build = WITHOUT  # its tests take minutes: trixie's build has them
