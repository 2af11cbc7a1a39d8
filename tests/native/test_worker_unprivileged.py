"""Programs without root at the worker's socket: refused, or served as the file says, and no more.

In a machine of its own, for /etc/security/pam_totp.conf is the file that counts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pam_totp.service.loop import PAUSE_SECONDS
from tests.native import worker_side as side
from tests.support.machine import Machine
from tests.support.place import code_now, wrong_code

pytestmark = pytest.mark.root

SOCKET = "/run/pam_totp/pam_totp.sock"
CONFIG = "/etc/security/pam_totp.conf"
PASSWORD_GIVEN = 0x40000000
PROVES_THE_PASSWORD = "auth requisite pam_unix.so\nauth required pam_totp.so\n"

# Says one dialogue after the other, each on a connection of its own; all stay open till the end.
CLIENT = """
import json, os, socket, sys
said = json.load(sys.stdin)
heard, connections = [], []
for packets in said:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(20)
    connections.append(connection)
    received = []
    try:
        connection.connect("/run/pam_totp/pam_totp.sock")
        for packet in packets:
            try:
                connection.send(bytes.fromhex(packet))
            except BrokenPipeError:
                pass  # refused before it spoke: the reason waits for it
            received.append(connection.recv(65536).hex())
    except OSError as error:
        received.append(type(error).__name__)
    heard.append(received)
print(json.dumps([os.getuid(), heard]))
"""


class Town:
    """A machine with a service that anybody may call, and two who are enrolled."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        machine.install_product()
        self.alice = machine.enrol("alice")
        self.bob = machine.enrol("bob")
        self.configure("unprivileged = yes")
        start = f"/usr/lib/pam_totp/worker --listen {SOCKET} & "
        wait = f"while ! [ -S {SOCKET} ]; do sleep 0.01; done; chmod 0666 {SOCKET}"
        machine.run("sh", "-c", f"({start}) </dev/null >/dev/null 2>&1; {wait}")
        machine.write("/usr/local/bin/client.py", CLIENT)

    def configure(self, *lines: str) -> None:
        self.machine.write(CONFIG, "".join(f"{line}\n" for line in lines))

    def say(self, user: str, *dialogues: list[bytes]) -> tuple[int, list[list[Any]]]:
        """Return the user's id, and for each dialogue the packets that came back."""
        typed = json.dumps([[packet.hex() for packet in packets] for packets in dialogues])
        client = ("/usr/bin/python3", "-I", "/usr/local/bin/client.py")
        uid, heard = json.loads(self.machine.run(*client, typed=typed, user=user).stdout)
        if user != "root":
            time.sleep(PAUSE_SECONDS + 0.1)  # its places are free again
        return uid, [[packet_of(received) for received in dialogue] for dialogue in heard]


def packet_of(received: str) -> bytes:
    try:
        return bytes.fromhex(received)
    except ValueError:
        return received.encode()


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    with Machine() as machine:
        yield Town(machine)


@pytest.fixture(autouse=True)
def _as_the_file_says(town: Town) -> Iterator[None]:
    yield
    town.configure("unprivileged = yes")


def results(heard: list[bytes]) -> list[int]:
    """Return the codes of RESULT packets; -1 for REFUSED."""
    return [-1 if p[3] == side.REFUSED else p[4] for p in heard if p[3] in (18, 19)]


def dialogue(request: bytes, *codes: str) -> list[bytes]:
    """One answer after each prompt, with NONE for the message that follows a wrong one."""
    said = [request]
    for code in codes:
        said += [side.answer(code), side.answer(b"", side.NONE)]
    return said


def ends(town: Town, user: str, request: bytes, *codes: str) -> list[int]:
    _, (heard,) = town.say(user, dialogue(request, *codes))
    return results([packet for packet in heard if packet[:2] == b"PT"])


