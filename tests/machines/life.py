"""A server's life: installed, switched on, upgraded, a phone lost, taken off again, and back."""

from __future__ import annotations

import base64
import json

import pytest

from tests.booted.logins import is_active, main_pid
from tests.booted.ways_in import (
    CODE,
    KEY_WAYS,
    LOCAL_WAYS,
    LOGGED_IN,
    PASSWORD_WAYS,
    Person,
    by_ssh,
    by_sudo,
    checksums,
    give_code,
    terminal,
    totpctl,
    type_into,
)
from tests.machines.server import (
    CONFIG,
    KEY,
    PACKAGE,
    SERVICE,
    SOCKET,
    STORE,
    Server,
    assert_asks,
    assert_asks_nobody,
    assert_sound,
    enrol_three,
    is_refused,
)
from tests.support.booted import WITH_KEY
from tests.support.place import ROOT

EVERYTHING = ("sshd", "sudo", "login", "su")
# What a fresh install is: type, owner and mode.
PLACES = {
    "/etc/security/pam_totp.conf": "regular file root:root 644",
    "/etc/fail2ban/filter.d/pam_totp.conf": "regular file root:root 644",
    KEY: "regular file root:root 600",
    "/run/pam_totp": "directory root:root 755",
    "/run/pam_totp/me.sock": "socket root:root 666",
    "/run/pam_totp/pam_totp.sock": "socket root:root 600",
    "/run/pam_totp/worker.sock": "socket root:root 600",
    "/usr/bin/totpctl": "symbolic link root:root 777",
    "/usr/lib/pam_totp/hook.py": "symbolic link root:root 777",
    "/usr/lib/pam_totp/worker": "regular file root:root 755",
    "/usr/sbin/totpctl": "regular file root:root 755",
    "/usr/share/pam-configs/totp": "regular file root:root 644",
    "/var/lib/pam_totp": "directory root:root 700",
    STORE: "regular file root:root 600",
}
UNITS = {
    "pam_totp.service": "static",
    "pam_totp.socket": "enabled",
    "pam_totp-me.socket": "enabled",
    "pam_totp-me@.service": "static",
    "pam_totp-worker.socket": "static",
    "pam_totp-worker@.service": "static",
    "pam_totp-recover@.service": "static",
    "pam_totp-doctor.service": "static",
    "pam_totp-doctor.timer": "enabled",
    "pam_totp-revert.service": "disabled",
}


class LifeOfAServer:
    release: str
    builds = ("next",)
    pytestmark = pytest.mark.root

    def test_install_makes_all_ready_and_changes_no_login(self, bare: Server) -> None:
        account = bare.add_account("ann", "sudo")
        before = checksums(bare)
        said = bare.apt("install", bare.deb("this"))
        assert (ROOT / "packaging/next-steps").read_text("utf-8") in said
        words = ("--format=%n=%F %U:%G %a", *PLACES)
        found = bare.run("stat", *words).stdout.replace("regular empty", "regular").splitlines()
        assert [f"{path}={what}" for path, what in PLACES.items()] == found
        units = {unit: bare.systemctl("is-enabled", unit, check=False) for unit in UNITS}
        assert UNITS == units
        assert {"active", "inactive"} == {is_active(bare, unit) for unit in (SOCKET, SERVICE)}
        assert_sound(bare)
        links = ("systemd/system/sockets.target.wants", "systemd/system/timers.target.wants")
        new = [line for line in checksums(bare).splitlines() if line not in before.splitlines()]
        assert [] == [line for line in new if not line.startswith(links)]
        assert [] == [line for line in before.splitlines() if line not in checksums(bare)]
        assert_asks_nobody(bare, account)
        assert bare.run("dpkg", "--verify", PACKAGE).stdout == ""
        totpctl(bare, "selftest")

    def test_from_the_first_enrolment_to_the_purge(self, server: Server) -> None:
        ann, ben, cas = people = enrol_three(server)
        before = checksums(server)
        everybody_logs_in_each_way(server, people)
        server.run("sh", "-c", f"echo 'issuer = tomorrow' >>{CONFIG}")
        kept = server.digest(KEY, CONFIG)
        enrolled = server.authenticators()

        upgrade_with_people_logged_in(server, ann, ben)
        assert kept == server.digest(KEY, CONFIG)
        assert "a setting of tomorrow" in server.read(f"{CONFIG}.dpkg-dist")
        assert enrolled == server.authenticators()
        assert_sound(server)

        ann = lose_the_phone(server, ann)
        downgrade_is_refused(server, cas)

        said = server.apt("remove", PACKAGE, fails=True)
        assert "run: totpctl disable" in said
        assert "ii " == server.state()[:3]
        assert_asks(server, cas)

        totpctl(server, "disable", *EVERYTHING)
        assert before == checksums(server)
        stays = terminal(server, cas.account, None)
        enrolled = server.authenticators()
        kept = server.digest(KEY, CONFIG)
        server.apt("remove", PACKAGE)
        assert "rc " == server.state()[:3]
        assert_asks_nobody(server, cas.account)
        assert LOGGED_IN in type_into(stays, "id")
        assert_no_unit(server)
        assert kept == server.digest(KEY, CONFIG)

        server.apt("install", server.deb("next"))
        assert enrolled == server.authenticators()
        assert kept == server.digest(KEY, CONFIG)
        totpctl(server, "enable", "sshd", "sudo", "--no-confirm")
        assert_asks(server, ben)
        assert_sound(server)

        totpctl(server, "disable", "sshd", "sudo")
        said = server.apt("purge", PACKAGE)
        assert f"rm -rf /var/lib/pam_totp {KEY}" in said
        assert all(server.exists(path) for path in (KEY, STORE))
        assert not server.exists(CONFIG)
        assert_asks_nobody(server, cas.account)
        assert_no_unit(server)
        assert "" == server.run("find", "/etc/systemd", "-name", "pam_totp*").stdout


