"""pam_totp among other modules: control flags, several lines, setcred, and its own arguments."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.logs import LogSocket, fields
from tests.support.pam_stack import (
    ME,
    PAM_AUTH_ERR,
    PAM_IGNORE,
    PAM_PERM_DENIED,
    PAM_SUCCESS,
    Stack,
)
from tests.support.place import Place, code_now, wrong_code

SET = "setcred(PAM_ESTABLISH_CRED)"


def test_required_line_alone_grants(stack: Stack, place: Place) -> None:
    place.enrol(ME)
    stack.write(stack.line())
    result = stack.authenticate(code_now(), operations=("authenticate", SET))
    assert PAM_SUCCESS == result.code
    assert "credential info has successfully been set." in result.shown


def test_required_line_that_is_skipped_grants_nothing_alone(stack: Stack) -> None:
    stack.write(stack.line("nullok"))
    assert PAM_PERM_DENIED == stack.authenticate().code


def test_required_line_that_is_skipped_leaves_it_to_the_module_before(stack: Stack) -> None:
    stack.write("auth required pam_permit.so", stack.line("nullok"))
    assert PAM_SUCCESS == stack.authenticate(operations=("authenticate", SET)).code


def test_right_code_does_not_mend_a_refusal_before_it(stack: Stack, place: Place) -> None:
    place.enrol(ME)
    stack.write("auth required pam_deny.so", stack.line())
    assert PAM_AUTH_ERR == stack.authenticate(code_now()).code


def test_refusal_is_not_mended_by_the_module_after(stack: Stack, place: Place) -> None:
    place.enrol(ME)
    stack.write(stack.line("attempts=1"), "auth required pam_permit.so")
    assert PAM_AUTH_ERR == stack.authenticate(wrong_code()).code


def test_setcred_without_authenticate_is_success(stack: Stack) -> None:
    stack.write(stack.line())
    assert PAM_SUCCESS == stack.authenticate(operations=(SET,)).code


def test_two_lines_ask_twice_and_take_no_code_twice(
    stack: Stack, place: Place, log: LogSocket
) -> None:
    place.enrol(ME)
    stack.write(stack.line("attempts=1"), stack.line("attempts=1"))
    code = code_now()
    assert PAM_AUTH_ERR == stack.authenticate(code, code).code
    assert ["accepted", "replayed"] == log.events()


def test_two_lines_are_satisfied_by_two_codes(stack: Stack, place: Place) -> None:
    place.enrol(ME)
    stack.write(stack.line("attempts=1"), stack.line("attempts=1"))
    both = stack.authenticate(code_now(), code_now(+1), operations=("authenticate", SET))
    assert PAM_SUCCESS == both.code


def test_each_line_has_its_own_arguments(stack: Stack, tmp_path: Path, place: Place) -> None:
    """One user enrolled in a second store only: the first line skips, the second asks."""
    (tmp_path / "second").mkdir()
    second = Place(tmp_path / "second")
    second.enrol(ME)
    arguments = (f"store={second.store_path}", f"sealing_key={second.key_path}")
    stack.write(stack.line("nullok"), stack.line(*arguments, "prompt=Second:"))
    result = stack.authenticate(code_now(), operations=("authenticate", SET))
    assert (PAM_SUCCESS, 0) == (result.code, result.prompts)
    assert result.shown.startswith("Second:")


def test_two_operations_on_one_handle_do_not_share_a_verdict(
    stack: Stack, place: Place, log: LogSocket
) -> None:
    stack.probe("attempts=1")
    place.enrol(ME)
    code = code_now()
    result = stack.authenticate(code, code, operations=("authenticate", "authenticate"))
    assert PAM_AUTH_ERR == result.code
    assert ["accepted", "replayed"] == log.events()


KEY = "publickey ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI\n"


@pytest.mark.parametrize(
    ("service", "said", "believed"),
    [
        ("sshd", KEY, True),
        ("sshd", f"hostbased ssh-rsa AAAA\n{KEY}", True),
        ("sshd", "password\n", False),
        ("sshd", "hostbased publickey ssh-rsa AAAA\n", False),
        ("sshd", "publickeyless\n", False),
        ("sshd", "", False),
        ("sshd", None, False),
        ("login", KEY, False),
        ("sudo", KEY, False),
    ],
)
def test_key_is_believed_when_sshd_says_so(
    stack: Stack, service: str, said: str | None, believed: bool
) -> None:
    stack.probe("first_factor=key")
    shutil.copy(stack.folder / "login", stack.folder / service) if service != "login" else None
    pam_environment = {} if said is None else {"SSH_AUTH_INFO_0": said}
    result = stack.authenticate(service=service, pam_environment=pam_environment)
    assert (believed, 0) == (result.code == PAM_SUCCESS, result.prompts)


def test_key_line_outside_sshd_is_logged_as_a_mistake(stack: Stack, log: LogSocket) -> None:
    stack.probe("first_factor=key")
    stack.authenticate(pam_environment={"SSH_AUTH_INFO_0": KEY})
    line = fields(log.lines()[0])
    assert "first_factor=key works in sshd's PAM file only" == line["reason"]


def test_key_is_not_believed_of_the_environment(stack: Stack) -> None:
    stack.probe("first_factor=key")
    shutil.copy(stack.folder / "login", stack.folder / "sshd")
    result = stack.authenticate(service="sshd", environment={"SSH_AUTH_INFO_0": KEY})
    assert PAM_SUCCESS != result.code


@pytest.mark.parametrize(
    "arguments",
    [
        ("windwo=3",),
        ("window=many",),
        ("window",),
        ("unenrolled=perhaps",),
        ("first_factor=passwords",),
        ("config=relative.conf",),
        ("throttle_after=0",),
    ],
)
def test_argument_that_is_not_understood_is_logged_and_changes_nothing(
    stack: Stack, place: Place, log: LogSocket, arguments: tuple[str, ...]
) -> None:
    stack.probe("attempts=1", *arguments)
    place.enrol(ME)
    assert PAM_AUTH_ERR == stack.authenticate(code_now(+3)).code
    assert ["error", "rejected"] == log.events()
    line = fields(log.lines()[0])
    assert "configuration" == line["reason"]
    assert arguments[0].partition("=")[0] in line["detail"]


def test_line_of_the_configuration_that_is_not_understood_is_logged_with_its_number(
    stack: Stack, place: Place, log: LogSocket
) -> None:
    stack.probe("attempts=1")
    place.configure(unenroled="skip", unenrolled="perhaps", window="-1")
    assert PAM_AUTH_ERR == stack.authenticate("000000").code
    details = [fields(line)["detail"] for line in log.lines() if "detail=" in line]
    path = place.config_path
    assert [
        f"{path}:4: unknown key: unenroled",
        f"{path}:5: unenrolled must be deny, skip or enroll; using the default 'deny'",
        f"{path}:6: window must be a whole number from 0 to 10; using the default 1",
    ] == details


def test_argument_wins_over_the_configuration(stack: Stack, place: Place) -> None:
    place.configure(unenrolled="deny")
    stack.probe("unenrolled=skip")
    assert PAM_IGNORE == stack.authenticate().code


def test_nothing_in_the_environment_is_read(stack: Stack, place: Place, tmp_path: Path) -> None:
    place.enrol(ME)
    stack.probe("attempts=1")
    environment = {
        "PYTHONPATH": str(_traps(tmp_path)),
        "PYTHONSTARTUP": str(tmp_path / "traps" / "sqlite3.py"),
        "PYTHONWARNINGS": "error",
        "PYTHONINSPECT": "1",
        "HOME": str(tmp_path / "traps"),
        "TZ": "Pacific/Kiritimati",
        "LC_ALL": "tr_TR.UTF-8",
        "PAM_TOTP_CONFIG": "/dev/null",
        "window": "10",
    }
    refused = stack.authenticate(code_now(+4), environment=environment)
    granted = stack.authenticate(code_now(), environment=environment)
    assert (PAM_AUTH_ERR, PAM_SUCCESS) == (refused.code, granted.code)
    assert [] == list((tmp_path / "traps").glob("loaded-*"))


def _traps(tmp_path: Path) -> Path:
    """Make modules that leave a file when they are loaded, named as those a login loads."""
    folder = tmp_path / "traps"
    for name in ("pam_totp", "nacl", "sqlite3", "hmac", "hashlib", "pwd", "resource"):
        (folder / name).mkdir(parents=True)
        trap = f"open({str(folder / f'loaded-{name}')!r}, 'w')\n"
        (folder / name / "__init__.py").write_text(trap, encoding="utf-8")
        (folder / f"{name}.py").write_text(trap, encoding="utf-8")
    return folder
