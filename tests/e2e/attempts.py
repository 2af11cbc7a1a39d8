"""Log in by every way on which the clean machine asks for a code: reality, beside doctor's word."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

from tests.support.booted import Booted
from tests.support.hosts import SOCKET
from tests.support.machine import CLIENT, QUICK_KEX, SSH_PORT, Account, Machine

WAYS = ("sudo", "sudo-i", "ssh", "ssh-key")
_CODES_A_WAY = 2  # where a stack asks twice
_NO_CODE = "not a code"
_KEY = "/tmp/key-of-attempts"
_CODES = "/tmp/codes-of-attempts"
# Give the password where one is asked for, else the next code.
_ASKPASS = f"""#!/bin/sh
case "$1" in
*[Pp]assword*) echo "$GIVEN_PASSWORD" ;;
*) sed -n '1p' "{_CODES}/$GIVEN_CODES"; sed -i '1d' "{_CODES}/$GIVEN_CODES" ;;
esac
"""
_SSHD = (
    f"/usr/sbin/sshd -p {SSH_PORT} -o ListenAddress=127.0.0.1 -o PidFile=none -o UseDNS=no"
    " -o HostKey=/tmp/host-key"
)
_SSH = (
    "ssh -F/dev/null -p$SSH_PORT -oUserKnownHostsFile=/dev/null -oStrictHostKeyChecking=no"
    f" -oLogLevel=ERROR -oNumberOfPasswordPrompts=1 -oKexAlgorithms={QUICK_KEX}"
)
_SSHD_OF_OUR_OWN = f"""
ssh-keygen -q -t ed25519 -N '' -f /tmp/host-key
install -d /run/sshd
{_SSHD} -o PerSourcePenalties=no 2>/dev/null || {_SSHD} || true
"""
# As on an administrator's machine. Where it cannot start, every login starts a worker of its own.
_SERVICE = f"""
listens() {{ grep -q ' 00010000 .* {SOCKET}$' /proc/net/unix; }}
listens && exit
/usr/lib/pam_totp/worker --listen </dev/null >/dev/null 2>&1 &
until listens || ! kill -0 $! 2>/dev/null; do sleep 0.01; done
"""
_PREPARE = f"""
test -e {_KEY} || setpriv --reuid={CLIENT} --regid=nogroup --clear-groups \\
    ssh-keygen -q -t ed25519 -N '' -f {_KEY}
if install -d -o alice -m 700 /home/alice/.ssh; then
    install -o alice -m 600 {_KEY}.pub /home/alice/.ssh/authorized_keys
fi
install -m 755 /dev/stdin /tmp/askpass
install -d -m 777 {_CODES}
"""
# One way in, with what is given. What shows that a command ran is no word of any message.
_GO = f"""
as() {{ user=$1; shift; setpriv --reuid="$user" --regid=nogroup --clear-groups "$@"; }}
case $WAY in
sudo) as alice sudo -k -A expr 41 + 1 ;;
sudo-i) as alice sudo -k -A -i expr 41 + 1 ;;
ssh) as {CLIENT} {_SSH} -oPubkeyAuthentication=no alice@127.0.0.1 expr 41 + 1 ;;
ssh-key) as {CLIENT} {_SSH} -i {_KEY} alice@127.0.0.1 expr 41 + 1 ;;
esac
"""
_ALL = f"""
import json, os, subprocess, sys
def start(name, way, password, codes):
    given = {{"WAY": way, "SSH_PORT": sys.argv[1], "GIVEN_PASSWORD": password, "GIVEN_CODES": name}}
    askpass = "/tmp/askpass"
    given |= {{"SSH_ASKPASS": askpass, "SSH_ASKPASS_REQUIRE": "force", "SUDO_ASKPASS": askpass}}
    path = "{_CODES}/" + name
    with open(path, "w") as file:
        file.write("".join(f"{{code}}\\n" for code in codes))
    os.chmod(path, 0o666)
    return subprocess.Popen(["sh", "-c", {_GO!r}], env={{**os.environ, **given}}, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True)
os.umask(0)
started = {{what[0]: start(*what) for what in json.load(sys.stdin)}}
print(json.dumps({{name: process.stdout.read() for name, process in started.items()}}))
"""


class Outcome(NamedTuple):
    """Which ways deny the right password (or key) and code, and which let in without a code."""

    denied: frozenset[str]
    bypassed: frozenset[str]


FINE = Outcome(frozenset(), frozenset())


BOTH = (True, False)


def try_all(
    machine: Machine, alice: Account, with_code: tuple[bool, ...] = BOTH, *, served: bool = True
) -> Outcome:
    """Let alice log in by each way, to an sshd that is started for it.

    ``served``: by the service, which is started for it too; else by a worker for each login.
    """
    if served:
        machine.run("sh", "-c", _SERVICE)
    machine.run("sh", "-c", _SSHD_OF_OUR_OWN)
    codes = [alice.code(), *alice.recovery_codes]
    return try_with(machine, alice, codes, SSH_PORT, with_code=with_code)


def try_with(
    machine: Machine | Booted,
    alice: Account,
    of_alice: Iterable[str],
    port: int,
    ways: tuple[str, ...] = WAYS,
    with_code: tuple[bool, ...] = BOTH,
) -> Outcome:
    """Let alice log in by each way, all at once, with a code and without, or as ``with_code`` says.

    What is no code is not counted as a guess, and every way has codes of its own.
    """
    machine.run("sh", "-c", _PREPARE, typed=_ASKPASS)
    codes = iter(of_alice)
    tries: list[tuple[str, str, str, list[str]]] = []
    for way in ways:
        if True in with_code:
            tries.append((way, way, alice.password, [next(codes) for _ in range(_CODES_A_WAY)]))
        if False in with_code:
            tries.append((f"{way}-without", way, alice.password, [_NO_CODE] * 9))
    command = ("/usr/bin/python3", "-I", "-c", _ALL, str(port))
    shown = json.loads(machine.run(*command, typed=json.dumps(tries)).stdout)
    let_in = {name for name, text in shown.items() if "42" in text.splitlines()}
    return Outcome(
        denied=frozenset(way for way in ways if True in with_code and way not in let_in),
        bypassed=frozenset(way for way in ways if f"{way}-without" in let_in),
    )
