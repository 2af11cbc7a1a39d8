from tests.machines.life import LifeOfAServer


class TestBookworm(LifeOfAServer):
    release = "bookworm"
