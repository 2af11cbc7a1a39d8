"""What a real sshd has in force, and whether we name the line that put it there."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from admin_cli.host import sshd
from tests.support.machine import SSH_PORT, Account, Machine, Terminal
from tests.support.place import ROOT

pytestmark = pytest.mark.root

MAIN = "/etc/ssh/sshd_config"
EARLIER = "/etc/ssh/sshd_config.d/00-earlier.conf"
LATER = "/etc/ssh/sshd_config.d/50-cloud-init.conf"
INCLUDE = "Include /etc/ssh/sshd_config.d/*.conf\n"
KEYS = ("code", "key+code", "password+code", "none", "skip")
SAME_FOR_SSHD = {"key+code": "password+code"}  # PAM's file says which of the two it is
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
_PROGRAM = """
import json, sys
from admin_cli.errors import CommandFailed
from admin_cli.host import sshd
from admin_cli.host.sshd import process as sshd_process
try:
    print(json.dumps(eval(sys.argv[1])))
except CommandFailed as error:
    print(json.dumps({"error": str(error), "hint": error.hint}))
"""


@pytest.fixture
def bare() -> Iterator[Machine]:
    """A copy of this machine with Debian's sshd_config, and nothing of ours but the modules."""
    with Machine(installed=True) as started:
        started.run("sh", "-c", "rm -f /etc/ssh/sshd_config.d/*; ssh-keygen -A; mkdir -p /run/sshd")
        started.write(MAIN, f"{INCLUDE}KbdInteractiveAuthentication no\nUsePAM yes\n")
        yield started


@pytest.fixture
def server(bare: Machine) -> Machine:
    bare.write(sshd.DROP_IN, sshd.drop_in("code"))
    return bare


def ask(machine: Machine, expression: str) -> Any:
    return machine.ask(_PROGRAM, expression)


def problems(machine: Machine, keys: str = "code", *users: str) -> list[str]:
    found: list[str] = ask(machine, f"sshd.problems({keys!r}, {users!r})")
    return found


@pytest.mark.parametrize("keys", KEYS)
def test_drop_in_is_accepted_and_puts_in_force_what_it_says(bare: Machine, keys: str) -> None:
    bare.write(sshd.DROP_IN, sshd.drop_in(keys))
    assert ask(bare, "sshd.check()") is None
    assert [] == problems(bare, keys, "root", "nobody")
    in_force = SAME_FOR_SSHD.get(keys, keys)
    assert in_force == ask(bare, "sshd.keys_in_force(sshd.effective())")
    assert in_force == ask(bare, "sshd.keys_enabled()")


def test_without_the_drop_in_keys_need_no_code(bare: Machine) -> None:
    assert "skip" == ask(bare, "sshd.keys_in_force(sshd.effective('root'))")
    assert ask(bare, "sshd.keys_enabled()") is None
    assert [f"{sshd.DROP_IN} is missing; run: totpctl enable sshd"] == problems(bare)


@pytest.mark.parametrize("keys", KEYS)
def test_drop_in_of_other_keys_is_not_what_is_needed(bare: Machine, keys: str) -> None:
    for other in KEYS:
        bare.write(sshd.DROP_IN, sshd.drop_in(other))
        found = problems(bare, keys)
        is_same = SAME_FOR_SSHD.get(keys, keys) == SAME_FOR_SSHD.get(other, other)
        assert is_same is (found == [])
        assert all(text.startswith(f"{sshd.DROP_IN}:") for text in found)


def test_later_file_changes_nothing(server: Machine) -> None:
    server.write(LATER, "PasswordAuthentication yes\nAuthenticationMethods publickey\n")
    assert [] == problems(server)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("PasswordAuthentication yes", "PasswordAuthentication yes is in force, not no"),
        ("AuthenticationMethods publickey", "AuthenticationMethods publickey is in force, not "),
        ("UsePAM=no", "UsePAM no is in force, not yes"),
        ("pubkeyauthentication no", "PubkeyAuthentication no is in force, not yes"),
    ],
)
def test_earlier_file_wins_and_is_named(server: Machine, line: str, shown: str) -> None:
    server.write(EARLIER, f"# somebody's\n{line}\n")
    (found,) = problems(server)
    assert found.startswith(f"{EARLIER}:2: {shown}")
    assert f"it comes before {sshd.DROP_IN}" in found


