"""A copy of pam_totp as it is installed, for every host, without root."""

from __future__ import annotations

import functools
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support import hosts
from tests.support.native import build_module
from tests.support.place import ROOT

TIMEOUT = 20  # seconds: a service that takes longer does not come, or does not go


@functools.cache
def _compiled() -> tempfile.TemporaryDirectory[str]:
    """Return a folder with pam_totp, of which everything is compiled: it is the same each time."""
    folder = tempfile.TemporaryDirectory(prefix="pam_totp-compiled.")
    package = Path(folder.name, "pam_totp")
    shutil.copytree(ROOT / "pam_totp", package, ignore=shutil.ignore_patterns("__pycache__"))
    compiling = [sys.executable, "-I", "-m", "compileall", "-q", package]
    subprocess.run(compiling, check=True)
    return folder


class Installation:
    """What is in ``folder``; ``now`` beside it leads to the one that pam_totp.so finds.

    Every file is the real one, but for one constant: audit writes to ``log_socket``.
    """

    def __init__(self, folder: Path, log_socket: Path) -> None:
        self.folder = folder
        self._now = folder.with_name("now")
        self._service: subprocess.Popen[bytes] | None = None
        shutil.copytree(Path(_compiled().name, "pam_totp"), folder / "pam_totp")
        audit = folder / "pam_totp" / "system" / "audit.py"
        text = audit.read_text(encoding="utf-8")
        before = 'SYSLOG_SOCKET = "/dev/log"'
        assert text.count(before) == 1
        audit.write_text(text.replace(before, f'SYSLOG_SOCKET = "{log_socket}"'), encoding="utf-8")
        (folder / "hook.py").symlink_to("pam_totp/hook.py")
        shutil.copy(ROOT / "packaging" / "worker", folder / "worker")
        subprocess.run([sys.executable, "-I", "-m", "compileall", "-q", audit], check=True)

    def take_place(self) -> None:
        """Be the one that pam_totp.so finds: it is built once, with the paths in it."""
        self._now.unlink(missing_ok=True)
        self._now.symlink_to(self.folder.name)

    def module(self, host: str) -> str:
        """Return what a PAM line names; see to it that the service listens, if it is asked."""
        if host == hosts.PAM_PYTHON:
            return f"pam_python.so {self.folder / 'hook.py'}"
        if host == hosts.SPAWNED:
            return self._build(socket_name="nobody", worker=self._now / "worker")
        if self._service is None:
            self._service = self.start_service()
            self._wait_for_service(self._service)
        # Never in secret a worker of its own: there is none at this path.
        return self._build(socket_name="service", worker=self._now / "no-worker")

    def start_service(self) -> subprocess.Popen[bytes]:
        command = [self.folder / "worker", "--listen", self.folder / "service"]
        return subprocess.Popen(command, env={}, cwd="/", stderr=subprocess.PIPE)

    def service_pid(self) -> int:
        assert self._service is not None
        return self._service.pid

    def close(self) -> None:
        """Stop the service, if it was started: it ends in order and complained of nothing."""
        if self._service is not None:
            self._service.terminate()
            _, complaints = self._service.communicate(timeout=TIMEOUT)
            self._service, ended = None, self._service
            assert (0, b"") == (ended.returncode, complaints)

    def _build(self, socket_name: str, worker: Path) -> str:
        paths = {"PAM_TOTP_SOCKET": self._now / socket_name, "PAM_TOTP_WORKER": worker}
        return str(build_module(*(f'-D{name}="{path}"' for name, path in paths.items())))

    def _wait_for_service(self, service: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + TIMEOUT
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
            while probe.connect_ex(str(self.folder / "service")) != 0:
                assert service.poll() is None, service.communicate()
                assert time.monotonic() < deadline, "the service does not listen"
                time.sleep(0.005)
