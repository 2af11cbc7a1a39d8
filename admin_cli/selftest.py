"""The installed chain, tried as an application would: libpam, the module, the hook, a store.

pam_totp.so by way of python-pam: it brings libpam into a Python process, where pam_python.so
crashes. That one is tried with pamtester.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pam_totp
from pam_totp import store
from pam_totp.core import otp, recovery
from pam_totp.core.users import Authenticator, UserRecord
from pam_totp.stack.pam_ways import NATIVE_MODULE, PAM_PYTHON_MODULE

from .errors import CommandFailed
from .host import programs
from .host.signals import interruptible

PAM_FOLDER = Path("/etc/pam.d")
PLACES = Path("/run/pam_totp")  # where the worker's service sees and may write them too
SERVICE_PREFIX = "pam_totp-selftest."
HOOK = Path(pam_totp.__file__).resolve().parents[1] / "hook.py"
MODULE_FOLDERS = ("usr/lib/*/security", "usr/lib64/security", "usr/lib/security")
TIMEOUT = 60  # seconds
PAM_SUCCESS, PAM_AUTH_ERR = 0, 7

Application = Callable[[str], tuple[int | None, str]]  # an answer -> PAM code, and what was said


class Attempt(NamedTuple):
    name: str
    passed: bool
    detail: str


def default_module() -> str:
    """Return pam_totp.so if it is installed, else pam_python.so."""
    found = any(any(Path("/").glob(f"{folder}/{NATIVE_MODULE}")) for folder in MODULE_FOLDERS)
    return NATIVE_MODULE if found else PAM_PYTHON_MODULE


def run(module: str) -> list[Attempt]:
    """Return what was tried, in order. Raises CommandFailed where it cannot be tried."""
    user = pwd.getpwuid(0).pw_name
    service = PAM_FOLDER / f"{SERVICE_PREFIX}{os.getpid()}"
    open_application = _python_pam if module == NATIVE_MODULE else _pamtester
    application = open_application(service.name, user)
    _remove_leftovers()
    _make_places()
    with (
        interruptible(),
        tempfile.TemporaryDirectory(prefix=SERVICE_PREFIX, dir=PLACES) as folder,
    ):
        secret, code = os.urandom(20), recovery.format_code(os.urandom(recovery.RANDOM_BYTES))
        config_path = _make_place(Path(folder), user, secret, code)
        try:
            service.write_text(
                f"auth required {_module_with_hook(module)} config={config_path}\n"
                "account required pam_permit.so\n"
            )
            return _try_all(application, secret, code)
        finally:
            service.unlink(missing_ok=True)


def _make_places() -> None:
    """Make the folder for all, whatever the umask: the worker's socket decides who may use it."""
    if not PLACES.is_dir():
        PLACES.mkdir()
        PLACES.chmod(0o755)


def _module_with_hook(module: str) -> str:
    if module == NATIVE_MODULE:
        return module
    hook = HOOK if HOOK.exists() else HOOK.parent / "pam_totp" / "hook.py"
    return f"{module} {hook}"


def _python_pam(service: str, user: str) -> Application:
    try:
        import pam
    except ImportError as error:
        raise CommandFailed(
            f"python-pam cannot be loaded: no {error.name}",
            "run: apt install python3-pampy python3-six",
        ) from None

    # One for all attempts: it runs ldconfig to find libpam. Each attempt calls pam_start().
    application = pam.PamAuthenticator()

    def authenticate(answer: str) -> tuple[int | None, str]:
        with _no_terminal():
            application.authenticate(user, answer, service=service)
        return application.code, str(application.reason)

    return authenticate


@contextmanager
def _no_terminal() -> Iterator[None]:
    """Let /dev/null be standard input.

    pam asks for the name of a terminal that is there, and fails where it has none: whoever comes
    into a container with nsenter brings a terminal of the machine around it.
    """
    kept = os.dup(0)
    try:
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        yield
    finally:
        os.dup2(kept, 0)
        os.close(kept)


def _pamtester(service: str, user: str) -> Application:
    pamtester = shutil.which("pamtester", path=programs.PATH_WITH_LOCAL)
    if pamtester is None:
        raise CommandFailed("pamtester is missing", "run: apt install pamtester")
    command = [pamtester, service, user, "authenticate"]

    def authenticate(answer: str) -> tuple[int | None, str]:
        try:
            tried = programs.run(command, typed=f"{answer}\n", timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            return None, "pamtester did not finish"
        output = " ".join((tried.stdout + tried.stderr).split())
        if tried.returncode == 0:
            return PAM_SUCCESS, output
        return (PAM_AUTH_ERR if "Authentication failure" in output else None), output

    return authenticate


def _remove_leftovers() -> None:
    """Remove what a self-test that was killed (SIGKILL, power cut) left behind."""
    for leftover in PAM_FOLDER.glob(f"{SERVICE_PREFIX}*"):
        if not Path("/proc", leftover.name.removeprefix(SERVICE_PREFIX)).exists():
            leftover.unlink(missing_ok=True)


def _try_all(application: Application, secret: bytes, recovery_code: str) -> list[Attempt]:
    right = otp.hotp(secret, otp.time_step(int(time.time()), 30))
    wrong = f"{(int(right) + 1) % 10**6:06d}"
    return [
        _try("a correct code is accepted", application, right, PAM_SUCCESS),
        _try("the same code again is refused", application, right, PAM_AUTH_ERR),
        _try("a wrong code is refused", application, wrong, PAM_AUTH_ERR),
        _try("a recovery code is accepted", application, recovery_code, PAM_SUCCESS),
        _try("the same recovery code again is refused", application, recovery_code, PAM_AUTH_ERR),
    ]


def _try(name: str, application: Application, answer: str, expected: int) -> Attempt:
    """PAM_AUTH_ERR is what a verdict gives: any other code is a fault, not a refusal."""
    code, said = application(answer)
    return Attempt(name, code == expected, "" if code == expected else said)


def _make_place(folder: Path, user: str, secret: bytes, recovery_code: str) -> Path:
    """Make a sealing key, a store with one user, and a configuration that names them."""
    from pam_totp.store import sealing  # with PyNaCl: what takes codes out of a PAM file spares it

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
        f"store = {store_path}\nsealing_key = {key_path}\nattempts = 1\nlanguage = en\n",
        encoding="utf-8",
    )
    config_path.chmod(0o644)
    return config_path