def everybody_logs_in_each_way(server: Server, people: list[Person]) -> None:
    """Try the change before it is confirmed."""
    ann, ben, cas = people
    totpctl(server, "enable", *EVERYTHING)
    for person, ways in ((ann, PASSWORD_WAYS), (ben, KEY_WAYS), (cas, LOCAL_WAYS)):
        for way in ways:
            assert LOGGED_IN in way.go(server, person.account, person.answer()), way.name
    assert is_refused(server, ann.account, ann.account.wrong_code())
    totpctl(server, "confirm")


def upgrade_with_people_logged_in(server: Server, ann: Person, ben: Person) -> None:
    """Ann is logged in, ben stands at the prompt; the schema of the store moves."""
    shell = terminal(server, ann.account, ann.answer())
    (itself,) = type_into(shell, "echo $$").split()
    waiting = server.ssh(ben.account, WITH_KEY, command="id")
    waiting.expect_exact(CODE)
    old, schema = main_pid(server), server.schema()
    assert old
    server.apt("install", server.deb("next"))
    assert "ii 8.0" == server.state()[:6]
    assert schema + 1 == server.schema()
    assert main_pid(server) not in (0, old)
    assert LOGGED_IN in by_sudo(server, ann.account, ann.answer())
    waiting.sendline(ben.answer())
    if LOGGED_IN not in waiting.rest():
        again = give_code(server.ssh(ben.account, WITH_KEY, command="id"), ben.answer())
        assert LOGGED_IN in again.rest()
    assert itself in type_into(shell, "echo $$").split()
    shell.sendline("exit")
    shell.rest()


def lose_the_phone(server: Server, person: Person) -> Person:
    """Whoever finds it, and the paper with it, has nothing."""
    words = ("--yes", "--no-confirm", "--json")
    shown = json.loads(totpctl(server, "reset", person.account.name, *words).stdout)
    account = person.account._replace(secret=base64.b32decode(shown["secret"]))
    for found in (person.account.code(1), person.recovery_codes.pop()):
        assert is_refused(server, account, found)
    owner = Person(account._replace(recovery_codes=shown["recovery_codes"]))
    assert LOGGED_IN in by_ssh(server, account, owner.answer())
    assert LOGGED_IN in by_ssh(server, account, owner.recovery_codes.pop())
    return owner


def downgrade_is_refused(server: Server, person: Person) -> None:
    """The older one could not read the store: all stays as it is, and works."""
    schema = server.schema()
    said = server.apt("install", "--allow-downgrades", server.deb("this"), fails=True)
    assert f"the store has schema {schema}, and this version knows {schema - 1}" in said
    assert "hint: " in said
    assert "ii 8.0" == server.state()[:6]
    assert schema == server.schema()
    assert main_pid(server)
    assert_asks(server, person)
    assert_sound(server)


def assert_no_unit(server: Server) -> None:
    assert "" == server.systemctl("list-unit-files", "--no-legend", "pam_totp*", check=False)
    loaded = ("list-units", "--all", "--state=loaded", "--no-legend", "pam_totp*")
    assert "" == server.systemctl(*loaded)
    assert not server.exists("/run/pam_totp/pam_totp.sock")
