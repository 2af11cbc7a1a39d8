"""What doctor finds in PAM files, sshd's configuration and sudoers: one machine a finding."""

from __future__ import annotations

import pytest

from tests.e2e.attempts import Outcome
from tests.e2e.doctor_machine import Doctored, assert_found, findings, our_python
from tests.support import thorough
from tests.support.place import ROOT

pytestmark = pytest.mark.root

SUDO = "/etc/pam.d/sudo"
SSHD = "/usr/sbin/sshd -o PidFile=none"
HOOK = "pam_python.so /usr/lib/pam_totp/hook.py"
FEDORA = """
printf 'auth sufficient pam_unix.so\\nauth required pam_deny.so\\n' >/etc/pam.d/system-auth
printf 'auth include system-auth\\naccount include system-auth\\n' >/etc/pam.d/login
"""
TRIAL = """
from admin_cli.enable import trial_record
boot, now = trial_record.read_boot()
trial_record.write(trial_record.Trial("1", 0, 600, {boot}, now, ("sudo",), None, ()))
"""
BY_HAND = """
rm /var/lib/pam_totp/enabled.json /etc/ssh/sshd_config.d/00-pam_totp.conf
sed -i '/^# BEGIN pam_totp/d; /^# END pam_totp/d; /^# keys: /d' /etc/pam.d/sshd /etc/pam.d/sudo*
cat >>/etc/ssh/sshd_config <<'END'
UsePAM yes
KbdInteractiveAuthentication yes
PasswordAuthentication no
END
"""


def in_sudo(*lines: str) -> str:
    text = "".join(f"{line}\\n" for line in lines)
    return f"printf '{text}' >{SUDO}"


RULES = "/etc/sudoers.d/rules"
INCLUDED = "install -d /etc/sudoers.d; echo '@includedir /etc/sudoers.d' >>/etc/sudoers"
RULE = f"{INCLUDED}; echo 'Defaults insults' >{RULES}; chmod 440 {RULES}"


def in_sudoers(line: str) -> str:
    return f"echo '{line}' >>/etc/sudoers"


VSFTPD = "/etc/pam.d/vsftpd"
JUMP, DENY = "[success=1 default=ignore]", "auth requisite pam_deny.so"
LDAP = "$(dirname /usr/lib/*/security/pam_unix.so)/pam_ldap.so"
ONE_FIELD = (
    f"printf '@include common-auth\\n@include common-account\\n' >{VSFTPD}; "
    "totpctl enable vsftpd --one-prompt --no-confirm; "
)
BOTH = "auth requisite pam_totp.so first_factor=password one_prompt"


def in_vsftpd(*lines: str) -> str:
    text = "".join(f"{line}\\n" for line in lines)
    return f"printf '{text}@include common-account\\n' >{VSFTPD}"


KEY = "auth sufficient pam_u2f.so authfile=/etc/u2f_mappings cue"
U2F = "echo alternative = pam_u2f.so >>/etc/security/pam_totp.conf;"