def test_earlier_file_that_says_the_same_is_no_problem(server: Machine) -> None:
    methods = "keyboard-interactive:pam publickey,keyboard-interactive:pam"
    server.write(EARLIER, f"UsePAM yes\nAuthenticationMethods {methods}\n")
    assert [] == problems(server)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("KbdInteractiveAuthentication no", "KbdInteractiveAuthentication no"),
        ("ChallengeResponseAuthentication no", "KbdInteractiveAuthentication no"),
        ("PubkeyAuthentication no", "PubkeyAuthentication no"),
    ],
)
def test_method_that_is_off_stops_sshd_and_the_line_is_named(
    server: Machine, line: str, shown: str
) -> None:
    """sshd says that a method is disabled, and not by whom."""
    server.write(sshd.DROP_IN, sshd.drop_in("password+code"))
    server.write(MAIN, f"Port 22\n{line}\n{INCLUDE}")
    for expression in ("sshd.check()", "sshd.problems('code')"):
        failed = ask(server, expression)
        assert failed["error"].startswith(
            f"{MAIN}:2: {shown} is in force, not yes; it comes before {sshd.DROP_IN}"
        )
        assert "AuthenticationMethods cannot be satisfied" in failed["error"]


def test_setting_before_the_include_wins_and_is_named(server: Machine) -> None:
    server.write(MAIN, f"Port 22\nPasswordAuthentication yes\n{INCLUDE}")
    (found,) = problems(server)
    assert found.startswith(f"{MAIN}:2: PasswordAuthentication yes is in force, not no")


@pytest.mark.parametrize("main", ["", f"Match User bob\n{INCLUDE}"])
def test_drop_in_that_is_not_included_is_told_with_the_line_to_add(
    server: Machine, main: str
) -> None:
    server.write(MAIN, f"UsePAM yes\nKbdInteractiveAuthentication yes\n{main}")
    if main:  # UsePAM may not stand in a Match block: sshd itself says so
        server.write(sshd.DROP_IN, sshd.drop_in("code").replace("UsePAM yes\n", ""))
    found = problems(server)[0]
    assert found.startswith(f"{MAIN}: does not include {sshd.DROP_IN}, so PasswordAuthentication")
    assert "AuthenticationMethods any is in force" in found
    assert found.endswith("put this line first: Include /etc/ssh/sshd_config.d/*.conf")


@pytest.mark.parametrize("keys", KEYS)
@pytest.mark.parametrize(
    ("line", "harmless"),
    [
        ("AuthenticationMethods publickey", ("skip",)),
        ("AuthenticationMethods password", ()),
        ("AuthenticationMethods keyboard-interactive", ("code", "none", "skip")),
        ("AuthenticationMethods publickey,keyboard-interactive", KEYS),
        ("PasswordAuthentication yes", ()),
        ("PasswordAuthentication no", KEYS),
        ("KbdInteractiveAuthentication no", ()),
        ("PubkeyAuthentication no", ("code", "none", "skip")),
        ("X11Forwarding no", KEYS),
    ],
)
def test_match_block_wins_and_is_named_unless_it_is_as_strict(
    bare: Machine, keys: str, line: str, harmless: tuple[str, ...]
) -> None:
    bare.write(sshd.DROP_IN, sshd.drop_in(keys))
    bare.write(LATER, f"Match User bob Address 127.0.0.1\n  {line}\n")
    found = problems(bare, keys, "alice", "bob")
    if keys in harmless:
        assert [] == found
    else:
        (text,) = found
        assert text == (
            f"{LATER}:2: sets {line} for Match User bob Address 127.0.0.1 (that is bob), "
            f"which wins over {sshd.DROP_IN}"
        )


def test_match_block_for_other_addresses_is_told_too(server: Machine) -> None:
    """No login from here is in it, so sshd -T shows nothing of it."""
    server.write(LATER, "Match Address 198.51.100.0/24\nAuthenticationMethods publickey\n")
    (found,) = problems(server, "code", "root")
    assert found.startswith(
        f"{LATER}:2: sets AuthenticationMethods publickey for Match Address 198.51.100.0/24, which"
    )


def test_match_block_of_a_group_is_for_its_members(server: Machine) -> None:
    server.add_user("alice", "x", "--groups", "sudo")
    server.add_user("bob", "x")
    server.write(MAIN, f"{INCLUDE}Match Group sudo\nAuthenticationMethods publickey\n")
    (found,) = problems(server, "code", "alice", "bob")
    assert found.startswith(f"{MAIN}:3: sets AuthenticationMethods publickey for Match Group sudo")
    assert "(that is alice)" in found
    assert "publickey" == ask(server, "sshd.effective('alice')['authenticationmethods']")


