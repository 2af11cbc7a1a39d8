"""A host that speaks German or French: what ssh, sudo and the module show, and who has no say."""

from __future__ import annotations

import pytest

from pam_totp.login import conversation, messages
from tests.support import hosts
from tests.support.catalogs import LANGUAGES, catalog
from tests.support.machine import Account, Machine, Terminal

pytestmark = pytest.mark.root

LINES = "@include common-auth\nauth required pam_totp.so\n"
SSHD = (
    "UsePAM yes\nPasswordAuthentication no\nKbdInteractiveAuthentication yes\nAcceptEnv LANG LC_*\n"
)
FOREIGN = {"LANG": "fr_FR.UTF-8", "LC_ALL": "fr_FR.UTF-8", "LANGUAGE": "fr"}
WRONG = messages._WRONG
OF_MODULE = (messages.UNAVAILABLE, conversation.PRESS_ENTER)
KEYBOARD = ("-tt", "-oPreferredAuthentications=keyboard-interactive")


def speak(machine: Machine, language: str, file: str = "/etc/locale.conf") -> None:
    machine.write(file, f"LANG={language}.UTF-8\n")


def begin_sudo(machine: Machine, alice: Account, environment: dict[str, str]) -> Terminal:
    """Come as far as the code: sudo asks for the password in its caller's language."""
    sudo = machine.spawn("sudo", "-k", "id", "-un", user="alice", env=environment)
    sudo.expect(r"alice.?: ")
    sudo.sendline(alice.password)
    return sudo


def test_ssh_and_sudo_speak_the_language_of_the_host(machine: Machine, alice: Account) -> None:
    """As it is at this login. What a client sends, and what sudo's caller has, changes nothing."""
    machine.use_pam("sshd", LINES)
    machine.use_pam("sudo", LINES)
    machine.start_sshd(SSHD)
    for language in LANGUAGES:
        prompt, wrong = (text.said_in(catalog(language)) for text in (messages.PROMPT, WRONG))
        speak(machine, language)
        other = next(name for name in LANGUAGES if name != language)
        client = {"LANG": f"{other}_XX.UTF-8", "LC_ALL": "C.UTF-8", "LANGUAGE": other}
        terminal = machine.ssh("alice", *KEYBOARD, "-oSendEnv=LANG LC_* LANGUAGE", env=client)
        terminal.answer("Password: ", alice.password)
        terminal.answer(prompt, alice.wrong_code())
        terminal.expect_exact(wrong)
        terminal.close()
        environment = {"LANG": f"{other}_XX.UTF-8", "LANGUAGE": other}
        sudo = begin_sudo(machine, alice, environment)
        sudo.answer(prompt, alice.wrong_code())
        sudo.expect_exact(wrong)
        sudo.expect_exact(prompt)
        sudo.close()


def test_a_host_without_a_locale_speaks_english_whatever_a_caller_says(
    machine: Machine, alice: Account
) -> None:
    machine.use_pam("sudo", LINES)
    for content in ("", "LANG=C.UTF-8\n", "LANG=de_DE\n", "LANG=de_DE.ISO-8859-1\n"):
        machine.write("/etc/default/locale", content)
        sudo = begin_sudo(machine, alice, FOREIGN)
        sudo.expect_exact(str(messages.PROMPT))
        sudo.close()


@hosts.only(hosts.SPAWNED)  # it starts what it needs
@pytest.mark.parametrize("module", ["pam_totp.so", "pam_python.so"])
def test_the_self_test_passes_whatever_is_spoken(machine: Machine, module: str) -> None:
    speak(machine, "de_DE", "/etc/default/locale")
    environment = {"LANG": "de_DE.UTF-8", "LC_ALL": "de_DE.UTF-8", "LANGUAGE": "de"}
    machine.run("totpctl", "selftest", "--module", module, env=environment)


@hosts.only(hosts.SPAWNED)  # the worker is gone
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_module_says_in_that_language_that_there_is_no_worker(
    machine: Machine, alice: Account, language: str
) -> None:
    machine.use_pam("sudo", LINES)
    machine.run("rm", "-r", "/usr/lib/pam_totp")
    speak(machine, language)
    said, enter = (text.said_in(catalog(language)) for text in OF_MODULE)
    sudo = begin_sudo(machine, alice, FOREIGN)
    sudo.expect_exact(said)
    sudo.answer(enter, "")
    sudo.close()
