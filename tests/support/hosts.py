"""Who runs the hook when a PAM line is reached: tests/pam and tests/e2e run over all of them.

pam_python    the application itself, through pam_python.so
service       a worker that listens: pam_totp.so asks it
spawned       nobody listens: pam_totp.so, as root, starts a worker for the one login
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.support import thorough

PAM_PYTHON, SERVICE, SPAWNED = "pam_python", "service", "spawned"
NATIVE = (SERVICE, SPAWNED)
SOCKET = "/run/pam_totp/pam_totp.sock"
ALL = (PAM_PYTHON, SERVICE, pytest.param(SPAWNED, marks=pytest.mark.root))


def only(*names: str) -> pytest.MarkDecorator:
    """Mark a test that is about these hosts alone; a line beside it says why."""
    wanted = [host for host in ALL if getattr(host, "values", (host,))[0] in names]
    return pytest.mark.parametrize("host", wanted, indirect=True)


def mostly_service(name: str, cases: Mapping[str, object]) -> pytest.MarkDecorator:
    """Run a test with each of ``cases`` as ``name``, and the service; by day with some and others.

    For what is judged in the same way wherever it was said: only how it gets there is different.
    """
    few = thorough.some(list(cases), 5)
    pairs = [
        pytest.param(host, cases[case], id=f"{host}-{case}", marks=marks)
        for host, marks in ((SERVICE, ()), (PAM_PYTHON, ()), (SPAWNED, pytest.mark.root))
        for case in (cases if host == SERVICE else few)
    ]
    return pytest.mark.parametrize(("host", name), pairs, indirect=["host"])


def module_of(host: str) -> str:
    """Return what an installed PAM line says where the examples say ``pam_totp.so``."""
    return "pam_python.so /usr/lib/pam_totp/hook.py" if host == PAM_PYTHON else "pam_totp.so"


def program(line: str) -> str:
    """Return ``sshd[123]`` of ``<86>Nov 22 15:28:16 sshd[123]: ...``."""
    return line.split(": ")[0].split(" ")[-1]