def test_match_all_wins_over_the_drop_in(server: Machine) -> None:
    server.write(LATER, "Match all\nPasswordAuthentication yes\n")
    assert "yes" == ask(server, "sshd.effective('root')['passwordauthentication']")
    (found,) = problems(server, "code", "root")
    assert found.startswith(f"{LATER}:2: sets PasswordAuthentication yes for Match all (that is")


@pytest.mark.parametrize("criterion", ["LocalPort 22", "LocalAddress 127.0.0.1", "Host localhost"])
def test_every_criterion_can_be_asked_about(server: Machine, criterion: str) -> None:
    server.write(LATER, f"Match {criterion}\nPasswordAuthentication yes\n")
    assert "yes" == ask(server, "sshd.effective('root')['passwordauthentication']")
    assert "no" == ask(server, "sshd.effective()['passwordauthentication']")
    assert 1 == len(problems(server, "code", "root"))


def test_match_block_that_sets_something_else_costs_no_question_for_each_user(
    server: Machine,
) -> None:
    assert ask(server, "sshd.has_match_blocks()") is False
    server.write(LATER, "Match User root\nX11Forwarding no\n")
    assert ask(server, "sshd.has_match_blocks()") is True
    assert ask(server, "sshd.has_match_blocks(['usepam'])") is False
    assert ask(server, "sshd.has_match_blocks(['x11forwarding'])") is True


def test_lists_of_who_may_log_in_are_kept_whole(server: Machine) -> None:
    server.write(LATER, "AllowUsers alice bob@192.0.2.1\nAllowUsers root\n")
    assert "alice bob@192.0.2.1 root" == ask(server, "sshd.effective()['allowusers']")


def test_name_that_sshd_cannot_be_asked_about_is_as_everybody_else(server: Machine) -> None:
    server.write(LATER, "Match User Doe\nPasswordAuthentication yes\n")
    assert "no" == ask(server, "sshd.effective('Doe,addr=127.0.0.1')['passwordauthentication']")


def test_what_sshd_refuses_is_told_in_its_words(server: Machine) -> None:
    server.write(LATER, "PasswordAuthentication perhaps\n")
    for expression in ("sshd.check()", "sshd.effective()", "sshd.problems('code')"):
        failed = ask(server, expression)
        assert f'{LATER} line 1: unsupported option "perhaps".' in failed["error"]


def test_missing_host_keys_are_told_with_the_command_that_makes_them(server: Machine) -> None:
    server.run("sh", "-c", "rm /etc/ssh/ssh_host_*")
    assert "run: ssh-keygen -A" == ask(server, "sshd.check()")["hint"]


def test_folder_that_sshd_needs_is_made_and_told(server: Machine) -> None:
    server.run("rmdir", "/run/sshd")
    command = ("/usr/bin/python3", "-c", f"import os; os.umask(0o77)\n{_PROGRAM}", "sshd.check()")
    done = server.run(*command, env=ENVIRONMENT)
    assert "created /run/sshd, which sshd needs to check its configuration\n" == done.stderr
    assert "755 root\n" == server.run("stat", "-c", "%a %U", "/run/sshd").stdout


def test_sshd_that_is_not_there_is_told(server: Machine) -> None:
    server.run("sh", "-c", "rm /usr/sbin/sshd")
    assert "install the OpenSSH server" == ask(server, "sshd.check()")["hint"]


def start(machine: Machine, *options: str) -> None:
    """Start sshd in its usual place, with options as a unit would give them."""
    machine.write(MAIN, f"{INCLUDE}Port {SSH_PORT}\nListenAddress 127.0.0.1\n")
    machine.run("sh", "-c", '"$@" || exit 1', "sh", "/usr/sbin/sshd", *options)
    machine.log.wait_for(f"Server listening on 127.0.0.1 port {SSH_PORT}")


def test_options_of_the_running_sshd_win_and_are_told(server: Machine) -> None:
    start(server, "-o", "PasswordAuthentication=yes")
    (found,) = problems(server)
    assert found == (
        "PasswordAuthentication yes is in force, not no: "
        "sshd was started with -o PasswordAuthentication=yes"
    )


def test_other_file_of_the_running_sshd_is_the_one_that_counts(server: Machine) -> None:
    server.start_sshd("UsePAM yes\n")
    (found,) = problems(server)
    assert found.startswith("/etc/ssh/machine_config: does not include ")