def test_nobody_without_root_is_served_unless_the_file_says_so(town: Town) -> None:
    for lines in ((), ("unprivileged = no",), ("unprivileged = perhaps",)):
        town.configure(*lines)
        assert [-1] == ends(town, "alice", side.request(b"alice"))
    town.machine.log.wait_for("pam_totp(worker): event=error", "unprivileged = yes", "peer_uid=")


def test_an_argument_cannot_say_so(town: Town) -> None:
    town.configure()
    town.machine.write("/tmp/mine.conf", "unprivileged = yes\n", owner="alice")
    for argument in (b"unprivileged=yes", b"unprivileged", b"config=/tmp/mine.conf"):
        assert [-1] == ends(town, "alice", side.request(b"alice", arguments=[argument]))


def test_a_file_that_cannot_be_believed_says_nothing(town: Town) -> None:
    town.machine.run("chmod", "0666", CONFIG)
    assert [-1] == ends(town, "alice", side.request(b"alice"))
    town.machine.run("chmod", "0644", CONFIG)
    town.machine.log.wait_for("pam_totp(worker): event=error", "is writable by others")


def test_a_user_is_served_for_the_own_name_alone(town: Town) -> None:
    assert [0] == ends(town, "alice", side.request(b"alice"), town.alice.code())
    town.machine.log.wait_for("pam_totp(unprivileged.sshd:auth): event=accepted user=alice")
    for name in (b"bob", b"root", b"nosuchuser", b"", None, b"ALICE", b"alice ", b"al\xffice"):
        assert [-1] == ends(town, "alice", side.request(name), town.bob.code())
    town.machine.log.wait_for("asks for somebody else")


def test_root_is_served_for_anybody(town: Town) -> None:
    assert [0] == ends(town, "root", side.request(b"bob"), town.bob.code())


@pytest.mark.parametrize(
    "arguments",
    [
        [b"nullok"],
        [b"unenrolled=skip"],
        [b"exempt_groups=alice"],
        [b"store=/tmp/mine.db", b"sealing_key=/tmp/mine.key"],
        [b"config=/tmp/mine.conf"],
        [b"first_factor=key"],
        [b"max_failures=1"],
        [b"throttle_after=100"],
        [b"window=10"],
    ],
    ids=repr,
)
def test_arguments_that_would_make_it_easier_have_no_effect(
    town: Town, arguments: list[bytes]
) -> None:
    """For somebody enrolled and for somebody who is not: a prompt, and a wrong code is wrong."""
    town.machine.write("/tmp/mine.conf", "unenrolled = skip\n", owner="alice")
    town.machine.run("totpctl", "unlock", "alice")
    arguments = [b"attempts=1", *arguments]
    request = side.request(b"alice", ssh_auth_info=b"publickey x\n", arguments=arguments)
    assert [7] == ends(town, "alice", request, wrong_code(town.alice.secret))
    far_ahead = code_now(8, town.alice.secret)
    assert [7] == ends(town, "alice", request, far_ahead)
    if not town.machine.run("id", "mallory", check=False).stdout:
        town.machine.add_user("mallory", "no secret")
    strange = side.request(b"mallory", ssh_auth_info=b"publickey x\n", arguments=arguments)
    _, (heard,) = town.say("mallory", [strange])
    assert (side.MESSAGE, True) == (heard[0][3], heard[0][4] in side.PROMPTS)
    town.machine.log.wait_for("arguments of a program without root are ignored")


KEPT = b"PT\1\2\4"


def test_harmless_arguments_count(town: Town) -> None:
    town.machine.run("totpctl", "unlock", "alice")
    arguments = [b"attempts=1", b"prompt=Your code: ", b"echo", b"quiet"]
    request = side.request(b"alice", arguments=arguments)
    said = [request, side.answer(wrong_code(town.alice.secret))]
    _, (heard,) = town.say("alice", said)
    assert [b"PT\1\x10\2Your code: ", b"PT\1\x12\7"] == heard


