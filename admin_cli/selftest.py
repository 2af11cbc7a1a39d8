"""The installed chain, tried as an application would: pamtester, libpam, pam_python, the hook."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from pam_totp import otp, recovery, sealing, store
from pam_totp.verifier import Authenticator, UserRecord

from . import ui

PAM_FOLDER = Path("/etc/pam.d")
SERVICE_PREFIX = "pam_totp-selftest."
HOOK = Path(__file__).resolve().parents[1] / "hook.py"
TIMEOUT = 60  # seconds


class Check(NamedTuple):
    name: str
    passed: bool
    detail: str


def run() -> list[Check]:
    """Return what was tried, in order. Raises ui.CommandFailed where it cannot be tried."""
    pamtester = shutil.which("pamtester", path="/usr/bin:/usr/local/bin")
    if pamtester is None:
        raise ui.CommandFailed("pamtester is missing", "run: apt install pamtester")
    hook = HOOK if HOOK.exists() else HOOK.parent / "pam_totp" / "hook.py"
    user = pwd.getpwuid(0).pw_name
    service = PAM_FOLDER / f"{SERVICE_PREFIX}{os.getpid()}"
    _remove_leftovers()
    with _StopsInAnOrderlyWay(), tempfile.TemporaryDirectory(prefix=SERVICE_PREFIX) as folder:
        secret, code = os.urandom(20), recovery.format_code(os.urandom(recovery.RANDOM_BYTES))
        config_path = _make_place(Path(folder), user, secret, code)
        try:
            service.write_text(f"auth required pam_python.so {hook} config={config_path}\n")
            return _try_all([pamtester, service.name, user, "authenticate"], secret, code)
        finally:
            service.unlink(missing_ok=True)


class _StopsInAnOrderlyWay:
    """A SIGTERM, or the terminal gone (SIGHUP), ends the block as Ctrl-C does: cleaning up."""

    def __enter__(self) -> None:
        self._before = {
            number: signal.signal(number, signal.default_int_handler)
            for number in (signal.SIGTERM, signal.SIGHUP)
            if signal.getsignal(number) != signal.SIG_IGN  # nohup
        }

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _remove_leftovers() -> None:
    """Remove what a self-test that was killed (SIGKILL, power cut) left behind."""
    for leftover in PAM_FOLDER.glob(f"{SERVICE_PREFIX}*"):
        if not Path("/proc", leftover.name.removeprefix(SERVICE_PREFIX)).exists():
            leftover.unlink(missing_ok=True)


def _try_all(command: list[str], secret: bytes, recovery_code: str) -> list[Check]:
    right = otp.hotp(secret, otp.time_step(int(time.time()), 30))
    wrong = f"{(int(right) + 1) % 10**6:06d}"
    return [
        _try("a right code is accepted", command, right, expected=True),
        _try("the same code again is refused", command, right, expected=False),
        _try("a wrong code is refused", command, wrong, expected=False),
        _try("a recovery code is accepted", command, recovery_code, expected=True),
        _try("the same recovery code again is refused", command, recovery_code, expected=False),
    ]


def _try(name: str, command: list[str], answer: str, *, expected: bool) -> Check:
    try:
        tried = subprocess.run(
            command,
            input=f"{answer}\n",
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Check(name, passed=False, detail="pamtester did not come back")
    output = " ".join((tried.stdout + tried.stderr).split())
    refused = "Authentication failure" in output  # PAM_AUTH_ERR: denied by the verdict, not a fault
    passed = tried.returncode == 0 if expected else tried.returncode != 0 and refused
    return Check(name, passed, "" if passed else output)


def _make_place(folder: Path, user: str, secret: bytes, recovery_code: str) -> Path:
    """Make a sealing key, a store with one user, and a configuration that names them."""
    key_path, config_path = folder / "key", folder / "pam_totp.conf"
    descriptor = os.open(key_path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        os.write(descriptor, sealing.generate_key_file())
    finally:
        os.close(descriptor)
    store_path = folder / "store.db"
    sealer = sealing.read_sealer(str(key_path))
    store.create_store(str(store_path), sealer)
    salt = os.urandom(recovery.SALT_BYTES)
    record = UserRecord(
        user,
        recovery_salt=salt,
        recovery_digests=frozenset([recovery.digest(recovery_code.replace("-", ""), salt)]),
        authenticators=(Authenticator("selftest", "selftest", secret),),
    )
    with store.open_store(str(store_path), sealer) as opened, opened.transaction(user) as own:
        own.save(record)
    config_path.write_text(
        f"store = {store_path}\nsealing_key = {key_path}\nattempts = 1\n", encoding="utf-8"
    )
    config_path.chmod(0o644)
    return config_path