def test_second_sshd_that_goes_by_other_settings_is_told(server: Machine) -> None:
    server.write(MAIN, f"{INCLUDE}Port 2200\nListenAddress 127.0.0.1\n")
    server.run("sh", "-c", "/usr/sbin/sshd || exit 1")
    server.log.wait_for("Server listening on 127.0.0.1 port 2200")
    assert [] == ask(server, "sshd.of_other_servers('code')")
    server.start_sshd(sshd.drop_in("code"))
    assert [] == ask(server, "sshd.of_other_servers('code')")
    (found,) = ask(server, "sshd.of_other_servers('password+code')")
    assert found.startswith("another sshd, started with -f /etc/ssh/machine_config")
    assert "has AuthenticationMethods publickey,keyboard-interactive keyboard-" in found
    server.write("/etc/ssh/machine_config", "Nonsense yes\n")
    (found,) = ask(server, "sshd.of_other_servers('code')")
    assert "Bad configuration option: Nonsense" in found
    assert [] == problems(server)


def test_process_that_only_calls_itself_sshd_is_not_believed(server: Machine) -> None:
    fake = "exec -a 'sshd: /usr/sbin/sshd -oUsePAM=no [listener] 0' sleep 60 &"
    server.run("bash", "-c", fake, user="nobody")
    assert [] == ask(server, "sshd_process.listeners()")


def test_set_uid_program_that_somebody_calls_sshd_is_not_believed(server: Machine) -> None:
    """su runs as root while it waits for a password, under any name that its caller likes."""
    server.add_user("mallory", "mallory's own")
    server.write("/home/mallory/config", "UsePAM no\n", owner="mallory")
    name = "sshd: /usr/sbin/sshd -f /home/mallory/config [listener] 0 of 10-100 startups"
    start_su = f"import os; os.execv('/usr/bin/su', [{name!r}, 'root'])"
    su = server.spawn("/usr/bin/python3", "-c", start_su, user="mallory")
    su.expect("assword")
    assert [] == ask(server, "sshd_process.listeners()")
    assert ["", []] == ask(server, "sshd_process.options()")
    assert [] == problems(server)


def test_reload_returns_when_new_settings_are_in_force(server: Machine) -> None:
    start(server)
    before = ask(server, "sshd_process.listeners()")
    server.write(EARLIER, "Banner /etc/ssh/greeting\n")
    server.write("/etc/ssh/greeting", "hello from the new settings\n")
    assert ask(server, "sshd.reload()") is None
    assert before == ask(server, "sshd_process.listeners()") != []
    client = ssh(server, "root", "-oBatchMode=yes")
    assert "hello from the new settings" in client.rest()


def test_reload_of_settings_that_sshd_does_not_survive_is_told(server: Machine) -> None:
    start(server)
    server.write(EARLIER, "Nonsense yes\n")
    failed = ask(server, "sshd.reload()")
    assert "sshd no longer listens" == failed["error"]


def test_reload_without_a_running_sshd_does_nothing(server: Machine) -> None:
    assert ask(server, "sshd.reload()") is None


def ssh(machine: Machine, user: str, *options: str) -> Terminal:
    return machine.ssh(user, "-oStrictHostKeyChecking=no", *options)


@pytest.fixture
def root(server: Machine) -> tuple[Account, str]:
    """root, enrolled, with a key, on a server whose keys need a code."""
    server.install_product()
    server.run("chpasswd", "--crypt-method", "SHA256", typed="root:password of root\n")
    shown = json.loads(server.run("totpctl", "enroll", "root", "--json", "--no-confirm").stdout)
    key = "/tmp/key-of-root"
    server.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key, user="nobody")
    server.write("/root/.ssh/authorized_keys", server.read(f"{key}.pub"), mode=0o600)
    example = ROOT / "packaging/pam.d/sshd-key-or-password-and-code"
    server.use_pam("sshd", example.read_text("utf-8"))
    secret = base64.b32decode(shown["secret"])
    return Account("root", "password of root", secret, shown["recovery_codes"]), key


def test_root_gets_in_by_no_way_under_prohibit_password(
    server: Machine, root: tuple[Account, str]
) -> None:
    """Why people.py counts root as shut out there: sshd takes no answer of root's."""
    account, key = root
    server.write(LATER, "PermitRootLogin prohibit-password\n")
    start(server)
    client = ssh(server, "root", "-i", key)
    client.answer("Verification code: ", account.code())
    client.expect_exact("Wrong code.")


def test_root_gets_in_with_key_and_code_under_yes(
    server: Machine, root: tuple[Account, str]
) -> None:
    account, key = root
    server.write(LATER, "PermitRootLogin yes\n")
    start(server)
    client = ssh(server, "root", "-i", key)
    client.answer("Verification code: ", account.code())
    assert "welcome root" in client.rest()