CASES = [
    # password and code in one answer
    ("", ONE_FIELD, ""),
    ("", in_vsftpd(BOTH, "@include common-auth", "auth required pam_totp.so"), ""),
    (
        "pam-bypass",
        f"{ONE_FIELD} sed -i '/required pam_totp/d' {VSFTPD}",
        "vsftpd:3 (requisite pam_totp.so) can let users in without a code",
    ),
    (
        "pam-asks-once",
        f"{ONE_FIELD} sed -i '/first_factor/d' {VSFTPD}",
        "vsftpd answers every hidden prompt with the password",
    ),
    (
        "pam-missing",
        f"{ONE_FIELD} {in_vsftpd('@include common-auth')}",
        "vsftpd: it has no pam_totp line",
    ),
    (
        "pam-too-late",
        in_vsftpd("@include common-auth", BOTH, "auth required pam_totp.so"),
        "vsftpd:2 (requisite pam_totp.so) asks for password and code after the password",
    ),
    (
        "pam-asks-again",
        in_vsftpd(BOTH, f"auth {JUMP} pam_ldap.so", DENY, "auth required pam_totp.so")
        + f"; install -m 644 /usr/lib/*/security/pam_permit.so {LDAP}",
        "vsftpd:2 ([success=1 default=ignore] pam_ldap.so) asks again",
    ),
    ("pam-one-prompt", "echo one_prompt = yes >>/etc/security/pam_totp.conf", "no PAM line has"),
    (
        "pam-one-prompt",
        in_vsftpd(BOTH[:-11], "@include common-auth", "auth required pam_totp.so"),
        "vsftpd:1: first_factor=password without one_prompt asks for nothing",
    ),
    # PAM files
    ("pam-missing", in_sudo("@include common-auth"), "sudo: it has no pam_totp line"),
    ("pam-missing", f"sed -i 's/^auth/#auth/' {SUDO}", "its pam_totp line is a comment"),
    ("pam-missing", f"rm {SUDO}", "sudo: this file no longer exists"),
    ("pam-unclear", f"echo 'auth [success=oops] pam_unix.so' >>{SUDO}", "line "),
    ("pam-unclear", "echo 'auth oops pam_unix.so' >>/etc/pam.d/common-auth", "common-auth"),
    (
        "pam-bypass",
        f"sed -i '1i auth sufficient pam_unix.so' {SUDO}",
        "sudo:1 (sufficient pam_unix",
    ),
    ("pam-bypass", f"sed -i 's/required pam_totp/optional pam_totp/' {SUDO}", "optional pam_totp"),
    ("pam-bypass", in_sudo("@include common-auth", KEY, "auth required pam_totp.so"), "pam_u2f.so"),
    (
        "pam-alternative",
        f"{U2F} {in_sudo('@include common-auth', KEY, 'auth required pam_totp.so')}",
        "sudo:2 (sufficient pam_u2f.so) lets users in instead of a code",
    ),
    (
        "pam-alternative",
        f"totpctl disable sudo; {U2F} {in_sudo('@include common-auth', KEY)}; "
        "totpctl enable sudo --no-confirm",
        "sudo:2 (sufficient pam_u2f.so) lets users in instead of a code",
    ),
    (
        "pam-alternative pam-u2f-keys",
        f"{U2F} sed -i 's/^auth required pam_totp/auth sufficient pam_u2f.so cue\\n&/' {SUDO}",
        "takes keys from the homes of users",
    ),
    (
        "pam-alternative-new",
        f"totpctl disable sudo; {in_sudo('@include common-auth', KEY)}; "
        f"totpctl enable sudo --no-confirm; {U2F}",
        "/etc/pam.d/sudo: its block was written before alternative = pam_u2f.so",
    ),
    (
        "pam-bypass",  # and not pam-out-of-step: no file has changed
        f"totpctl disable sudo; {U2F} {in_sudo('auth required pam_unix.so', KEY)}; "
        "totpctl enable sudo --no-confirm; sed -i /alternative/d /etc/security/pam_totp.conf",
        "(sufficient pam_u2f.so) can let users in without a code",
    ),
    (
        "pam-bypass",
        f"{U2F} {in_sudo(KEY, '@include common-auth', 'auth required pam_totp.so')}",
        "sudo:1 (sufficient pam_u2f.so) can let users in without a code: no password comes before",
    ),
    (
        "pam-bypass",
        f"{U2F} {in_sudo('@include common-auth', f'{KEY} nouserok', 'auth required pam_totp.so')}",
        "without a code: nouserok lets in people without a key there",
    ),
    ("pam-order", in_sudo("auth required pam_totp.so", "@include common-auth"), "before the pass"),
    (
        "pam-after-wrong-password",
        in_sudo("auth required pam_unix.so", "auth required pam_totp.so"),
        "even after a wrong password",
    ),
    (
        "pam-without-password pam-after-wrong-password",
        in_sudo("auth optional pam_unix.so", "auth required pam_totp.so"),
        "no password is needed",
    ),
    (
        "pam-missing",
        "sed -i '/^auth.*pam_totp.so$/d; /never without/d' /etc/pam.d/sshd",
        "first_factor=key",
    ),
    ("pam-order pam-without-password", in_sudo("auth required pam_totp.so"), "no password is n"),
    (
        "pam-bad-jump",
        f"echo 'auth [success=1 default=ignore] pam_access.so' >>{SUDO}",
        "sudo:5 ([success=1 default=ignore] pam_access.so) can jump past the last line",
    ),
    (
        "pam-other-code pam-module-gone",
        f"rm -f /usr/lib/*/security/pam_oath.so; echo 'auth required pam_oath.so' >>{SUDO}",
        "also asks for a code",
    ),
    ("pam-other-code-optional", f"echo 'auth optional pam_duo.so' >>{SUDO}", "may ask for a code"),
    ("pam-dead-end", f"sed -i '1i auth requisite pam_deny.so' {SUDO}", "are not enough"),
    ("pam-dead-end", f"echo 'auth requisite pam_deny.so' >>{SUDO}", "are not enough"),
    (
        "pam-twice",
        "echo 'auth required pam_totp.so' >>/etc/pam.d/common-auth",
        "common-auth",
    ),
    ("pam-twice", f"echo 'auth required pam_totp.so' >>{SUDO}", "sudo: /etc/pam.d/sudo:"),
    (
        "pam-missing",
        f"sed -i s/pam_totp.so/pam_ttop.so/ {SUDO}",
        "names pam_ttop.so instead of pam_totp.so",
    ),
    (
        "pam-missing",
        f"sed -i s/pam_totp.so/pam-totp.so/ {SUDO}",
        "names pam-totp.so instead of pam_totp.so",
    ),
    (
        "pam-exempt",
        f"echo 'exempt_groups = users' >>/etc/security/pam_totp.conf; "
        f"sed -i 's/required pam_totp/[success=ok default=die] pam_totp/' {SUDO}",
        "only a code is accepted",
    ),
    ("pam-arguments", f"sed -i 's/pam_totp.so/pam_totp.so windw=0/' {SUDO}", "unknown: windw=0"),
    ("pam-arguments", f"sed -i 's/pam_totp.so/& config=\\/gone/' {SUDO}", "/gone: there is no"),
    (
        "pam-out-of-step",
        f"{FEDORA} totpctl enable login --no-confirm --force; "
        "sed -i '1i auth required pam_faildelay.so' /etc/pam.d/system-auth",
        "have changed since",
    ),
    ("pam-python-elsewhere", f"echo 'auth required {HOOK}' >>/etc/pam.d/su", "su: /etc/pam.d/su"),
    (
        "pam-module-gone",
        "sed -i '1i auth required pam_nosuch.so' /etc/pam.d/sudo",
        "sudo: /etc/pam.d/sudo:1 (required pam_nosuch.so) is not installed",
    ),
    (
        "pam-module-gone pam-account",
        "echo 'session required pam_nosuch.so' >>/etc/pam.d/sudo",
        "(required pam_nosuch.so) is not installed",
    ),
    (
        "pam-account",
        "echo 'account requisite pam_deny.so' >>/etc/pam.d/sudo; "
        "echo 'account required pam_permit.so' >>/etc/pam.d/sudo",
        "sudo: its account lines deny everybody",
    ),
    (
        "pam-account",
        "echo 'session optional pam_nosuch.so' >>/etc/pam.d/sudo",
        "sudo: its session lines deny everybody",
    ),
    (
        "nologin",
        "touch /etc/nologin; echo 'account required pam_nologin.so' >>/etc/pam.d/sshd",
        "/etc/nologin exists",
    ),
    ("nothing-enabled", "totpctl disable sshd sudo", "no service asks"),
    ("enabled-file", "echo '[]' >/var/lib/pam_totp/enabled.json", "is not what totpctl wrote"),
    ("trial", our_python(TRIAL.format(boot="boot")), "sudo: undone in "),
    ("trial-overdue", our_python(TRIAL.format(boot="'x'")), "should have been undone by now"),
    ("leftovers", "touch /etc/pam.d/.pam_totp-before.su", ".pam_totp-before.su was left"),
    ("spare-files", "rm /etc/pam.d/.pam_totp-spare.sudo", "sudo: there is no spare file"),
    # sshd
    ("sshd-refuses", "echo Nonsense yes >>/etc/ssh/sshd_config", "Nonsense"),
    (
        "sshd-settings",
        "echo PasswordAuthentication yes >/etc/ssh/sshd_config.d/00-a.conf",
        "/etc/ssh/sshd_config.d/00-a.conf:1: PasswordAuthentication yes is in force",
    ),
    (
        "sshd-settings",
        "printf 'Match User alice\\nAuthenticationMethods publickey\\n' >>/etc/ssh/sshd_config",
        "for Match User alice (that is alice)",
    ),
    ("sshd-settings", "rm /etc/ssh/sshd_config.d/00-pam_totp.conf", "is missing"),
    (
        "sshd-settings",
        f"{BY_HAND} echo AuthenticationMethods keyboard-interactive >>/etc/ssh/sshd_config; "
        "sed -i 's/^UsePAM yes/UsePAM no/' /etc/ssh/sshd_config",
        "sshd has usepam no",
    ),
    ("sshd-keys", BY_HAND, "does not ask key logins for a code"),
    (
        "sshd-keys",
        f"{BY_HAND} printf 'AuthenticationMethods keyboard-interactive\\nMatch User alice\\n"
        "AuthenticationMethods publickey\\n' >>/etc/ssh/sshd_config",
        "does not ask key logins of alice for a code",
    ),
    ("sshd-keys-skip", "totpctl enable sshd --keys skip --no-confirm", "with --keys skip"),
    (
        "sshd-other-methods",
        f"{BY_HAND} printf 'PubkeyAuthentication no\\nHostbasedAuthentication yes\\n' "
        ">>/etc/ssh/sshd_config",
        "by hostbased alone",
    ),
    (
        "sshd-other-server",
        f"{SSHD} -o ListenAddress=127.0.0.1:2200 || exit 1; echo 'UsePAM yes' >/etc/ssh/other; "
        f"{SSHD} -f /etc/ssh/other -o ListenAddress=127.0.0.1:2201 || exit 1; sleep 0.5",
        "another sshd, started with -f /etc/ssh/other -o PidFile=none",
    ),
    # sudo
    ("sudoers", in_sudoers("alice ALL=(ALL"), "syntax error"),
    ("sudoers", "chmod 666 /etc/sudoers", "/etc/sudoers: is writable by others"),
    ("sudoers", f"{INCLUDED}; chown alice /etc/sudoers.d", "/etc/sudoers.d: is owned by uid"),
    (
        "sudoers",
        f"{RULE}; chgrp alice {RULES}; chmod 464 {RULES}",
        f"{RULES}: is writable by group",
    ),
    ("sudoers-mode", f"{RULE}; chmod 644 {RULES}", f"{RULES}: mode 0644, group 0; the usual"),
    ("sudoers-mode", f"{RULE}; chmod 464 {RULES}", f"{RULES}: mode 0464, group 0; the usual"),
    ("sudoers-mode", f"{RULE}; chgrp alice {RULES}", f"{RULES}: mode 0440, group "),
    ("sudo-program", "chmod u-s /usr/bin/sudo", "/usr/bin/sudo is not setuid root"),
    (
        "sudo-program",
        "mount --bind /usr/bin /usr/bin; mount -o remount,bind,nosuid /usr/bin",
        "is mounted with nosuid",
    ),
    (
        "sudo-nopasswd",
        in_sudoers("alice ALL=(ALL) NOPASSWD: ALL"),
        "alice run ALL commands without a password",
    ),
    (
        "sudo-nopasswd",
        in_sudoers("%ops ALL=NOPASSWD: /bin/ls"),
        "%ops run /bin/ls without a password",
    ),
    (
        "sudo-nopasswd",
        in_sudoers("Defaults:alice !authenticate"),
        "sudo lets alice run everything they may run",
    ),
    (
        "sudo-nopasswd-service",
        in_sudoers("www-data ALL=NOPASSWD: /bin/ls"),
        "sudo lets www-data run",
    ),
    ("sudo-exempt-group", in_sudoers("Defaults exempt_group=adm"), "exempt_group = adm"),
    ("sudo-pam-service", in_sudoers("Defaults pam_service=su"), "pam_service = su"),
    ("sudo-pam-service", in_sudoers("Defaults pam_login_service=su"), "pam_login_service = su"),
    (
        "sudo-i",
        "printf '@include common-auth\\n' >/etc/pam.d/sudo-i; "
        + our_python("from admin_cli.enable import enabled; enabled.forget(['sudo-i'])"),
        "/etc/pam.d/sudo-i does not",
    ),
    ("sudo-other-code administrators", in_sudoers("Defaults rootpw"), "sudoers says rootpw"),
    ("sudo-prompt", in_sudoers("Defaults passprompt_override"), "says passprompt_override"),
    (
        "sudo-path",
        f"sed -i 's|pam_totp.so|{HOOK}|' {SUDO}; sed -i /secure_path/d /etc/sudoers",
        "without secure_path",
    ),
    (
        "sudo-path",
        f"sed -i 's|pam_totp.so|{HOOK}|' {SUDO}; "
        "sed -i 's/secure_path=.*/secure_path=\\/opt/' /etc/sudoers",
        "secure_path lacks /usr/bin",
    ),
]


