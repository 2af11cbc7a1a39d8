from tests.machines.life import LifeOfAServer


class TestTrixie(LifeOfAServer):
    release = "trixie"