def test_password_and_code_may_come_in_one_answer(town: Town) -> None:
    """A line that grants nothing, and hears nothing of the answer."""
    arguments = [b"first_factor=password", b"one_prompt"]
    _, (heard,) = town.say("alice", [side.request(b"alice", arguments=arguments), KEPT])
    assert [b"PT\1\x11\1\6Password and code: ", b"PT\1\x12\x19"] == heard


def test_a_key_that_sshd_never_saw_gives_nothing(town: Town) -> None:
    for service in (b"sshd", b"sshd-session", b"../sshd"):
        request = side.request(
            b"alice", service, ssh_auth_info=b"publickey x\n", arguments=[b"first_factor=key"]
        )
        _, (heard,) = town.say("alice", [request])
        assert side.MESSAGE == heard[0][3]


def test_eight_connections_and_no_ninth(town: Town) -> None:
    def prompts() -> int:
        """Ask twelve times at once. A connection of just now may still be on the worker's list."""
        _, heard = town.say("alice", *[[side.request(b"alice")]] * 12)
        first = [packets[0] for packets in heard]
        prompted = sum(packet[3] == side.MESSAGE for packet in first)
        refused = [packet[6:] for packet in first if packet[3] == side.REFUSED]
        assert [b"too many connections of one user"] * (12 - prompted) == refused
        assert prompted <= 8
        return prompted

    side.wait_until(lambda: prompts() == 8)
    uid = town.machine.run("id", "-u", "alice").stdout.strip()
    town.machine.log.wait_for("too many connections of one user", f"peer_uid={uid}")
    side.wait_until(lambda: [] == ends(town, "alice", side.request(b"alice")))


def test_many_of_root_are_served_at_once(town: Town) -> None:
    _, heard = town.say("root", *[[side.request(b"alice")]] * 12)
    assert [side.MESSAGE] * 12 == [packets[0][3] for packets in heard]


def test_what_it_claims_of_itself_is_marked_or_dropped(town: Town) -> None:
    evil = b'x): event=accepted user=root rhost="\n<86>Nov 22 sshd[1]: Accepted'
    request = side.request(
        b"alice", evil, rhost=b"203.0.113.9", ruser=b"root", tty=evil, arguments=[b"attempts=1"]
    )
    assert [7] == ends(town, "alice", request, wrong_code(town.alice.secret))
    line = town.machine.log.wait_for("event=rejected", "unprivileged.x")
    uid = town.machine.run("id", "-u", "alice").stdout.strip()
    assert "203.0.113.9" not in line
    assert "\n" not in line
    assert '): event=rejected user=alice tty="x)' in line
    assert f"ruser={uid}" in line
    assert 1 == line.count("): event=", 0, line.index("tty="))


def test_nobody_without_root_enrols_with_a_password_that_it_claims(town: Town) -> None:
    """Not even where there is a PAM file of the name that its service gets."""
    town.machine.add_user("carol", "password of carol")
    town.machine.write("/etc/pam.d/unprivileged.sshd", PROVES_THE_PASSWORD)
    town.configure("unprivileged = yes", "unenrolled = enroll")
    request = side.request(b"carol", arguments=[b"attempts=1"], flags=PASSWORD_GIVEN)
    _, (heard,) = town.say("carol", [request, side.answer("123456"), side.answer("", side.NONE)])
    assert b"Verification code: " == heard[0][5:]
    assert "enrollment was not offered: no password was given" in town.machine.log.wait_for(
        "event=unenrolled", "user=carol"
    )


def test_guesses_of_a_program_without_root_are_counted(town: Town) -> None:
    request = side.request(b"bob", arguments=[b"attempts=10"])
    wrong = [wrong_code(town.bob.secret)] * 5
    assert [7] == ends(town, "bob", request, *wrong)
    assert [side.PAM_MAXTRIES] == ends(town, "bob", request, town.bob.code(1))
    assert 5 == town.machine.state("bob")["failures"]
