"""Taken off the server: refused while a login asks for codes, and without a trace afterwards."""

from __future__ import annotations

import re

import pytest

from tests.booted.ways_in import LOGGED_IN, by_sudo, checksums, terminal, totpctl, type_into
from tests.machines.server import (
    KEY,
    PACKAGE,
    RECORD,
    SERVICES,
    STORE,
    Server,
    assert_asks,
    assert_asks_nobody,
    assert_sound,
    enrol_three,
)

QUESTION = "libpam-totp libpam-totp/purge-secrets boolean"
# What may be another one after install and purge, and why.
MAY_DIFFER = (
    r"/var/lib/dpkg/",  # what dpkg knows
    r"/var/lib/apt/",
    r"/var/cache/(apt|debconf|man|ldconfig)/",
    r"/var/log/",
    r"/var/lib/systemd/(timers|random-seed)",
    r"/run/(systemd|log|user|sudo|udev|lock)/",
)


class Removals:
    release: str
    builds = ()
    pytestmark = pytest.mark.root

    def test_remove_and_purge_are_refused_while_codes_are_asked_for(self, server: Server) -> None:
        ann, ben, cas = enrol_three(server)
        before = checksums(server)
        totpctl(server, "enable", *SERVICES, "--no-confirm")
        enabled = checksums(server)
        for verb, person in (("remove", ann), ("purge", ben)):
            said = server.apt(verb, PACKAGE, fails=True)
            assert "still in use by: " in said
            assert "/etc/pam.d/sshd" in said
            assert enabled == checksums(server)
            assert_asks(server, person)
            assert_sound_but_for_what_is_wanted(server)
        (line,) = re.findall(r"totpctl disable [\w. -]+", said)
        server.run(*line.split())
        assert before == checksums(server)
        server.apt("purge", PACKAGE)
        assert_asks_nobody(server, cas.account)

    def test_remove_is_refused_while_a_change_waits_and_it_is_put_back_all_the_same(
        self, server: Server
    ) -> None:
        ann, *_ = enrol_three(server)
        before = checksums(server)
        totpctl(server, "enable", *SERVICES)
        said = server.apt("remove", PACKAGE, fails=True)
        assert "run: totpctl confirm, or: totpctl revert" in said
        assert server.exists(RECORD)
        assert_asks(server, ann)
        server.reboot(at_once=True)
        assert not server.exists(RECORD)
        assert before == checksums(server)
        server.apt("remove", PACKAGE)
        assert_asks_nobody(server, ann.account)

    def test_line_written_by_hand_keeps_the_package_and_pam_auth_update_s_is_taken_out(
        self, server: Server
    ) -> None:
        ann, *_ = enrol_three(server)
        stays = terminal(server, ann.account, None)
        by_hand = "auth required pam_totp.so unenrolled=skip\n"
        server.write("/etc/pam.d/own", by_hand)
        assert "/etc/pam.d/own" in server.apt("remove", PACKAGE, fails=True)
        assert by_hand == server.read("/etc/pam.d/own")
        server.write("/etc/pam.d/own", f"# {by_hand}")
        before = checksums(server)
        server.run("pam-auth-update", "--enable", "totp")
        assert ["/etc/pam.d/common-auth"] == server.files_that_name_the_module()
        assert LOGGED_IN in by_sudo(server, ann.account, ann.answer())
        server.apt("remove", PACKAGE)
        assert before == checksums(server)
        assert_asks_nobody(server, ann.account)
        assert LOGGED_IN in type_into(stays, "id")

    def test_purge_that_removes_secrets_leaves_nothing(self, bare: Server) -> None:
        bare.add_account("ann", "sudo")
        before = bare.everything()
        bare.apt("install", bare.deb("this"))
        bare.enrol("ann")
        totpctl(bare, "enable", *SERVICES, "--no-confirm")
        totpctl(bare, "selftest")
        totpctl(bare, "disable", *SERVICES)
        bare.run("debconf-set-selections", typed=f"{QUESTION} true\n")
        bare.apt("purge", PACKAGE)
        assert not any(bare.exists(path) for path in (KEY, STORE))
        changed = sorted(
            line for line in before ^ bare.everything() if not re.search("|".join(MAY_DIFFER), line)
        )
        assert [] == changed
        ours = ("-name", "*pam[_-]totp*", "!", "-path", "/usr/src/*", "!", "-path", "/packages/*")
        assert "" == bare.run("find", "/", "-xdev", *ours).stdout
        assert "" == bare.run("debconf-show", PACKAGE).stdout


def assert_sound_but_for_what_is_wanted(server: Server) -> None:
    """The administrator asked for the removal: that dpkg remembers, and nothing else."""
    assert "i " == server.state()[1:3], server.state()
    server.apt("install", PACKAGE)
    assert_sound(server)