TRIED = thorough.some(CASES, 4)


@pytest.mark.parametrize(("name", "script", "problem"), TRIED, ids=[c[0] for c in TRIED])
def test_finding(doctored: Doctored, name: str, script: str, problem: str) -> None:
    assert_found(doctored, name, script, problem)


def test_rule_that_spares_root_alone_is_none(doctored: Doctored) -> None:
    assert_found(doctored, "", in_sudoers("root ALL=(ALL) NOPASSWD: ALL"), "")


def test_module_that_may_be_gone_is_none(doctored: Doctored) -> None:
    """Neither what PAM ignores, nor a nologin file that no service looks at."""
    ignored = "account [success=ok default=ignore] pam_gone.so"
    optional = "-session optional pam_nosuch.so"
    permit = ("account required pam_permit.so", "session required pam_permit.so")
    lines = (ignored, optional, *permit)
    script = "".join(f"echo '{line}' >>/etc/pam.d/sudo; " for line in lines)
    assert_found(doctored, "", f"{script} touch /etc/nologin", "")


def test_setting_in_a_match_block_that_is_stricter_is_none(doctored: Doctored) -> None:
    block = "Match User alice\\nAuthenticationMethods publickey,keyboard-interactive\\n"
    stricter = Outcome(denied=frozenset({"ssh"}), bypassed=frozenset())
    assert_found(doctored, "", f"printf '{block}' >>/etc/ssh/sshd_config", "", logins=stricter)


