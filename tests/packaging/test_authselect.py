"""The authselect profile: what it writes for each choice of features, judged and logged in with."""

from __future__ import annotations

import itertools
import re

import pytest

from admin_cli.host import pam_file
from pam_totp.stack import pam_stack
from pam_totp.stack.pam_lines import NotUnderstood
from tests.support.place import ROOT
from tests.unit.pam_files import Read, Went, distribution, log_in

PROFILE = ROOT / "packaging" / "authselect" / "pam_totp"
SERVICES = ("sshd", "sudo", "su", "login")
KEYS = {"sshd": "code", "sudo": None}
OPERATOR = re.compile(
    r'\{(include|exclude) if (not )?"([^{}"|]+)"\}'
    r'|\{if (not )?"([^{}"|]+)":([^{}|]*)(?:\|([^{}|]*))?\}'
)


def features() -> list[str]:
    texts = [path.read_text(encoding="utf-8") for path in PROFILE.iterdir()]
    return sorted({m[3] or m[5] for text in texts for m in OPERATOR.finditer(text)})


def generated(name: str, chosen: frozenset[str]) -> str:
    """Return what authselect writes: authselect(8) and authselect-profiles(5) have the syntax."""
    lines = []
    for line in (PROFILE / name).read_text(encoding="utf-8").splitlines():
        kept = True

        def replace(found: re.Match[str]) -> str:
            nonlocal kept
            if found[1]:
                holds = (found[3] in chosen) != bool(found[2])
                kept &= holds == (found[1] == "include")
                return ""
            holds = (found[5] in chosen) != bool(found[4])
            return found[6] if holds else found[7] or ""

        line = OPERATOR.sub(replace, line).rstrip()
        if kept:
            lines.append(line)
    return "\n".join(lines) + "\n"


# In the lines about auth, only these make a difference; the others are tried together.
ABOUT_AUTH = ("with-faillock", "with-sssd", "without-nullok")
CHOICES = [
    frozenset(choice)
    for count in range(len(ABOUT_AUTH) + 1)
    for choice in itertools.combinations(ABOUT_AUTH, count)
] + [frozenset(features())]


def selected(machine: str, chosen: frozenset[str]) -> Read:
    """Return a reader of a machine's PAM files after ``authselect select pam_totp``."""
    names = ("system-auth", "password-auth", "smartcard-auth", "fingerprint-auth", "postlogin")
    return distribution(machine, **{name: generated(name, chosen) for name in names})


every_choice = pytest.mark.parametrize(
    "chosen", CHOICES, ids=lambda c: "+".join(sorted(c)) or "none"
)
every_service = pytest.mark.parametrize("service", SERVICES)
every_machine = pytest.mark.parametrize("machine", ["fedora-41", "rhel-9"])


@every_machine
@every_service
@every_choice
def test_the_profile_asks_after_the_password_and_nobody_gets_past_it(
    machine: str, service: str, chosen: frozenset[str]
) -> None:
    found = pam_stack.judge(pam_stack.auth_stack(service, selected(machine, chosen)))
    assert (True, True, True) == (found.asks, found.can_succeed, found.lets_exempt_in)
    assert () == found.bypasses
    assert () == found.before_password
    assert () == found.after_wrong_password
    assert () == found.without_password


@every_machine
@every_service
@every_choice
@pytest.mark.parametrize(
    ("password", "code", "expected"),
    [
        ("success", "success", Went(True, 1)),
        ("success", "auth_err", Went(False, 1)),
        ("success", "authinfo_unavail", Went(False, 1)),
        ("success", "ignore", Went(True, 1)),
        ("auth_err", "success", Went(False, 0)),
        ("user_unknown", "success", Went(False, 0)),
    ],
)
def test_a_login(
    machine: str, service: str, chosen: frozenset[str], password: str, code: str, expected: Went
) -> None:
    read = selected(machine, chosen)
    assert expected == log_in(service, read, password=password, code=code)


@every_service
def test_a_password_that_sssd_knows_leads_to_the_code(service: str) -> None:
    read = selected("rhel-9", frozenset({"with-sssd", "with-faillock"}))
    modules = {"pam_localuser": "perm_denied", "pam_sss": "success"}
    assert Went(True, 1) == log_in(service, read, code="success", **modules)
    assert Went(False, 1) == log_in(service, read, code="auth_err", **modules)


@pytest.mark.parametrize("name", ["smartcard-auth", "fingerprint-auth"])
def test_what_would_take_the_place_of_both_factors_is_off(name: str) -> None:
    def read(file: str) -> str | None:
        return generated(name, frozenset(features())) if file == name else None

    assert Went(False, 0) == log_in(name, read)


def test_the_readme_names_every_feature_and_no_other() -> None:
    readme = (PROFILE / "README").read_text(encoding="utf-8")
    assert features() == sorted(re.findall(r"^([a-z-]+)::$", readme, re.MULTILINE))


def test_no_operator_is_left_over() -> None:
    for path in PROFILE.iterdir():
        for chosen in CHOICES:
            if path.name != "README":
                assert not re.search(r"[{}|]", generated(path.name, chosen)), path


@pytest.mark.parametrize("service", ["sshd", "sudo"])
def test_enable_refuses_beside_the_profile(service: str) -> None:
    read = selected("fedora-41", frozenset())
    text = read(service)
    assert text is not None
    with pytest.raises(NotUnderstood, match="totpctl did not write"):
        pam_file.enabled(service, text, keys=KEYS[service], read=read)


@pytest.mark.parametrize("service", ["sshd", "sudo"])
def test_a_copy_is_out_of_step_once_authselect_has_written_another_password_step(
    service: str,
) -> None:
    """As pam-out-of-step of doctor compares: what enable would write now."""
    before = distribution("fedora-41")
    text = before(service)
    assert text is not None
    block = pam_file.enabled(service, text, keys=KEYS[service], read=before)
    names = ("system-auth", "password-auth")
    sssd = distribution("fedora-41", **{n: distribution("rhel-9")(n) or "" for n in names})
    now = pam_file.enabled(
        service, pam_file.disabled(block), keys=pam_file.keys_of(block), read=sssd
    )
    assert block != now
    assert "pam_sss.so" in now
    assert "pam_sss.so" not in block
