"""PAM service files in a folder of our own, and pamtester as the application, without root.

libpam-wrapper turns libpam to that folder; libpam, both hosts and the hook are the real ones.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import pwd
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

# security/_pam_types.h
PAM_SUCCESS = 0
PAM_SERVICE_ERR = 3
PAM_PERM_DENIED = 6
PAM_AUTH_ERR = 7
PAM_AUTHINFO_UNAVAIL = 9
PAM_MAXTRIES = 11
PAM_CONV_ERR = 19
PAM_IGNORE = 25
PAM_BAD_ITEM = 29
LAST_CODE = 31

PROMPT = "Verification code: "
ME = pwd.getpwuid(os.getuid()).pw_name


class Result(NamedTuple):
    """What pamtester made of one stack: the PAM code, and everything it showed."""

    code: int
    shown: str
    module_log: list[str]  # what pam_totp.so itself wrote to the system log

    @property
    def prompts(self) -> int:
        return self.shown.count(PROMPT)


class Stack:
    """The service ``login`` in ``folder``, whose pam_totp lines name ``module``."""

    def __init__(self, folder: Path, module: str, config: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.module = module
        self._config = config
        self.probe()

    def line(self, *arguments: str, control: str = "required") -> str:
        """Return a PAM line with the hook, this place's configuration and ``arguments``."""
        words = ("auth", control, self.module, f"config={self._config}")
        return " ".join(map(str, (*words, *arguments)))

    def probe(self, *arguments: str) -> None:
        """One pam_totp line, in a stack that returns exactly the code that the hook returned.

        libpam never hands PAM_IGNORE to an application: here PAM_BAD_ITEM stands in for it.
        """
        control = "[success=done ignore=ignore default=die]"
        self.write(
            self.line(*arguments, control=control), "auth required pam_debug.so auth=bad_item"
        )

    def write(self, *lines: str) -> None:
        text = "".join(f"{line}\n" for line in lines)
        (self.folder / "login").write_text(text, encoding="utf-8")

    def authenticate(
        self,
        *answers: str | bytes,
        user: str = ME,
        service: str = "login",
        items: dict[str, str] | None = None,
        pam_environment: dict[str, str] | None = None,
        environment: dict[str, str] | None = None,
        operations: tuple[str, ...] = ("authenticate",),
        closed: bool = False,
        file_size_limit: int | None = None,
    ) -> Result:
        """Log in, typing ``answers``; then the input ends, or was ``closed`` from the start.

        No file can be written beyond ``file_size_limit`` bytes, a disk full in miniature; who
        cannot do without may raise that somewhat.
        """
        # Preloaded into pamtester alone: in a program that execs another it would leave a folder.
        command = ["env", "LD_PRELOAD=libpam_wrapper.so", "pamtester"]
        command += [f"-I{item}={value}" for item, value in (items or {}).items()]
        command += [f"-E{name}={value}" for name, value in (pam_environment or {}).items()]
        command += [service, user, *operations]
        if closed:
            command = ["sh", "-c", 'exec "$@" <&-', "sh", *command]
        if file_size_limit is not None:
            limit = ["prlimit", f"--fsize={file_size_limit}:{64 * file_size_limit}"]
            command = ["sh", "-c", 'trap "" XFSZ; exec "$@"', "sh", *limit, *command]
        lines = [a if isinstance(a, bytes) else a.encode("utf-8") for a in answers]
        with _alone():
            done = subprocess.run(
                command,
                input=b"".join(line + b"\n" for line in lines),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={
                    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                    "LC_ALL": "C",
                    **(environment or {}),
                    "PAM_WRAPPER": "1",
                    "PAM_WRAPPER_SERVICE_DIR": str(self.folder),
                },
                timeout=60,
                check=False,
            )
        shown = done.stdout.decode("utf-8", "backslashreplace")
        module_log = re.findall(r"PWRAP_ERROR.* SYSLOG\(\d\): (event=.*)\n", shown)
        shown = re.sub(r"PWRAP_ERROR.*\n", "", shown)
        return Result(_pam_code(done.returncode, shown), shown, module_log)


@contextmanager
def _alone() -> Iterator[None]:
    """Keep the others of this tree from libpam-wrapper meanwhile.

    Each program that loads it makes one of a few folders, /tmp/pam.0 and so on, for its copy of the
    PAM files, without making sure that nobody else is doing so: two at once may get each other's.
    """
    with open(__file__, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _pam_code(status: int, shown: str) -> int:
    if status == 0:
        return PAM_SUCCESS
    failures = re.findall(r"pamtester: (?!successfully|credential)(.*)", shown)
    assert len(failures) == 1, shown
    code = _codes_by_text()[failures[0]]
    return PAM_IGNORE if code == PAM_BAD_ITEM else code


def _codes_by_text() -> dict[str, int]:
    """Return what this machine's libpam calls each code."""
    strerror = ctypes.CDLL("libpam.so.0").pam_strerror
    strerror.argtypes = (ctypes.c_void_p, ctypes.c_int)
    strerror.restype = ctypes.c_char_p
    return {strerror(None, code).decode("ascii"): code for code in range(LAST_CODE + 1)}


def find_pam_wrapper_module(name: str) -> Path:
    """Return where this machine keeps one of libpam-wrapper's own modules."""
    found = sorted(Path("/usr/lib").glob(f"*/pam_wrapper/{name}"))
    assert found, f"no {name}: install libpam-wrapper"
    return found[0]
