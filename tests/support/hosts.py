"""Who runs the hook when a PAM line is reached: tests/pam and tests/e2e run over all of them.

pam_python    the application itself, through pam_python.so
service       a worker that listens: pam_totp.so asks it
spawned       nobody listens: pam_totp.so, as root, starts a worker for the one login
"""

from __future__ import annotations

import pytest

PAM_PYTHON, SERVICE, SPAWNED = "pam_python", "service", "spawned"
NATIVE = (SERVICE, SPAWNED)
ALL = (PAM_PYTHON, SERVICE, pytest.param(SPAWNED, marks=pytest.mark.root))


def only(*names: str) -> pytest.MarkDecorator:
    """Mark a test that is about these hosts alone; a line beside it says why."""
    wanted = [host for host in ALL if getattr(host, "values", (host,))[0] in names]
    return pytest.mark.parametrize("host", wanted, indirect=True)
