from __future__ import annotations

import contextlib
import gc
import os
import resource
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from _pytest.runner import runtestprotocol

from pam_totp.system import audit
from tests.support import thorough
from tests.support.logs import LogSocket
from tests.support.place import ROOT, Place

if TYPE_CHECKING:
    from tests.support.postgres import Cluster, Database

# The parts, and in them the files, that take longest: a worker has a whole file, and the last one
# to end should have begun with it, not ended with it. Those of the fleet wait more than they work.
LONGEST = (
    *("booted/test_sandbox", "booted/test_administrator", "e2e/test_doctor_machine"),
    *("e2e/test_doctor_logins", "e2e/test_doctor_against", "machines/test_trixie_upgrade"),
    # The last Debian that is fetched has all that a build takes: whoever comes early only waits.
    *("machines/test_bookworm_life", "booted/", "docs/", "machines/", "fleet/", "e2e/", "faults/"),
    *("native/", "cli/", "unit/", "contract/", "packaging/", "pam/"),
)

# How long an example takes depends on the machine, not on the code. No test has a target; without
# one that phase shrinks examples for nothing, which took three quarters of the time of a property.
hypothesis.settings.register_profile(
    "pam_totp",
    deadline=None,
    max_examples=500 if thorough.NIGHTLY else 25,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    phases=[phase for phase in hypothesis.Phase if phase != hypothesis.Phase.target],
)
hypothesis.settings.load_profile("pam_totp")


def pytest_configure(config: pytest.Config) -> None:
    """Let no test depend on how it was started: from which terminal, in which language, by nohup.

    What this process ignores of signals, and its environment, all programs of the tests inherit.
    """
    for name in list(os.environ):
        if name in ("LANG", "LANGUAGE", "COLUMNS", "LINES", "NO_COLOR") or name.startswith("LC_"):
            del os.environ[name]
    os.environ |= {"LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.getsid(0) == 0:  # its leader is outside of this PID namespace
        with contextlib.suppress(PermissionError):  # as the leader of a process group
            os.setsid()
    config.option.loadscopereorder = False  # newer versions of xdist have an order of their own


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let the LONGEST come first, and by day leave out what is for the night."""
    if not thorough.NIGHTLY:
        for_the_night = [item for item in items if item.get_closest_marker("night")]
        items[:] = [item for item in items if not item.get_closest_marker("night")]
        config.hook.pytest_deselected(items=for_the_night)

    def rank(item: pytest.Item) -> int:
        path = item.path.relative_to(ROOT / "tests").as_posix()
        return next((n for n, name in enumerate(LONGEST) if path.startswith(name)), len(LONGEST))

    items.sort(key=rank)


def pytest_collection_finish() -> None:
    """Thousands of tests stay to the end: the garbage collector need not look at them so often.

    They are not frozen: Hypothesis asks the collector who refers to what it keeps.
    """
    gc.collect()
    gc.set_threshold(20_000, 20, 50)


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Of each test, a worker of xdist sends one report, and not three."""
    if not hasattr(item.config, "workerinput"):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in runtestprotocol(item, nextitem=nextitem, log=False):
        if report.when == "call" or not report.passed:
            item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.fixture(autouse=True)
def no_trace_in_this_process() -> Iterator[None]:
    """The tests of a worker share a process: what one changes in it, and leaves, others trip on."""
    before = _of_this_process()
    yield
    after = _of_this_process()
    os.umask(before["umask"])
    os.chdir(before["folder"])
    assert before == after


def _of_this_process() -> dict[str, Any]:
    umask = os.umask(0o077)
    os.umask(umask)
    core, _ = resource.getrlimit(resource.RLIMIT_CORE)
    return {"umask": umask, "folder": os.getcwd(), "core": core}


_FOLDERS = pytest.StashKey[list[str]]()


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is gone after its test: pytest's own looks through all that it made before."""
    folder = tempfile.mkdtemp(dir=tmp_path_factory.getbasetemp())
    request.node.stash.setdefault(_FOLDERS, []).append(folder)
    return Path(folder)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Remove its folder once nothing that the test changed in this process is left."""
    yield
    for folder in item.stash.get(_FOLDERS, []):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A fresh configuration, sealing key and store."""
    return Place(tmp_path)


@pytest.fixture
def place_in_use(tmp_path: Path) -> Place:
    """A place whose store has its room for logins: for tests that are not about making one."""
    return Place(tmp_path, in_use=True)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LogSocket]:
    """What this process writes to the audit log, which reaches nobody else's."""
    socket = LogSocket(tmp_path / "log")
    monkeypatch.setattr(audit, "SYSLOG_SOCKET", str(socket.path))
    yield socket
    socket.close()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL for all tests of this process."""
    from tests.support.postgres import Cluster  # which few tests need

    cluster = Cluster()
    yield cluster
    cluster.remove()


@pytest.fixture
def database(cluster: Cluster) -> Iterator[Database]:
    """A fresh database of the fleet."""
    with cluster.database() as database:
        yield database
