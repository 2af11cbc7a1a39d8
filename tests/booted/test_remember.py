"""remember on a machine that boots: what the service sees in its sandbox, and sshd's processes."""

from __future__ import annotations

import pytest

from tests.booted.logins import CODE, PASSWORD, journal
from tests.support.booted import Booted
from tests.support.machine import Account, Terminal

pytestmark = pytest.mark.root

CONFIG = "/etc/security/pam_totp.conf"
SHELL = r"[$] $"
ADDRESS = "10.9.0.2"  # loopback is nobody's place


# Debian's base has no ip: an address of lo by ioctl (netdevice(7)).
ADD_ADDRESS = f"""
import fcntl, socket, struct
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
    address = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton("{ADDRESS}"))
    fcntl.ioctl(one, 0x8916, struct.pack("16s16s", b"lo:1", address))
"""


@pytest.fixture
def remembering(shared: Booted) -> Booted:
    shared.write(CONFIG, shared.read(CONFIG) + "\nremember = 1h\n")
    shared.run("python3", "-c", ADD_ADDRESS)
    shared.run("totpctl", "enable", "sudo", "--no-confirm", "--force")
    return shared


def shell_of(machine: Booted, user: Account, code: str = "") -> Terminal:
    """Return a shell by ssh; without ``code`` none may be asked for."""
    client = machine.ssh(user, "-tt", f"-b{ADDRESS}", f"-oHostName={ADDRESS}", command="sh -i")
    client.answer(PASSWORD, user.password)
    if code:
        client.answer(CODE, code)
    client.expect(SHELL)
    return client


def test_the_service_remembers_address_and_login_until_the_password_changes(
    remembering: Booted,
) -> None:
    alice = remembering.add_user("alice")
    remembering.run("usermod", "--append", "--groups=sudo", alice.name)
    first = shell_of(remembering, alice, alice.code())
    first.sendline("sudo -k expr 41 + 1")
    first.answer("password for alice: ", alice.password)
    first.expect("\r\n42\r\n")
    second = shell_of(remembering, alice)
    found = [line for line in journal(remembering) if "event=remembered user=alice" in line]
    assert ["login", "address"] == [line.split(" by=")[1].split()[0] for line in found]
    changed = alice._replace(password="another password")
    remembering.run("chpasswd", typed=f"{changed.name}:{changed.password}\n")
    third = remembering.ssh(alice, "-tt", f"-b{ADDRESS}", f"-oHostName={ADDRESS}", command="sh -i")
    third.answer(PASSWORD, changed.password)
    third.expect(CODE)
    for client in (first, second, third):
        client.close()
