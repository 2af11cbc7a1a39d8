from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.machine import Account, Machine


@pytest.fixture
def machine() -> Iterator[Machine]:
    """A throw-away copy of this machine with the product installed by ``make install``."""
    with Machine() as started:
        started.install_product()
        yield started


@pytest.fixture
def alice(machine: Machine) -> Account:
    return machine.enrol("alice")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Show the machine's log where a test failed."""
    outcome = yield
    report = outcome.get_result()
    started = getattr(item, "funcargs", {}).get("machine")
    if report.failed and started is not None:
        report.sections.append(("machine log", started.log.text()))
