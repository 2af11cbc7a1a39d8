"""A module that is a second factor instead of the code: what the judge says, beside libpam.

The module that is tried is a stand-in under the name of libpam-u2f's: it succeeds, or fails, as
its argument says.
"""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path

import pytest

from admin_cli.host import pam_file
from pam_totp.stack import pam_stack
from tests.support.libpam import log_in
from tests.unit.pam_files import DISTRIBUTIONS, distribution

U2F = frozenset({"pam_u2f.so"})
MODULE = """
#include <string.h>
#include <security/pam_modules.h>
int pam_sm_authenticate(pam_handle_t *handle, int flags, int argc, const char **argv)
{
    (void)handle, (void)flags;
    for (int i = 0; i < argc; i++)
        if (!strcmp(argv[i], "key=there") || !strcmp(argv[i], "nouserok"))
            return PAM_SUCCESS;
    return PAM_AUTH_ERR;
}
int pam_sm_setcred(pam_handle_t *handle, int flags, int argc, const char **argv)
{
    (void)handle, (void)flags, (void)argc, (void)argv;
    return PAM_SUCCESS;
}
"""
STEP = "auth [success=1 default=ignore] pam_unix.so\nauth requisite pam_deny.so\n"
STEP += "auth required pam_permit.so\n"
KEY = "auth sufficient pam_u2f.so cue\n"
KEY_JUMPS = "auth [success=1 default=ignore] pam_u2f.so\n"
CODE = "auth required pam_totp.so\n"


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("module")
    (folder / "module.c").write_text(MODULE, encoding="ascii")
    built = folder / "pam_u2f.so"
    command = ["cc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", built, folder / "module.c"]
    subprocess.run(command, check=True)
    return built


def granted(folder: Path, text: str, module: Path, password: str, code: str, key: str) -> bool:
    """Log in by libpam; the password module, the code and the key return what is said."""
    real = text.replace("pam_u2f.so", f"{module} key={key}")
    for name, result in (("pam_unix.so", password), ("pam_totp.so", code)):
        real = real.replace(name, f"pam_debug.so auth={result}")
    (folder / "sudo").write_text(real, encoding="ascii")
    (folder / "other").write_text("auth required pam_deny.so\n", encoding="ascii")
    return log_in(folder, "sudo").code == 0


def who_gets_in(folder: Path, text: str, module: Path) -> set[tuple[bool, bool, bool]]:
    """Return by which of password, code and key somebody gets in."""
    found = set()
    for right in itertools.product((True, False), repeat=3):
        password, code = ("success" if is_right else "auth_err" for is_right in right[:2])
        key = "there" if right[2] else "away"
        if granted(folder, text, module, password, code, key):
            found.add(right)
    return found


PASSWORD_AND_EITHER = {(True, True, True), (True, True, False), (True, False, True)}


@pytest.mark.parametrize(
    ("text", "bypasses"),
    [
        (f"{STEP}{KEY}{CODE}", []),
        (f"auth requisite pam_unix.so\n{KEY}{CODE}", []),
        (
            f"{STEP}{KEY_JUMPS}{CODE}auth required pam_permit.so\n",
            [],
        ),
        # the key alone
        (f"{KEY}{STEP}{CODE}", [1]),
        (f"auth optional pam_unix.so\n{KEY}{CODE}", [2]),
        (f"auth required pam_u2f.so\n{KEY}{CODE}", [2]),
        (f"auth [success=ok default=die] pam_u2f.so\n{KEY}{CODE}", [2]),
        # the password alone
        (f"{STEP}auth sufficient pam_u2f.so nouserok\n{CODE}", [4]),
        (f"{STEP}auth sufficient pam_u2f.so cue alwaysok\n{CODE}", [4]),
        (f"{STEP}auth optional pam_u2f.so\nauth optional pam_totp.so\n", [5]),
        (f"{STEP}auth [default=1] pam_u2f.so\n{CODE}auth required pam_permit.so\n", [4]),
    ],
)
def test_the_judge_calls_a_bypass_what_is_not_password_and_either_factor(
    tmp_path: Path, module: Path, text: str, bypasses: list[int]
) -> None:
    found = pam_stack.judge(pam_stack.auth_stack("sudo", {"sudo": text}.get), alternatives=U2F)
    assert bypasses == [line.number for line in found.bypasses]
    if "alwaysok" not in text:  # which the stand-in does not know
        in_by = who_gets_in(tmp_path, text, module)
        assert (not bypasses) == (in_by <= PASSWORD_AND_EITHER)
        assert bypasses or in_by == PASSWORD_AND_EITHER
    if not bypasses:
        assert ["pam_u2f.so"] == [line.module_name for line in found.alternatives]
        assert found.can_succeed
        assert found.lets_exempt_in
        assert not found.nobody_gets_in


