from tests.machines.removals import Removals


class TestTrixie(Removals):
    release = "trixie"
