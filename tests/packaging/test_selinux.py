"""The SELinux module, compiled against refpolicy: what it allows, and to whom.

On Fedora it is compiled against another policy; what these rules do there nobody has tried.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from admin_cli.host import files
from tests.support.place import ROOT

SOURCE = ROOT / "packaging" / "selinux"
MAKEFILE = "/usr/share/selinux/devel/Makefile"
TO_CIL = "/usr/libexec/selinux/hll/pp"
PROGRAMS = (
    "sshd_t",
    "sshd_session_t",
    "sudodomain",
    "su_domain_type",
    "staff_su_t",
    "sysadm_su_t",
    "user_su_t",
    "local_login_t",
    "remote_login_t",
    "xdm_t",
    "policykit_auth_t",
    "cockpit_session_t",
)
SECRETS = ("pam_totp_key_t", "pam_totp_var_lib_t")


class Rule(NamedTuple):
    source: str
    target: str
    kind: str
    permissions: frozenset[str]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The module in CIL, which secilc reads and people can."""
    folder = tmp_path_factory.mktemp("selinux")
    for name in ("pam_totp.te", "pam_totp.if", "pam_totp.fc"):
        shutil.copy(SOURCE / name, folder)
    command = ("make", "-f", MAKEFILE, "NAME=default", "pam_totp.pp")
    made = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert 0 == made.returncode, made.stdout + made.stderr
    text = subprocess.run((TO_CIL, folder / "pam_totp.pp"), capture_output=True, check=True).stdout
    return text.decode()


@pytest.fixture(scope="module")
def rules(compiled: str) -> list[Rule]:
    found = re.findall(r"\(allow (\S+) (\S+) \((\S+) \(([^()]*)\)\)\)", compiled)
    return [Rule(s, t, kind, frozenset(allowed.split())) for s, t, kind, allowed in found]


def allowed(rules: list[Rule], source: str, target: str, kind: str) -> frozenset[str]:
    return frozenset().union(*(r.permissions for r in rules if r[:3] == (source, target, kind)))


@pytest.mark.parametrize("program", PROGRAMS)
def test_who_logs_people_in_may_ask_the_service(rules: list[Rule], program: str) -> None:
    assert {"search"} <= allowed(rules, program, "pam_totp_runtime_t", "dir")
    assert {"getattr", "write"} == allowed(rules, program, "pam_totp_runtime_t", "sock_file")
    assert {"connectto"} == allowed(rules, program, "pam_totp_t", "unix_stream_socket")


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_worker_of_their_own_comes_into_its_domain(
    rules: list[Rule], compiled: str, program: str
) -> None:
    assert f"(typetransition {program} pam_totp_exec_t process pam_totp_t)" in compiled
    assert {"execute", "read"} <= allowed(rules, program, "pam_totp_exec_t", "file")
    assert "execute_no_trans" not in allowed(rules, program, "pam_totp_exec_t", "file")
    assert {"transition"} == allowed(rules, program, "pam_totp_t", "process")
    inherited = allowed(rules, "pam_totp_t", program, "unix_stream_socket")
    assert {"read", "write", "getopt"} <= inherited
    assert {"use"} == allowed(rules, "pam_totp_t", program, "fd")


def test_the_list_of_programs_is_complete(compiled: str) -> None:
    found = re.findall(r"\(typetransition (\S+) pam_totp_exec_t process pam_totp_t\)", compiled)
    assert {*PROGRAMS, "init_t", "initrc_t"} == set(found)


@pytest.mark.parametrize("secret", SECRETS)
def test_nobody_who_logs_people_in_has_a_right_to_the_secrets(
    rules: list[Rule], secret: str
) -> None:
    assert {"pam_totp_t", "sysadm_t"} == {rule.source for rule in rules if rule.target == secret}


def test_the_worker_reads_the_key_and_writes_the_store(rules: list[Rule]) -> None:
    key = allowed(rules, "pam_totp_t", "pam_totp_key_t", "file")
    assert {"open", "read"} <= key
    assert not {"write", "append", "create", "unlink", "setattr"} & key
    store = allowed(rules, "pam_totp_t", "pam_totp_var_lib_t", "file")
    assert {"open", "read", "write", "create", "unlink", "lock", "map"} <= store


def test_secrets_are_out_of_reach_of_rules_on_all_files(compiled: str) -> None:
    (members,) = re.findall(r"\(typeattributeset auth_file_type \(([^()]*)\)\)", compiled)
    assert set(SECRETS) == set(members.split())
    for others in re.findall(r"\(typeattributeset non_auth_file_type \(([^()]*)\)\)", compiled):
        assert not set(SECRETS) & set(others.split())


def test_systemd_starts_the_worker_without_new_privileges(rules: list[Rule], compiled: str) -> None:
    assert "(typetransition init_t pam_totp_exec_t process pam_totp_t)" in compiled
    assert {"nnp_transition", "nosuid_transition"} <= allowed(
        rules, "init_t", "pam_totp_t", "process2"
    )


def test_the_worker_logs_asks_for_names_and_has_no_capability(
    rules: list[Rule], compiled: str
) -> None:
    assert {"sendto"} <= allowed(rules, "pam_totp_t", "syslogd_t", "unix_dgram_socket")
    assert re.search(r"\(typeattributeset nsswitch_domain \(pam_totp_t \)\)", compiled)
    assert [] == [r for r in rules if r.source == "pam_totp_t" and r.kind == "capability"]
    assert {"read", "open"} <= allowed(rules, "pam_totp_t", "etc_t", "file")
    assert {"execute", "execute_no_trans"} <= allowed(rules, "pam_totp_t", "bin_t", "file")


@pytest.mark.parametrize("maker", ["sysadm_t", "unconfined_t"])
@pytest.mark.parametrize("suffix", ["", ".new", "rotated"])
def test_a_key_is_never_for_a_moment_an_ordinary_file(
    compiled: str, maker: str, suffix: str
) -> None:
    path = "/etc/security/pam_totp.key"
    made = files.beside(path, files.NEW) if suffix == "rotated" else path + suffix
    name = made.rpartition("/")[2]
    assert f'(typetransition {maker} etc_t file "{name}" pam_totp_key_t)' in compiled


def labels() -> Iterator[tuple[str, str]]:
    for line in (SOURCE / "pam_totp.fc").read_text(encoding="utf-8").splitlines():
        if line:
            words = line.split()
            yield words[0], words[-1].split(":")[2].split(",")[0]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/usr/lib/pam_totp/worker", "pam_totp_exec_t"),
        ("/usr/lib/pam_totp/picture", None),
        ("/usr/lib/systemd/system/pam_totp.socket", "pam_totp_unit_t"),
        ("/usr/lib/systemd/system/pam_totp-revert.service", "pam_totp_unit_t"),
        ("/etc/security/pam_totp.key", "pam_totp_key_t"),
        ("/etc/security/pam_totp.key.new", "pam_totp_key_t"),
        (files.beside("/etc/security/pam_totp.key", files.NEW), "pam_totp_key_t"),
        ("/etc/security/pam_totp.conf", None),
        ("/var/lib/pam_totp", "pam_totp_var_lib_t"),
        ("/var/lib/pam_totp/store.db-shm", "pam_totp_var_lib_t"),
        ("/run/pam_totp/pam_totp.sock", "pam_totp_runtime_t"),
    ],
)
def test_each_file_has_its_label(path: str, expected: str | None) -> None:
    assert expected == next((label for form, label in labels() if re.fullmatch(form, path)), None)
