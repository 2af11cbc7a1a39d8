"""Every way to log in, at every service, with the real programs: the table of matrix.py."""

from __future__ import annotations

import base64
import concurrent.futures
import itertools
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.e2e import matrix, one_field
from tests.e2e.conftest import PREPARED, Prepared
from tests.e2e.doors import (
    ELSEWHERE,
    KEY,
    ONE_AT_A_TIME,
    ONE_FIELD,
    STRANGER,
    TRUSTED,
    Login,
    outcome,
)
from tests.support import enabling
from tests.support.enabling import PASSWORD_STEP, totpctl
from tests.support.machine import CLIENT, Account, Machine
from tests.unit.pam_files import GOLDEN

pytestmark = pytest.mark.root

CONFIG = "/etc/security/pam_totp.conf"
# A program ends after two wrong codes, and has told of the first one by then.
SETTINGS = f"attempts = 2\nskip_from = {TRUSTED}, tty\nalternative = pam_u2f.so\n"
PASSWORD = "correct horse of the matrix"
FILES = (
    f"{' '.join(PREPARED)} /etc/pam.d /etc/ssh/sshd_config.d /etc/login.defs {CONFIG} /home {KEY}*"
)
ENROLL = "may enroll"
INCLUDES = "@include common-auth\n@include common-account\n"
PAM_SERVICE = {"xrdp": "xrdp-sesman", "radius": "radiusd"}
UNENROLLED = ("not enrolled", ENROLL, "exempt", "exempt, key only")
SSHD = f"ListenAddress {TRUSTED}\n{enabling.SSHD_CONFIG}"
# A stand-in for libpam-u2f: there is a key for one of them, and it is in the machine.
SECURITY_KEY = f"auth sufficient pam_u2f.so quiet user = {matrix.user_of('security key')}\n"
PEOPLE = """
for each; do useradd --create-home --groups sudo --shell /bin/sh $each; done
for each; do echo "$each:$PASSWORD"; done | chpasswd --crypt-method SHA256
setpriv --reuid=$CLIENT --regid=nogroup --clear-groups ssh-keygen -q -t ed25519 -N '' -f $KEY
for each; do install -D -m 644 $KEY.pub /home/$each/.ssh/authorized_keys; done
for folder in /usr/lib/*/security /lib/*/security; do
    [ ! -e $folder/pam_succeed_if.so ] || cp $folder/pam_succeed_if.so $folder/pam_u2f.so
done
sed -i '/FAIL_DELAY/d' /etc/login.defs
echo 'FAIL_DELAY 0' >>/etc/login.defs
"""
STARTS = {
    "openvpn": one_field.start_openvpn,
    "vsftpd": one_field.start_vsftpd,
    "dovecot": one_field.start_dovecot,
    "xrdp": one_field.start_xrdp,
    "radius": one_field.start_radius,
}
LOCK = """
import sys
sys.path.insert(0, "/usr/lib/pam_totp")
from pam_totp import store
from pam_totp.store import sealing
from pam_totp.system import config
settings = config.load().config
sealer = sealing.read_sealer(settings.sealing_key)
with store.open_store(settings.store, sealer) as opened, opened.transaction("locked") as one:
    one.save(one.record._replace(failures=settings.max_failures))
"""


class People:
    """A person for each way, with a password, and with an authenticator where the way needs one."""

    def __init__(self) -> None:
        self.recovery_codes: list[str] = []

    def person(self, way: str) -> Account:
        name = matrix.user_of(way)
        return Account(name, PASSWORD, f"the secret of {name:32}".encode(), self.recovery_codes)

    def otpauth(self) -> str:
        """Return their authenticators, as a file to import."""
        enrolled = [self.person(way) for way in matrix.WAYS if way not in UNENROLLED]
        uris = [
            f"otpauth://totp/{each.name}?secret={base64.b32encode(each.secret).decode()}\n"
            for each in enrolled
        ]
        return "".join(uris).replace("=\n", "\n")


@pytest.fixture(scope="module")
def people() -> People:
    return People()


FETCHED = {"xrdp": ("xrdp",), "radius": ("freeradius", "freeradius-utils")}


