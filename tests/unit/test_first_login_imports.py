"""What an enrolment at a login loads into that process, and that no other login loads it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.logs import LogSocket
from tests.support.place import ROOT, Place, wrong_code
from tests.unit.front_door import PROVES, install_picture
from tests.unit.test_imports import (
    BANNED,
    PACKAGE,
    expected_modules,
    folder_of_nacl,
    interpreter_version,
    run,
)

MORE_MODULES = ROOT / "tests" / "vectors" / "enrolment_modules.txt"
PAM_SUCCESS, PAM_AUTH_ERR, PAM_IGNORE = "0", "7", "25"

SCRIPT = """
import sys; sys.path.append({nacl!r}); import site; sys.path.insert(0, {root!r})
before = set(sys.modules)

class Pamh:
    PAM_PROMPT_ECHO_OFF, PAM_PROMPT_ECHO_ON, PAM_ERROR_MSG, PAM_TEXT_INFO = 1, 2, 3, 4
    service, rhost, ruser, tty, authtok, env = "sshd", "::1", None, "ssh", "hunter2", dict()
    exception = type("PamException", (Exception,), dict())
    last = ""

    class Message:
        def __init__(self, style, text):
            self.style, self.text = style, text

    def get_user(self, prompt):
        return "root"

    def conversation(self, message):
        response = self.Message(0, "")
        response.resp = self.answer(message.text) if message.style == 1 else None
        self.last = message.text
        return response

    def answer(self, prompt):
        if not prompt.startswith("Code shown by the app"):
            return {answer!r}
        number = 0
        for character in self.last.partition("Secret: ")[2].replace(" ", ""):
            number = number * 32 + "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".index(character)
        return otp.hotp(number.to_bytes(20, "big"), otp.time_step(int(time.time()), 30))

namespace = dict(__file__={hook!r})
with open({hook!r}, encoding="utf-8") as file:
    exec(compile(file.read(), {hook!r}, "exec"), namespace)
import time
from pam_totp.core import otp
from pam_totp.system import audit
audit.SYSLOG_SOCKET = {socket!r}
if {folder!r}:
    from pam_totp.stack import pam_stack
    pam_stack.PAM_FOLDERS = ({folder!r},)
argv = [{hook!r}, "config=" + {config!r}, "attempts=1"]
print(namespace["pam_sm_authenticate"](Pamh(), 0, argv), *sorted(set(sys.modules) - before))
"""


def log_in(place: Place, log: LogSocket, folder: Path | None) -> tuple[str, set[str]]:
    """Log root in, whose PAM file proves the password if it is in ``folder``."""
    if folder is not None:
        (folder / "sshd").write_text(PROVES, encoding="utf-8")
    script = SCRIPT.format(
        nacl=folder_of_nacl(),
        root=str(ROOT),
        answer=wrong_code(),
        hook=str(PACKAGE / "hook.py"),
        socket=str(log.path),
        folder="" if folder is None else str(folder),
        config=str(place.config_path),
    )
    code, *loaded = run(script).split()
    return code, set(loaded)


def modules_of_argon2() -> set[str]:
    """Return what hashing recovery codes loads, in a login with one of them too."""
    script = f"import sys; sys.path.append({folder_of_nacl()!r}); import nacl.bindings; "
    return set(run(script + "print(*sys.modules)").split())


def test_an_enrolment_loads_exactly_the_modules_of_its_list_beyond_those_of_a_login(
    place: Place, log: LogSocket, tmp_path: Path
) -> None:
    place.configure(unenrolled="enroll")
    code, loaded = log_in(place, log, tmp_path)
    assert (PAM_SUCCESS, ["unenrolled", "enrolled", "codes_issued"]) == (code, log.events())
    more = loaded - set(expected_modules(interpreter_version())) - modules_of_argon2()
    assert sorted(more) == expected_modules(interpreter_version(), MORE_MODULES)
    assert set() == more & BANNED


@pytest.mark.parametrize(("unenrolled", "expected"), [("deny", PAM_AUTH_ERR), ("skip", PAM_IGNORE)])
def test_who_does_not_enrol_loads_nothing_of_it(
    place: Place, log: LogSocket, unenrolled: str, expected: str
) -> None:
    place.configure(unenrolled=unenrolled)
    code, loaded = log_in(place, log, None)
    assert expected == code
    assert loaded <= set(expected_modules(interpreter_version()))


def test_the_program_that_draws_compiles_nothing_that_the_next_login_would_believe(
    tmp_path: Path,
) -> None:
    program = install_picture(tmp_path)
    done = subprocess.run(
        ["/usr/bin/python3", "-IS", program],
        input=b"00" * 20 + b"\0bob\0host\0Front Door\0",
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith(b"otpauth://")
    assert [] == list(tmp_path.rglob("*.pyc"))
