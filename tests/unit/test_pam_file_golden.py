"""The code in the PAM files of the distributions: put in, edited around, taken out, used."""

from __future__ import annotations

import pytest

from admin_cli.host import pam_file
from pam_totp.stack import pam_stack
from tests.support.each import each
from tests.support.place import ROOT
from tests.unit.pam_files import DISTRIBUTIONS, GOLDEN, Went, distribution, log_in

SERVICES = ("sshd", "sudo", "sudo-i", "su", "su-l", "login", "vsftpd", "dovecot")
ONE_PROMPT = "one-prompt"
KEYS = ("code", "key+code", "password+code", "none", "skip")
# sudo-i of Fedora includes sudo, su-l of most includes su: those are to be enabled.
COVERED = {
    *((name, "su-l") for name in DISTRIBUTIONS if name != "arch"),
    ("fedora-41", "sudo-i"),
    ("rhel-9", "sudo-i"),
}
CASES = [
    pytest.param(name, service, keys, id="-".join(filter(None, (name, service, keys))))
    for name in DISTRIBUTIONS
    for service in SERVICES
    if (GOLDEN / name / service).exists() and (name, service) not in COVERED
    for keys in (KEYS if service == "sshd" else (None, ONE_PROMPT))
]
every_case = each(("name", "service", "keys"), CASES)
FACTORS = ("success", "auth_err")


def original(name: str, service: str) -> str:
    return (GOLDEN / name / service).read_bytes().decode("utf-8")


def enabled(name: str, service: str, keys: str | None, text: str = "") -> str:
    text = text or original(name, service)
    return pam_file.enabled(service, text, keys=keys, read=distribution(name))


@every_case
def test_taking_the_code_out_restores_every_byte(name: str, service: str, keys: str | None) -> None:
    text = original(name, service)
    changed = enabled(name, service, keys)
    assert (False, True) == (pam_file.is_managed(text), pam_file.is_managed(changed))
    assert text == pam_file.disabled(changed)


@every_case
def test_a_second_time_changes_nothing(name: str, service: str, keys: str | None) -> None:
    changed = enabled(name, service, keys)
    assert changed == enabled(name, service, keys, changed)
    assert keys == pam_file.keys_of(changed)


@every_case
def test_every_line_that_is_not_replaced_stays(name: str, service: str, keys: str | None) -> None:
    changed = enabled(name, service, keys).splitlines()
    kept = [line.removeprefix("#replaced: ") for line in changed]
    assert original(name, service).splitlines() == [
        line for line in kept if line in original(name, service).splitlines()
    ]


@every_case
def test_edits_in_between_survive(name: str, service: str, keys: str | None) -> None:
    """Lines before, after and in the block, and one of the distribution's own taken away."""
    lines = original(name, service).splitlines(keepends=True)
    changed = enabled(name, service, keys).splitlines(keepends=True)
    begins = ("session", "password", "-", "@include common-session")
    gone = next(line for line in reversed(lines) if line.startswith(begins))
    note, last = ["# asked for by the auditors\n", "\n"], "session optional pam_lastlog.so\n"
    lines.remove(gone)
    changed.remove(gone)

    begin = next(i for i, line in enumerate(changed) if line.startswith("# BEGIN"))
    changed = ["# site\n", *changed[: begin + 1], *note, *changed[begin + 1 :], last]
    expected = ["# site\n", *lines[:begin], *note, *lines[begin:], last]
    assert "".join(expected) == pam_file.disabled("".join(changed))


@every_case
def test_a_missing_end_of_the_last_line_stays_missing(
    name: str, service: str, keys: str | None
) -> None:
    text = original(name, service).removesuffix("\n")
    changed = enabled(name, service, keys, text)
    assert text == pam_file.disabled(changed)
    assert changed == enabled(name, service, keys, changed)


@every_case
def test_the_judge_finds_nothing_wrong(name: str, service: str, keys: str | None) -> None:
    read = distribution(name, **{service: enabled(name, service, keys)})
    judgement = pam_stack.judge(pam_stack.auth_stack(service, read))
    assert judgement._replace(for_root=()) == pam_stack.Judgement(
        asks=True,
        bypasses=(),
        for_root=(),
        before_password=(),
        after_wrong_password=(),
        without_password=(),
        can_succeed=True,
        lets_exempt_in=True,
        modules=("pam_totp.so",),
    )
    assert bool(judgement.for_root) == (service in ("su", "su-l"))


@every_case
def test_who_gives_the_password_is_asked_once(name: str, service: str, keys: str | None) -> None:
    read = distribution(name, **{service: enabled(name, service, keys)})
    for code, granted in (("success", True), ("ignore", True), ("auth_err", False)):
        assert Went(granted, 1) == log_in(service, read, password="success", code=code)


@every_case
@each("refusal", ["auth_err", "user_unknown", "maxtries", "abort"])
def test_who_does_not_know_the_password_never_sees_the_code(
    name: str, service: str, keys: str | None, refusal: str
) -> None:
    read = distribution(name, **{service: enabled(name, service, keys)})
    assert Went(False, 0) == log_in(service, read, password=refusal, code="success")


@each("name", DISTRIBUTIONS)
@each("keys", ["code", "key+code"])
@each(("code", "granted"), [("success", True), ("ignore", True), ("auth_err", False)])
def test_with_a_key_the_code_is_asked_once_and_decides(
    name: str, keys: str, code: str, granted: bool
) -> None:
    read = distribution(name, sshd=enabled(name, "sshd", keys))
    assert Went(granted, 1) == log_in("sshd", read, key=True, code=code)


