from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.booted import logins
from tests.support import package, thorough
from tests.support.booted import Booted
from tests.support.booted_base import base_of
from tests.support.machine import Account

RELEASES = ("trixie", "bookworm")  # Debian 13 and 12: systemd 257 and 252
BY_DAY = RELEASES if thorough.NIGHTLY else RELEASES[:1]


@pytest.fixture(scope="session", params=BY_DAY)
def base(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """A release, and the folder with its tree, made if need be.

    A test that by day is about both releases too is parametrized with RELEASES.
    """
    with base_of(request.param) as tree:
        yield request.param, str(tree)


@pytest.fixture
def fresh(base: tuple[str, str]) -> Iterator[Booted]:
    """A booted Debian with the package, and no more.

    It was installed before the boot, once for all of these machines.
    """
    with _booted(base) as booted:
        yield booted


@contextmanager
def _booted(base: tuple[str, str]) -> Iterator[Booted]:
    release, tree = base
    with Booted(release, package.installed(release, Path(tree))) as booted:
        booted.run("totpctl", "init")
        yield booted


@pytest.fixture(scope="module")
def machine_of_the_file(base: tuple[str, str]) -> Iterator[Booted]:
    with _booted(base) as booted:
        logins.set_up(booted)
        yield booted


@pytest.fixture
def shared(machine_of_the_file: Booted) -> Iterator[Booted]:
    """As ``machine``, and one for all tests of a file that leave it as it was, but for users."""
    yield machine_of_the_file
    machine_of_the_file.systemctl("reset-failed")  # and what systemd counts as starts


@pytest.fixture(scope="module")
def users_of_shared(machine_of_the_file: Booted) -> Iterator[Account]:
    return _users(machine_of_the_file)


@pytest.fixture
def machine(fresh: Booted) -> Booted:
    """A booted Debian with the package, in which codes are asked for."""
    logins.set_up(fresh)
    return fresh


@pytest.fixture
def alice(machine: Booted) -> Account:
    return machine.add_user("alice")


@pytest.fixture
def users(machine: Booted) -> Iterator[Account]:
    """Users one after the other: a code is good for one login only."""
    return _users(machine)


def _users(machine: Booted) -> Iterator[Account]:
    return machine.add_users([f"user{number}" for number in range(1, 101)])


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Show the machine's journal where a test failed."""
    outcome = yield
    report = outcome.get_result()
    there = getattr(item, "funcargs", {}).values()
    booted = next((machine for machine in there if isinstance(machine, Booted)), None)
    if report.failed and booted is not None:
        report.sections.append(("console", booted.console()))
        lines = booted.run("journalctl", "--no-pager", "--lines=200", check=False).stdout
        report.sections.append(("journal", lines))