ALICE_HAS_A_KEY = """
install -d -o alice -m 700 /home/alice/.ssh
ssh-keygen -q -t ed25519 -N '' -f /root/key_of_alice
install -o alice -m 600 /root/key_of_alice.pub /home/alice/.ssh/authorized_keys
"""
KEY_AND_CODE = f"""{BY_HAND} {ALICE_HAS_A_KEY}
sed -i 's/^PasswordAuthentication no/PasswordAuthentication yes/' /etc/ssh/sshd_config
echo 'AuthenticationMethods publickey,keyboard-interactive:pam' >>/etc/ssh/sshd_config
printf 'auth required pam_totp.so\\n@include common-account\\n' >/etc/pam.d/sshd
"""


def test_key_and_code_as_most_tutorials_set_it_up_is_none(doctored: Doctored) -> None:
    """sshd has proven the key before PAM asks for the code: that line is all that it takes."""
    by_key = Outcome(denied=frozenset({"ssh"}), bypassed=frozenset())
    assert_found(doctored, "", KEY_AND_CODE, "", logins=by_key)


def test_key_and_code_shut_out_administrators_without_a_key(doctored: Doctored) -> None:
    doctored.run("sh", "-ec", f"{KEY_AND_CODE} rm /home/alice/.ssh/authorized_keys")
    found = [f["problem"] for f in findings(doctored) if f["level"] == "wrong"]
    (problem,) = found
    assert problem.startswith("no administrator can become root: alice has no key;")


