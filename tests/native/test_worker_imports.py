"""What a worker for one login loads: all of it runs as root while somebody waits."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.native import worker_side as side
from tests.native.worker_side import Client, Worker
from tests.support.place import ROOT, Place, code_now
from tests.unit.test_imports import BANNED, expected_modules, interpreter_version

IN_PROCESS = {"pam_totp.login.in_process", "pam_totp.system.core_files"}
MORE_MODULES = ROOT / "tests" / "vectors" / "worker_modules.txt"
ME = pwd.getpwuid(os.getuid()).pw_name

# Runs the loader as the interpreter does, and says at its end what it has loaded.
OBSERVED = """
import posix, sys
before = set(sys.modules)
end = posix._exit

def tell_and_end(status):
    print(*sorted(set(sys.modules) - before), flush=True)
    end(status)

posix._exit = tell_and_end  # where os finds it
sys.argv = [{loader!r}, "--connection", "3"]
with open({loader!r}, encoding="utf-8") as file:
    source = file.read()
exec(compile(source, {loader!r}, "exec"), dict(__name__="__main__", __file__={loader!r}))
"""


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with side.worker_in_a_folder() as worker:
        yield worker


def modules_of_a_login(worker: Worker, place: Place) -> list[str]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    script = OBSERVED.format(loader=str(worker.loader))
    with theirs:
        process = subprocess.Popen(
            [side.INTERPRETER, "-IS", "-c", script],
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.dup2(theirs.fileno(), 3),
            pass_fds=(3,),
        )
    with Client(connected=ours) as client:
        client.send(side.request(ME.encode(), arguments=side.of_place(place.config_path)))
        assert side.PAM_SUCCESS == client.answers(code_now()).code
    loaded, _ = process.communicate(timeout=side.TIMEOUT)
    assert 0 == process.returncode
    return loaded.split()


def test_a_worker_of_one_login_loads_exactly_the_modules_of_the_lists(
    worker: Worker, place: Place
) -> None:
    place.enrol(ME)
    version = interpreter_version()
    listed = {*expected_modules(version), *expected_modules(version, MORE_MODULES)} - IN_PROCESS
    loaded = set(modules_of_a_login(worker, place))
    # One that the bare interpreter has loaded already, with or without site, is no matter.
    assert set() == listed - loaded - loaded_without_asking(worker)
    assert set() == loaded - listed


def loaded_without_asking(worker: Worker) -> set[str]:
    command = [side.INTERPRETER, "-IS", "-c", "import sys; print(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 13)], ids=str)
def test_nothing_slow_is_on_the_list(version: tuple[int, ...]) -> None:
    assert set() == BANNED & set(expected_modules(version, MORE_MODULES))


def test_the_list_is_in_order_and_repeats_nothing() -> None:
    lines = [line for line in MORE_MODULES.read_text("utf-8").splitlines() if line[0] != "#"]
    names = [line.split()[0] for line in lines]
    assert names == sorted(set(names))
    assert set() == set(names) & set(expected_modules(sys.version_info[:2]))