def test_unless_the_administrator_says_so_it_is_a_bypass() -> None:
    stack = pam_stack.auth_stack("sudo", {"sudo": f"{STEP}{KEY}{CODE}"}.get)
    for other in (frozenset(), frozenset({"pam_oath.so"}), frozenset({"pam_unix.so"})):
        found = pam_stack.judge(stack, alternatives=other)
        assert [4] == [line.number for line in found.bypasses]
        assert () == found.alternatives


def test_a_module_of_the_password_is_never_a_second_factor() -> None:
    text = f"{STEP}auth sufficient pam_sss.so\n{CODE}"
    stack = pam_stack.auth_stack("sudo", {"sudo": text}.get)
    assert [4] == [
        f.number for f in pam_stack.judge(stack, alternatives=frozenset({"pam_sss.so"})).bypasses
    ]


def test_a_code_that_can_let_nobody_in_beside_a_key_is_a_dead_end() -> None:
    text = f"{STEP}{KEY}auth requisite pam_deny.so\n{CODE}"
    found = pam_stack.judge(pam_stack.auth_stack("sudo", {"sudo": text}.get), alternatives=U2F)
    assert found.nobody_gets_in


STEPS = {
    "requisite": STEP,
    "required": "auth required pam_unix.so\n",
    "sufficient": "auth sufficient pam_unix.so\nauth requisite pam_deny.so\n",
}


@pytest.mark.parametrize("step", STEPS)
def test_enable_keeps_the_line_and_writes_ours_after_it(
    tmp_path: Path, module: Path, step: str
) -> None:
    before = f"{STEPS[step]}{KEY}"
    if step == "sufficient":  # there the password ends the stack, and never reaches the key
        before = f"auth [success=1 default=die] pam_unix.so\nauth required pam_deny.so\n{KEY}"
    text = pam_file.enabled("sudo", before, keys=None, read={}.get, alternatives=U2F)
    assert PASSWORD_AND_EITHER == who_gets_in(tmp_path, text, module)
    assert before == pam_file.disabled(text)


def test_before_the_password_a_key_is_the_first_factor_and_the_code_follows(
    tmp_path: Path, module: Path
) -> None:
    text = pam_file.enabled("sudo", f"{KEY}{STEP}", keys=None, read={}.get, alternatives=U2F)
    by_code = {(True, True, True), (True, True, False), (False, True, True)}
    assert by_code == who_gets_in(tmp_path, text, module)


def test_where_the_module_lets_in_people_without_a_key_enable_asks_everybody_for_the_code(
    tmp_path: Path, module: Path
) -> None:
    before = f"{STEP}auth sufficient pam_u2f.so nouserok\n"
    text = pam_file.enabled("sudo", before, keys=None, read={}.get, alternatives=U2F)
    found = pam_stack.judge(pam_stack.auth_stack("sudo", {"sudo": text}.get), alternatives=U2F)
    assert ((), ()) == (found.bypasses, found.alternatives)
    assert all(code for _, code, _ in who_gets_in(tmp_path, text, module))


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("service", ["sudo", "login"])
def test_enable_does_so_in_the_files_of_every_distribution(name: str, service: str) -> None:
    read = distribution(name)
    lines = (read(service) or "").splitlines(keepends=True)
    at = 1 + max(
        i for i, line in enumerate(lines) if line.startswith(("auth", "@include common-auth"))
    )
    before = "".join([*lines[:at], KEY, *lines[at:]])
    text = pam_file.enabled(service, before, keys=None, read=read, alternatives=U2F)
    changed = distribution(name, **{service: text})
    found = pam_stack.judge(pam_stack.auth_stack(service, changed), alternatives=U2F)
    assert ((), 1) == (found.bypasses, len(found.alternatives))
    assert before == pam_file.disabled(text)
