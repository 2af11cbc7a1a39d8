"""What the tests of pam_totp.so share: module and application (login.c), built for one folder."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.support import native
from tests.support.logs import LogSocket

NOBODY = 65534
ALICE = "alice"
TIMEOUT = 60  # seconds: an application that is not done by then hangs
PATIENCE = 1  # seconds, of the impatient module
PROMPT_ECHO_OFF, ERROR_MSG, TEXT_INFO = 1, 3, 4
PAM_SUCCESS, PAM_SERVICE_ERR, PAM_AUTH_ERR, PAM_AUTHINFO_UNAVAIL = 0, 3, 7, 9
PAM_CONV_ERR, PAM_IGNORE, PAM_BAD_ITEM = 19, 25, 29

# Its result is the module's. libpam hands PAM_IGNORE to nobody: PAM_BAD_ITEM stands in for it.
PROBE = (
    "auth [success=done ignore=ignore default=die] MODULE\n"
    "auth required pam_debug.so auth=bad_item\n"
)
UNAVAILABLE = (
    "Verification codes cannot be checked right now. "
    "An administrator can find the reason in the system log."
)


@functools.cache
def at_fixed_addresses() -> tuple[str, ...]:
    """Return what to put before an application with a sanitizer.

    Those of gcc 12 give up, now and then, where the kernel spreads addresses over 32 bits.
    """
    command = ("setarch", "-R")
    tried = subprocess.run([*command, "true"], capture_output=True, check=False, timeout=TIMEOUT)
    return command if tried.returncode == 0 else ()


class Outcome(NamedTuple):
    """What one run of the application wrote down."""

    lines: list[str]

    def of(self, word: str) -> list[str]:
        """Return the rest of each line that begins with ``word``."""
        return [line.removeprefix(word + " ") for line in self.lines if line.startswith(word + " ")]

    @property
    def codes(self) -> list[int]:
        """The PAM codes; PAM_IGNORE, which no application ever sees, where the probe says so."""
        codes = [int(line.split()[0]) for line in self.of("code")]
        return [PAM_IGNORE if code == PAM_BAD_ITEM else code for code in codes]

    @property
    def code(self) -> int:
        (code,) = self.codes
        return code

    @property
    def reasons(self) -> list[str]:
        """Why, as the system log has it."""
        lines = [line for line in self.of("log") if "tried [" not in line]
        return [line.split('reason="')[1].split('"')[0] for line in lines]

    @property
    def passwords_tried(self) -> list[str]:
        """What reached pam_one_password.so."""
        tried = [line.partition("tried [") for line in self.of("log")]
        return [password[:-1] for _, found, password in tried if found]

    @property
    def delays(self) -> list[int]:
        """How many microseconds libpam would have waited, as modules asked for it."""
        return [int(line.split()[0]) for line in self.of("delay")]

    @property
    def shown(self) -> list[tuple[int, str]]:
        """Style and text of what a person saw."""
        return [(int(line[0]), line[2:]) for line in self.of("shown")]

    @property
    def memory(self) -> list[tuple[int, int, int]]:
        """After how many logins: private memory in kB, open files."""
        rows = [tuple(map(int, line.split())) for line in self.of("memory")]
        return [(count, kilobytes, files) for count, kilobytes, files in rows]

    def saw_no_child(self) -> bool:
        return self.of("child") == [] and self.of("end") == ["0"]


class Side:
    """Builds made for the paths of one folder."""

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="pam_totp-module.")
        self.folder = Path(self._temporary.name)
        self.folder.chmod(0o755)  # an application of nobody's has to get in
        self.socket = self.folder / "socket"
        self.launcher = self.folder / "launcher"
        self.worker = self.folder / "worker"
        self.locale = self.folder / "locale.conf"
        self.paths = (
            f'-DPAM_TOTP_LOCALE="{self.locale}"',
            f'-DPAM_TOTP_LOCALE_OF_DEBIAN="{self.locale}"',
            f'-DPAM_TOTP_CONFIG="{self.folder}/pam_totp.conf"',
            f'-DPAM_TOTP_SOCKET="{self.socket}"',
            f'-DPAM_TOTP_WORKER_SOCKET="{self.launcher}"',
            f'-DPAM_TOTP_WORKER="{self.worker}"',
        )
        self.module = self._build_module("pam_totp.so")
        self.application = self.build_application("login")
        self.one_password = native.build_one_password()
        self._runs = 0

    def remove(self) -> None:
        self._temporary.cleanup()

    @functools.cached_property
    def impatient(self) -> Path:
        """The module, for tests that wait until it gives up."""
        return self._build_module("impatient.so", f"-DPAM_TOTP_PATIENCE={PATIENCE}")

    def _build_module(self, name: str, *flags: str) -> Path:
        module = self.folder / name
        shutil.copy(native.build_module(*self.paths, *flags), module)
        module.chmod(0o755)
        return module

    def build_checked(self, name: str, *flags: str) -> tuple[Path, Path]:
        """Build the module and the application anew, with ``flags`` to find mistakes by."""
        return self._build_module(f"{name}.so", *flags), self.build_application(name, *flags)

    def build_application(self, name: str, *flags: str) -> Path:
        application = self.folder / name
        shutil.copy(native.build_application(*flags), application)
        return application

    def write_worker(self, text: str) -> None:
        """Let ``text``, in Python, be the worker that the module starts."""
        self.worker.unlink(missing_ok=True)
        self.worker.write_text(text, encoding="utf-8")

    def clear(self) -> None:
        """Remove whatever a test put at the socket's and the worker's place."""
        for path in (self.socket, self.launcher, self.worker):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            path.unlink(missing_ok=True)

    def log_in(
        self,
        *words: str,
        arguments: tuple[str, ...] = (),
        stack: str = PROBE,
        module: Path | None = None,
        application: tuple[object, ...] | None = None,
        options: tuple[str, ...] = (),
        user: str = ALICE,
        as_root: bool = False,
        environment: dict[str, str] | None = None,
        **how: object,
    ) -> Outcome:
        """Run the application once, answering ``words``; as nobody unless ``as_root``.

        ``stack``: the PAM lines, with MODULE for its path and ``arguments``. ``how``: for
        subprocess.run().
        """
        self._runs += 1
        folder = self.folder / f"run{self._runs}"
        output = folder / "output"
        folder.mkdir()
        folder.chmod(0o755)
        output.touch()
        output.chmod(0o666)
        line = " ".join(map(str, (module or self.module, *arguments)))
        text = stack.replace("MODULE", line).encode("utf-8", "surrogateescape")
        (folder / "door").write_bytes(text)
        (folder / "other").write_text("auth required pam_deny.so\n")
        if os.geteuid() == 0 and not as_root:
            how |= {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        command = [*(application or (self.application,)), *options, folder, "door", output, user]
        done = subprocess.run(
            [*command, *words],
            env={"PATH": "/usr/bin:/bin", **(environment or {})},
            timeout=TIMEOUT,
            check=False,
            **how,  # type: ignore[call-overload]
        )
        assert done.returncode == 0, (done, output.read_text(encoding="utf-8"))
        lines = output.read_bytes().decode("utf-8", "backslashreplace").split("\n")
        shutil.rmtree(folder)
        return Outcome(lines)


class Product(NamedTuple):
    """A copy of the real worker, and the log that it writes."""

    worker: Path
    log: LogSocket
