from tests.machines.removals import Removals


class TestBookworm(Removals):
    release = "bookworm"