@pytest.fixture(scope="module")
def town(prepared: Prepared, people: People) -> bytes:
    """The files of a machine where all services ask for a code, and all these people are."""
    with enabling.before_enable(prepared.files) as machine:
        names = [*map(matrix.user_of, matrix.WAYS), STRANGER]
        of_script = {"PASSWORD": PASSWORD, "CLIENT": CLIENT, "KEY": KEY}
        machine.run("sh", "-euc", PEOPLE, "sh", *names, env=of_script)
        machine.write("/tmp/people", people.otpauth(), mode=0o600)
        machine.run("totpctl", "import", "/tmp/people")
        shown = machine.run("totpctl", "recovery-codes", "recovery-code", "--yes", "--json").stdout
        people.recovery_codes = json.loads(shown)["recovery_codes"]
        machine.run("totpctl", "suspend", "suspended")
        machine.run("totpctl", "exempt", "exempt")
        machine.run("/usr/bin/python3", "-c", LOCK)
        machine.write(CONFIG, SETTINGS)
        for service in ("sudo", "su", "login"):
            machine.use_pam(service, PASSWORD_STEP + SECURITY_KEY)
        for service in ("vsftpd", "dovecot"):
            text = (GOLDEN / "debian-12" / service).read_text("utf-8")
            machine.write(f"/etc/pam.d/{service}", text)
        for service in ("openvpn", "xrdp-sesman", "radiusd"):
            machine.write(f"/etc/pam.d/{service}", INCLUDES)
        done = totpctl(machine, "enable", "sshd", "sudo", "su", "login", "--no-confirm", "--force")
        assert 0 == done.returncode, done.stderr
        for service in ONE_FIELD:
            name = PAM_SERVICE.get(service, service)
            done = totpctl(machine, "enable", name, "--one-prompt", "--no-confirm")
            assert 0 == done.returncode, done.stderr
        machine.run("totpctl", "exempt", "exempt-key-only", "--key-only", "--no-confirm")
        pack = f"tar -c -P {FILES} /usr/lib/*/security/pam_u2f.so | base64 --wrap=0"
        return base64.b64decode(machine.run("sh", "-c", pack).stdout)


@pytest.fixture
def machine(town: bytes, service: str, tmp_path: Path) -> Iterator[Machine]:
    with Machine(installed=True) as started:
        if service in FETCHED:
            one_field.unpack_packages(started, tmp_path, *FETCHED[service])
        started.unpack(town)
        started.start_service()
        started.run("ip", "address", "add", f"{TRUSTED}/32", "dev", "lo")
        if service == "openvpn" and not one_field.has_tun(started):
            pytest.skip("this kernel has no tun")
        if service in STARTS:
            STARTS[service](started)
        elif service != "login":
            started.start_sshd(SSHD)
        yield started


def login_of(machine: Machine, people: People, service: str, way: str) -> str:
    """Return what comes of one way, after what has to happen before it."""
    person = people.person(way)
    place = TRUSTED if way == "trusted place" else ELSEWHERE
    code = person.code(+1)
    codes = itertools.repeat(code)  # until the program has enough
    if way == "recovery code":
        codes = iter(person.recovery_codes[:1])
    elif way == "wrong code":
        codes = itertools.repeat(person.wrong_code())
    elif way == "used code":
        assert "code" == outcome(machine, service, Login(person, [code]))
    return outcome(machine, service, Login(person, codes, place))


@pytest.mark.parametrize(
    "service",
    [
        pytest.param(name, marks=pytest.mark.night) if name in matrix.NIGHTLY else name
        for name in matrix.SERVICES
    ],
)
def test_what_comes_of_each_way_is_what_the_table_says(
    machine: Machine, people: People, service: str
) -> None:
    expected = matrix.column(service)
    ways = [way for way in expected if way != ENROLL]
    workers = 1
    if service in ONE_FIELD and service not in ONE_AT_A_TIME:
        workers = len(ways)
    log_in = partial(login_of, machine, people, service)
    with concurrent.futures.ThreadPoolExecutor(workers) as together:
        found = dict(zip(ways, together.map(log_in, ways), strict=True))
    machine.write(CONFIG, f"{SETTINGS}unenrolled = enroll\n")
    found[ENROLL] = log_in(ENROLL)
    assert {way: expected[way] for way in found} == found


def test_each_cell_says_an_outcome_or_why_there_is_none() -> None:
    assert {*matrix.OUTCOMES, *matrix.NO_SENSE} == {word for row in matrix.rows() for word in row}
    assert {len(matrix.SERVICES)} == {*map(len, matrix.rows())}
