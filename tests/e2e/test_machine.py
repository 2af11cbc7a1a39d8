"""A Machine runs totpctl in a fork, which finds what it finds where it is executed."""

from __future__ import annotations

import json

import pytest

from tests.support.machine import Machine

pytestmark = pytest.mark.root

_TELL = """#!/usr/bin/python3 -I
import json, os, resource, signal, sys, warnings
streams = (sys.stdin, sys.stdout, sys.stderr)
umask = os.umask(0)
found = {
    "names": (__name__, __file__),
    "argv": sys.argv,
    "path": sys.path,
    "flags": (*sys.flags, sys.dont_write_bytecode),
    "warnings": repr(warnings.filters),
    "environment": dict(os.environ),
    "streams": [(s.encoding, s.errors, s.line_buffering, s.isatty()) for s in streams],
    "signals": [(int(n), str(signal.getsignal(n))) for n in sorted(signal.valid_signals())],
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "limits": [resource.getrlimit(n) for n in range(16)],
    "who": (os.getresuid(), os.getresgid(), os.getgroups()),
    "where": (os.getcwd(), umask, os.getsid(0) == os.getpid()),
    "files": sorted(map(int, os.listdir("/proc/self/fd")))[:-1],
    "comm": open("/proc/self/comm").read(),
    "ours": [name for name in sys.modules if name.startswith(("pam_totp", "admin_cli"))],
    "read": sys.stdin.read(),
}
print(json.dumps(found))
print("a complaint", file=sys.stderr)
sys.exit(sys.argv[1])
"""


def test_totpctl_that_is_forked_finds_what_it_finds_when_it_is_executed() -> None:
    with Machine() as machine:
        machine.write("/usr/sbin/totpctl", _TELL, mode=0o755)
        words = ("totpctl", "with a word", "--and", "m\u00fcll\udcff")
        executed = machine.run("env", *words, typed="typed", check=False)
        forked = machine.run(*words, typed="typed", check=False)
    assert 1 == executed.returncode, executed
    assert "a complaint\nwith a word\n" == executed.stderr
    assert json.loads(executed.stdout) == json.loads(forked.stdout)
    assert executed.stderr == forked.stderr
    assert executed.returncode == forked.returncode


def test_totpctl_that_is_forked_runs_what_is_installed_and_not_what_was_loaded_before() -> None:
    changed = "/usr/lib/pam_totp/pam_totp/__init__.py"
    with Machine() as machine:
        machine.install_product()
        before = machine.run("totpctl", "--version").stdout
        machine.run("sed", "-i", 's/^__version__ = .*/__version__ = "of another day"/', changed)
        after = machine.run("totpctl", "--version").stdout
        machine.run("rm", changed)
        gone = machine.run("totpctl", "--version", check=False)
    assert "of another day" not in before
    assert "of another day" in after
    assert 1 == gone.returncode
    assert "missing or half installed" in gone.stderr
