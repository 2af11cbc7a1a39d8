from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.e2e import doctor_machine
from tests.support import hosts
from tests.support.machine import Account, Machine

ACCOUNTS = "/etc/passwd /etc/shadow /etc/group /etc/gshadow /etc/subuid /etc/subgid /home/alice"
PREPARED = (*ACCOUNTS.split(), "/etc/security/pam_totp.key", "/var/lib/pam_totp")


class Prepared(NamedTuple):
    """The same for every machine: what is installed, and an enrolled user."""

    files: bytes  # a tar archive
    alice: Account


@pytest.fixture(scope="session")
def prepared() -> Prepared:
    with Machine(installed=True) as machine:
        machine.run("totpctl", "init")
        alice = machine.enrol("alice")
        pack = 'tar --create "$@" | base64 --wrap=0'
        packed = machine.run("sh", "-c", pack, "sh", "--absolute-names", *PREPARED).stdout
    # The home of a copy is younger than the enrollment, and doctor counts in seconds: it looks as
    # if the account was made again, where /home is not younger as well.
    time.sleep(1 - time.time() % 1)
    return Prepared(base64.b64decode(packed), alice)


@pytest.fixture(params=hosts.ALL)
def host(request: pytest.FixtureRequest) -> str:
    """Who runs the hook: every test runs with each of them."""
    return request.param


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what cannot be: the hook refuses to run under pam_python in su."""
    for item in items[:]:
        params = item.callspec.params if hasattr(item, "callspec") else {}
        if (params.get("door"), params.get("host")) == ("su", hosts.PAM_PYTHON):
            items.remove(item)


@pytest.fixture
def machine(prepared: Prepared, host: str) -> Iterator[Machine]:
    """A throw-away copy of this machine: the product, ``host`` in PAM files, and alice."""
    with Machine(installed=True) as started:
        started.pam_module = hosts.module_of(host)
        started.unpack(prepared.files)
        service = started.start_service() if host == hosts.SERVICE else None
        yield started
        if service is not None:  # not in secret a worker of the login's own
            served = {
                hosts.program(line) for line in started.log.lines() if ":auth): event=" in line
            }
            assert served <= {f"pam_totp[{service}]"}


@pytest.fixture(scope="session")
def clean() -> doctor_machine.Clean:
    return doctor_machine.prepare()


@pytest.fixture
def doctored(clean: doctor_machine.Clean) -> Iterator[doctor_machine.Doctored]:
    """A machine on which sshd and sudo ask for a code, and nothing is wrong."""
    with doctor_machine.clean_machine(clean) as machine:
        yield machine


@pytest.fixture
def alice(machine: Machine, prepared: Prepared) -> Account:
    return prepared.alice


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Show the machine's log where a test failed."""
    outcome = yield
    report = outcome.get_result()
    started = getattr(item, "funcargs", {}).get("machine")
    if report.failed and report.when != "teardown" and started is not None:
        report.sections.append(("machine log", started.log.text()))