def test_the_fix_of_a_bare_line_makes_the_login_whole(doctored: Doctored) -> None:
    """Without that line nothing would be left for enable to put the code behind."""
    doctored.run("sh", "-ec", in_sudo("auth required pam_totp.so"))
    (fix,) = {f["fix"] for f in findings(doctored) if f["level"] == "wrong"}
    step = "@include common-auth"
    assert f"replace the pam_totp line in {SUDO} by: {step}; then run: totpctl enable sudo" == fix
    doctored.run("sed", "-i", f"s/.*pam_totp.*/{step}/", SUDO)
    assert_found(doctored, "", "totpctl enable sudo --no-confirm", "")


def test_code_alone_is_found_where_a_match_block_lets_some_come_without_a_key(
    doctored: Doctored,
) -> None:
    block = "Match Address 127.0.0.0/8\\nAuthenticationMethods keyboard-interactive\\n"
    script = f"{KEY_AND_CODE} printf '{block}' >>/etc/ssh/sshd_config"
    assert_found(doctored, "pam-order pam-without-password", script, "no password is needed")


def test_pam_python_in_sudo_with_secure_path_is_none(doctored: Doctored) -> None:
    assert_found(doctored, "", f"sed -i 's|pam_totp.so|{HOOK}|' {SUDO}", "")


def test_examples_set_up_by_hand_are_none(doctored: Doctored) -> None:
    """What the packaging shows for by-hand set-ups passes as what enable writes does."""
    doctored.run("sh", "-ec", f"{BY_HAND} {ALICE_HAS_A_KEY}")
    doctored.run("rm", "/etc/ssh/sshd_config")
    for name in ("key-or-password-and-code", "key-and-code", "password-and-code"):
        example = (ROOT / f"packaging/pam.d/sshd-{name}").read_text("utf-8")
        doctored.write("/etc/pam.d/sshd", example)
        settings = (ROOT / f"packaging/sshd_config.d/{name}.conf").read_text("utf-8")
        doctored.write("/etc/ssh/sshd_config", settings)
        assert_found(doctored, "", "true", "", logins=None)
