"""totpctl as a process of its own, as a shell would start it."""

from __future__ import annotations

import atexit
import functools
import json
import os
import pwd
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.place import ROOT, Place
from tests.support.starter import Running, Starter

TIMEOUT = 60  # seconds: a test that waits longer has failed
ME = pwd.getpwuid(os.getuid()).pw_name

# Ten digests of Argon2id a person would take longer than all else.
_QUICK_DIGESTS = """
from pam_totp.core import recovery
recovery.ARGON2_PASSES, recovery.ARGON2_MEMORY_BYTES = 1, 8192
"""
# As long for a file of totpctl export: for tests that write and read many.
QUICK_SEALS = """
from admin_cli.exporting import sealed_file
sealed_file._PASSES, sealed_file._MEMORY_BYTES = 1, 8192
"""
# The real program, but for the names of two things outside of it.
_PROGRAM = """
import json, pwd, sys
from pam_totp.system import audit
audit.SYSLOG_SOCKET = sys.argv.pop(1)
from admin_cli.host import directory
people, known = json.loads(sys.argv.pop(1)), directory.person
def person(name):
    if name in people:
        return pwd.struct_passwd((people[name], "x", 4000, 4000, "", "/", "/bin/sh"))
    return known(name)
directory.person = person
from admin_cli.__main__ import run
run()
"""
PEOPLE = ("alice", "bob", "carol")
_ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "TERM": "xterm-256color",
    "NO_COLOR": "1",
    "PYTHONPATH": str(ROOT),
    "PYTHONDONTWRITEBYTECODE": "1",
}
_INTERPRETER = (sys.executable, "-W", "error")
_START = [*_INTERPRETER, "-c"]


@functools.cache
def _starter() -> Starter:
    starter = Starter(
        _INTERPRETER, _ENVIRONMENT, "pam_totp", "admin_cli", prepare="from psycopg import pq"
    )
    atexit.register(starter.close)
    return starter


def may_be_fork(command: list[str], environment: Mapping[str, str]) -> bool:
    """Tell whether nothing is changed of what Python looks at when it starts."""
    changed = {name for name, _ in environment.items() ^ _ENVIRONMENT.items()}
    return command[: len(_START)] == _START and not any(
        name.startswith(("PYTHON", "LC_")) for name in changed
    )


def fork_at_terminal(command: list[str], environment: Mapping[str, str], terminal: int) -> Running:
    """Start a fork that does as ``command``, in a session with the ``terminal`` of a descriptor."""
    program, *arguments = command[len(_START) :]
    return _starter().start(program, arguments, environment, [terminal] * 3, at_terminal=True)


class Result(NamedTuple):
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


class Totpctl:
    """Runs commands on ``place``. Everyone in PEOPLE, and ME, has an account."""

    def __init__(self, place: Place, log_path: Path) -> None:
        self.place = place
        self.log_path = log_path
        self.canonical: dict[str, str] = {}  # of names that the directory knows otherwise
        self.prelude = ""  # Python that runs before the program
        self.digests = _QUICK_DIGESTS  # "" where a login of a real service judges recovery codes
        self.environment = dict(_ENVIRONMENT)

    def command(self, *arguments: str) -> list[str]:
        return self.bare_command("--config", str(self.place.config_path), *arguments)

    def bare_command(self, *arguments: str) -> list[str]:
        """Return a command line that names no configuration."""
        people = {name: name for name in PEOPLE} | self.canonical
        outside = (str(self.log_path), json.dumps(people))
        return [*_START, self.digests + self.prelude + _PROGRAM, *outside, *arguments]

    def __call__(self, *arguments: str, answers: str = "", **environment: str) -> Result:
        """Run one command without a terminal, its standard input holding ``answers``."""
        return self.run(self.command(*arguments), answers, **environment)

    def run(self, command: list[str], answers: str = "", **environment: str) -> Result:
        typed = answers.encode("utf-8", "surrogateescape")
        if may_be_fork(command, self.environment | environment):
            program, *arguments = command[len(_START) :]
            done = _starter().run(
                program, arguments, self.environment | environment, typed, TIMEOUT
            )
        else:
            done = subprocess.run(
                command,
                input=typed,
                capture_output=True,
                env=self.environment | environment,
                timeout=TIMEOUT,
                check=False,
            )
        out, err = (text.decode("utf-8", "backslashreplace") for text in (done.stdout, done.stderr))
        assert "Traceback" not in err, err
        return Result(done.returncode, out, err)

    def into(self, stdout: int, *arguments: str) -> Result:
        """Run one command whose results go to the descriptor ``stdout``."""
        done = subprocess.run(
            self.command(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env=self.environment,
            timeout=TIMEOUT,
            check=False,
        )
        return Result(done.returncode, "", done.stderr.decode("utf-8"))

    def done(self, *arguments: str, answers: str = "") -> Result:
        """Run a command that must succeed."""
        result = self(*arguments, answers=answers)
        assert 0 == result.code, result.err
        return result


def is_in_order(place: Place) -> bool:
    """Tell whether there is one good key and one good store, and nothing beside them but a lock."""
    with place.open() as opened:
        problems = opened.check()
    names = [path.name for path in place.key_path.parent.iterdir()]
    names += [path.name for path in place.store_path.parent.iterdir()]
    beside = [
        n for n in names if re.match(r"(pam_totp\.key|store\.db)(?!$|-wal$|-shm$|\.lock$)", n)
    ]
    return not problems and not beside