@each("keys", ["password+code", "none", "skip"])
@each("name", DISTRIBUTIONS)
def test_a_key_does_not_spare_the_password_otherwise(name: str, keys: str) -> None:
    read = distribution(name, sshd=enabled(name, "sshd", keys))
    assert Went(False, 0) == log_in("sshd", read, key=True, code="success")


@every_case
def test_before_the_code_is_put_in_the_password_is_enough(
    name: str, service: str, keys: str | None
) -> None:
    for password in FACTORS:
        went = log_in(service, distribution(name), password=password)
        assert Went(password == "success", 0) == went


@each(("before", "after"), [(a, b) for a in KEYS for b in KEYS if a != b], ids=str)
@each("name", DISTRIBUTIONS)
def test_other_keys_are_written_over_the_ones_before(name: str, before: str, after: str) -> None:
    text = enabled(name, "sshd", before)
    assert enabled(name, "sshd", after) == enabled(name, "sshd", after, text)


@each(("name", "service"), sorted(COVERED))
def test_a_file_that_includes_a_service_is_left_to_that(name: str, service: str) -> None:
    with pytest.raises(pam_file.NotUnderstood) as refused:
        enabled(name, service, None)
    covering = "sudo" if service == "sudo-i" else "su"
    assert f"run: totpctl enable {covering}" == refused.value.hint
    assert original(name, service).splitlines()[refused.value.number - 1].split()[2] == covering


@each(("name", "service"), sorted(COVERED))
def test_a_file_that_includes_an_enabled_service_asks_already(name: str, service: str) -> None:
    covering = "sudo" if service == "sudo-i" else "su"
    read = distribution(name, **{covering: enabled(name, covering, None)})
    text = original(name, service)
    assert text == pam_file.enabled(service, text, keys=None, read=read)
    assert Went(True, 1) == log_in(service, read, password="success", code="success")


@pytest.mark.parametrize("name", ["fedora-41", "rhel-9"])
def test_root_runs_su_without_a_code(name: str) -> None:
    read = distribution(name, su=enabled(name, "su", None))
    assert Went(True, 0) == log_in("su-l", read, pam_rootok="success")


def test_a_finger_in_place_of_the_password_is_followed_by_the_code() -> None:
    read = distribution("fedora-41", sudo=enabled("fedora-41", "sudo", None))
    for code in FACTORS:
        went = log_in("sudo", read, pam_fprintd="success", code=code)
        assert Went(code == "success", 1) == went


def test_a_locked_account_is_not_told_that_its_password_was_right() -> None:
    """What pam_faillock hides, the prompt for a code must not give away."""
    read = distribution("rhel-9", sudo=enabled("rhel-9", "sudo", None))
    for password in FACTORS:
        went = log_in("sudo", read, password=password, code="success", pam_faillock="auth_err")
        assert Went(False, 0) == went


@each(("before", "after"), [(None, ONE_PROMPT), (ONE_PROMPT, None)], ids=["to one", "to two"])
@each("name", DISTRIBUTIONS)
def test_one_prompt_is_written_over_two_and_two_over_one(
    name: str, before: str | None, after: str | None
) -> None:
    text = enabled(name, "login", before)
    assert enabled(name, "login", after) == enabled(name, "login", after, text)


@pytest.mark.parametrize("keys", [None, ONE_PROMPT])
def test_a_program_that_includes_another_file_takes_both_where_that_one_does(
    keys: str | None,
) -> None:
    read = distribution("debian-12", login=enabled("debian-12", "login", keys))
    text = "@include login\n"
    if keys == ONE_PROMPT:
        assert text == pam_file.enabled("openvpn", text, keys=ONE_PROMPT, read=read)
        return
    with pytest.raises(pam_file.NotUnderstood) as refused:
        pam_file.enabled("openvpn", text, keys=ONE_PROMPT, read=read)
    assert "run: totpctl enable login --one-prompt" == refused.value.hint


def test_a_module_that_would_ask_again_is_told_to_take_what_is_there() -> None:
    """Where its line is another file's, and can be copied; in a file of its own it is named."""
    changed = enabled("rhel-9", "vsftpd", ONE_PROMPT)
    (copied,) = [line for line in changed.splitlines() if "pam_sss.so" in line]
    assert copied.endswith(" pam_sss.so forward_pass use_first_pass")
    ldap = "auth sufficient pam_ldap.so\nauth required pam_deny.so\n"
    read = distribution("debian-12")
    changed = pam_file.enabled("vpn", ldap, keys=ONE_PROMPT, read=read)
    assert "default=ignore] pam_ldap.so use_first_pass\n" in changed
    with pytest.raises(pam_file.NotUnderstood) as refused:
        pam_file.enabled("vpn", "auth requisite pam_ldap.so\n", keys=ONE_PROMPT, read=read)
    assert "asks for the password again" == refused.value.problem
    assert refused.value.hint.startswith("add use_first_pass at the end of that line")


REVIEWED = {
    "debian-12-sshd-code": ("debian-12", "sshd", "code"),
    "rhel-9-sshd-code": ("rhel-9", "sshd", "code"),
    "fedora-41-sudo": ("fedora-41", "sudo", None),
    "debian-12-vsftpd-one-prompt": ("debian-12", "vsftpd", ONE_PROMPT),
    "rhel-9-vsftpd-one-prompt": ("rhel-9", "vsftpd", ONE_PROMPT),
}


@pytest.mark.parametrize("name", REVIEWED)
def test_what_is_written_is_what_has_been_reviewed(name: str) -> None:
    path = ROOT / "tests" / "golden" / "enabled" / name
    assert path.read_text("utf-8") == enabled(*REVIEWED[name])
