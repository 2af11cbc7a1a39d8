from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pam_totp import audit
from tests.support.logs import LogSocket
from tests.support.place import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A fresh configuration, sealing key and store."""
    return Place(tmp_path)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LogSocket]:
    """What this process writes to the audit log, which reaches nobody else's."""
    socket = LogSocket(tmp_path / "log")
    monkeypatch.setattr(audit, "SYSLOG_SOCKET", str(socket.path))
    yield socket
    socket.close()
