from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machines.packages import LATER, NEXT, THIS, package
from tests.machines.server import Server
from tests.support.booted_base import base_of


@pytest.fixture(scope="class")
def tree(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A release that boots, with all that the package depends on, and without the package."""
    with base_of(request.cls.release) as tree:
        yield tree


@pytest.fixture
def bare(request: pytest.FixtureRequest, tree: Path) -> Iterator[Server]:
    """A server before the package is installed; /packages has what it is to install."""
    builds = [THIS, *(build for build in (LATER, NEXT) if build.name in request.cls.builds)]
    with Server(request.cls.release, tree, {b.name: package(tree, b) for b in builds}) as server:
        yield server


@pytest.fixture
def server(bare: Server) -> Server:
    """A server on which the package is installed."""
    bare.apt("install", bare.deb("this"))
    return bare


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Show the server's journal, and what apt said last, where a test failed."""
    outcome = yield
    report = outcome.get_result()
    server = getattr(item, "funcargs", {}).get("bare")
    if report.failed and server is not None:
        report.sections.append(("apt", server.said))
        lines = server.run("journalctl", "--no-pager", "--lines=100", check=False).stdout
        report.sections.append(("journal", lines))
