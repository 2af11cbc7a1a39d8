"""How somebody comes in at each service of the matrix, with the real program."""

from __future__ import annotations

import concurrent.futures
import re
import shlex
from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

from pexpect import EOF

from tests.cli.terminal import secret_of
from tests.e2e import one_field
from tests.support.machine import Account, Machine, Terminal
from tests.support.place import code_now

TRUSTED, ELSEWHERE = "10.9.0.2", "127.0.0.1"  # where people come from
STRANGER = "stranger"  # who runs su
KEY = "/tmp/key-of-everybody"
MARK, ANSWER = "expr 41000000 + 1000042", "42000042"  # which no message shows
TOLD = {
    "locked": "Too many wrong codes: locked. An administrator can run: totpctl unlock ",
    "used": "This code has already been used. Wait for the next one (at most ",
    "wrong": "Wrong code. Enter the current code from your app, or a recovery code.",
}
_PASSWORD, _CODE = "(?i)password[^:\r\n]*: ", "Verification code: "
_NEW_CODE, _ENTER = "Code shown by the app: ", "Until then nothing is saved: "
_SHELL, _AGAIN = "[$] $", "Login incorrect"
_PROMPTS = [_PASSWORD, _CODE, _NEW_CODE, _ENTER, _SHELL, _AGAIN, EOF]
_SSH = ("-oStrictHostKeyChecking=no", "-oNumberOfPasswordPrompts=1")
_GETTY = """
touch /dev/{console}
umount --quiet /dev/{console}
mount --bind "$(tty)" /dev/{console}
exec setsid --wait agetty -8 -L {console} dumb
"""
# Waits until the server has said one or the other, and ends the client.
_OPENVPN = """
set -e
: >{log}
{client} --log {log} &
until grep -qE 'AUTH_FAILED|Initialization Sequence Completed' {log}; do
    kill -0 $! && sleep 0.1
done
kill $! 2>/dev/null || :
wait || :
cat {log}
"""
ONE_FIELD = ("openvpn", "vsftpd", "dovecot", "xrdp", "radius")
ONE_AT_A_TIME = ("openvpn", "xrdp", "radius")  # a refusal, 2 to 4 seconds, holds up all others


class Login(NamedTuple):
    """One attempt. ``place``: an address of this machine, which the login comes from."""

    user: Account
    codes: Iterable[str] = ()  # that are typed, one after the other
    place: str = ELSEWHERE


def outcome(machine: Machine, service: str, login: Login) -> str:
    """Return what comes of ``login``, as the matrix has it."""
    if service in ONE_FIELD:
        return _by_one_field(machine, service, login)
    passwords = 1
    if service in ("ssh", "ssh-key"):
        terminal = _ssh(machine, login, MARK, key=service == "ssh-key")
    elif service == "login":
        console = "tty1" if login.place == TRUSTED else "ttyS0"
        script = _GETTY.format(console=console)
        terminal = machine.spawn("script", "-q", "-e", "-c", script, "/dev/null")
        terminal.answer("login: ", login.user.name)
    else:
        command = {
            "sudo": ("sudo", "-k", *MARK.split()),
            "su": ("/usr/bin/su", login.user.name, "-c", MARK),
        }[service]
        if login.place == TRUSTED:  # in a session that was opened from there
            passwords = 2
            terminal = _ssh(machine, login, shlex.join(command), "-tt")
        else:
            user = login.user.name if service == "sudo" else STRANGER
            terminal = machine.spawn(*command, user=user)
    return _at_a_terminal(terminal, login, passwords)


def _ssh(
    machine: Machine, login: Login, command: str, *options: str, key: bool = False
) -> Terminal:
    # Whoever connects to an address of this machine comes from it.
    always = (*_SSH, f"-oHostName={login.place}", *options, *([f"-i{KEY}"] if key else []))
    return machine.ssh(login.user.name, *always, command=command)


def _at_a_terminal(terminal: Terminal, login: Login, passwords: int) -> str:
    """Answer every prompt until somebody is let in, or turned away."""
    codes = iter(login.codes)
    shown, asked, enrolled = "", False, False
    while True:
        prompt = _PROMPTS[terminal.expect(_PROMPTS)]
        shown += terminal.before
        if prompt == _PASSWORD:
            passwords -= 1
            if passwords < 0:  # sudo begins again
                break
            terminal.sendline(login.user.password)
        elif prompt == _CODE:
            asked = True
            code = next(codes, None)
            if code is None:
                break
            terminal.sendline(code)
        elif prompt == _NEW_CODE:
            terminal.sendline(code_now(0, secret_on(shown)))
        elif prompt == _ENTER:
            enrolled = True
            terminal.sendline("")
        elif prompt == _SHELL:
            terminal.sendline(f"{MARK}; exit")
        else:
            break
    terminal.close()
    if ANSWER in shown.split():
        return "enrolls" if enrolled else "code" if asked else "in"
    return next((word for word, text in TOLD.items() if text in shown), "no")


def _by_one_field(machine: Machine, service: str, login: Login) -> str:
    """Try the password alone, and at the same time with a code behind it."""
    alone, name = login.user.password, login.user.name
    code = next(iter(login.codes))
    answers = (alone, f"{alone}{' ' if '-' in code else ''}{code}")  # of a recovery code
    by = {"openvpn": _by_openvpn, "xrdp": _by_xrdp, "radius": _by_radius}.get(service)
    if by is not None:
        with concurrent.futures.ThreadPoolExecutor() as together:
            let_in = [*together.map(partial(by, machine, login), answers)]
    else:
        kind, granted = {"vsftpd": ("ftp", "230"), "dovecot": ("imap", "OK")}[service]
        said = one_field.log_in(machine, kind, *answers, user=name, source=login.place)
        let_in = [granted == each for each in said]
    return {(True, False): "in", (False, True): "code", (False, False): "no"}[tuple(let_in)]


def _by_openvpn(machine: Machine, login: Login, answer: str) -> bool:
    file = f"/tmp/{login.user.name}.{len(answer)}"
    machine.write(file, f"{login.user.name}\n{answer}\n", 0o600)
    client = one_field.openvpn_client(file, login.place)
    shown = machine.run("sh", "-c", _OPENVPN.format(client=client, log=f"{file}.log")).stdout
    return "Initialization Sequence Completed" in shown


def _by_xrdp(machine: Machine, login: Login, answer: str) -> bool:
    command = ("xrdp-sesrun", "-s", "127.0.0.1", "-t", "Xvnc", "-F", "0", login.user.name)
    return "\nok " in f"\n{machine.run(*command, typed=answer, check=False).stdout}"


def _by_radius(machine: Machine, login: Login, answer: str) -> bool:
    asked = f'User-Name = {login.user.name}, User-Password = "{answer}"\n'
    client = (
        "radclient",
        "-r",
        "1",
        "-t",
        "30",
        "-x",
        "127.0.0.1",
        "auth",
        one_field.RADIUS_SECRET,
    )
    shown = machine.run(*client, typed=asked, check=False).stdout
    return "Received Access-Accept" in shown


def secret_on(screen: str) -> bytes:
    """Return the secret that somebody who is to enroll is shown."""
    found = re.search(r"Secret: ([A-Z2-7 ]+)", screen)
    assert found, screen
    return secret_of("?secret=" + found[1].replace(" ", "").strip())
