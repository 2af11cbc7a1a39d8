from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.native import fake_worker, module_side
from tests.native.slow_disk import preloaded as preloaded
from tests.support.installation import Installation
from tests.support.logs import LogSocket


@pytest.fixture(scope="session")
def built_side() -> Iterator[module_side.Side]:
    side = module_side.Side()
    yield side
    side.remove()


@pytest.fixture
def side(built_side: module_side.Side) -> Iterator[module_side.Side]:
    """The module and an application, and the paths of a socket and a worker that are not there."""
    yield built_side
    built_side.clear()


@pytest.fixture
def serve(side: module_side.Side) -> Iterator[Callable[[fake_worker.Script], fake_worker.Worker]]:
    """Start a service that says what a script says."""
    started: list[fake_worker.Worker] = []

    def start(script: fake_worker.Script) -> fake_worker.Worker:
        started.append(fake_worker.Worker(side.socket, script))
        return started[-1]

    yield start
    for worker in started:
        worker.__exit__()


@pytest.fixture(scope="session")
def product(built_side: module_side.Side) -> Iterator[module_side.Product]:
    """The real worker, for side.worker to lead to."""
    folder = built_side.folder / "product"
    installation = Installation(folder, folder / "log")
    log = LogSocket(folder / "log")
    yield module_side.Product(installation.folder / "worker", log)
    log.close()
