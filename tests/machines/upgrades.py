"""Upgrades that come at a bad moment: a change waits for its confirmation; dpkg is killed.

On one release: the scripts are the same on both, and LifeOfAServer upgrades both.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.booted.logins import is_active, main_pid, wait_until, wait_until_gone
from tests.booted.ways_in import (
    LOGGED_IN,
    by_ssh,
    by_sudo,
    checksums,
    terminal,
    totpctl,
    type_into,
)
from tests.machines.server import (
    KEY,
    PACKAGE,
    RECORD,
    SERVICES,
    Server,
    assert_asks,
    assert_asks_nobody,
    assert_sound,
    enrol_three,
)
from tests.support import thorough
from tests.support.booted import TIMEOUT

# In place of dpkg for one run of apt: it does the first half, and the machine stops there.
_HALF_OF_DPKG = """#!/bin/sh
case " $* " in *" --configure "*) kill -KILL "$PPID" $$ ;; esac
exec /usr/bin/dpkg "$@"
"""
_SYSTEMD = "/usr/bin/deb-systemd-invoke"
# In its place, until postinst calls it: then whoever is at it is killed, from apt down.
_KILLER = f"""#!/bin/sh
case "$*" in "start pam_totp.service") exec {_SYSTEMD}.distrib "$@" ;; esac
exec pkill -KILL -x 'apt-get|dpkg|libpam-totp.*'
"""
_FORGET = f"""
rm /var/lib/dpkg/info/{PACKAGE}.*
sed -i '/^Package: {PACKAGE}$/,/^$/d' /var/lib/dpkg/status
"""


class Upgrades:
    release: str
    builds = ("later", "next") if thorough.NIGHTLY else ("next",)
    pytestmark = pytest.mark.root

    def test_change_that_waits_is_confirmed_after_the_upgrade(self, server: Server) -> None:
        ann, _, cas = enrol_three(server)
        before = checksums(server)
        totpctl(server, "enable", *SERVICES)
        server.apt("install", server.deb("next"))
        assert server.exists(RECORD)
        assert_asks(server, ann)
        totpctl(server, "confirm")
        assert not server.exists(RECORD)
        assert_asks(server, cas)
        assert_sound(server)
        totpctl(server, "disable", *SERVICES)
        assert before == checksums(server)

    def test_change_that_nobody_confirms_is_put_back_after_the_upgrade(
        self, server: Server
    ) -> None:
        ann, *_ = enrol_three(server)
        before = checksums(server)
        totpctl(server, "enable", *SERVICES, "--confirm-within", "10s")
        server.apt("install", server.deb("next"))
        wait_until_gone(server, RECORD)
        wait_until(lambda: is_active(server, "pam_totp-revert.service") != "activating")
        assert before == checksums(server)
        assert_asks_nobody(server, ann.account)

    @pytest.mark.night
    def test_upgrade_and_downgrade_within_one_schema_are_safe(self, server: Server) -> None:
        ann, ben, cas = enrol_three(server)
        totpctl(server, "enable", *SERVICES, "--no-confirm")
        shell = terminal(server, ann.account, ann.answer())
        kept, enrolled = server.digest(KEY), server.authenticators()
        for deb, person in (("later", ben), ("this", cas)):
            old = main_pid(server)
            server.apt("install", "--allow-downgrades", server.deb(deb))
            assert old != main_pid(server)
            assert_asks(server, person)
            assert_sound(server)
        assert LOGGED_IN in type_into(shell, "id")
        assert (kept, enrolled) == (server.digest(KEY), server.authenticators())

    @pytest.mark.night
    def test_worker_of_an_installation_that_was_no_package_is_replaced(
        self, server: Server
    ) -> None:
        """As `make install` leaves it: the same files, and dpkg does not know of them."""
        ann, ben, _ = enrol_three(server)
        totpctl(server, "enable", *SERVICES, "--no-confirm")
        assert_asks(server, ann)
        server.run("sh", "-c", _FORGET)
        assert "ii" not in server.state()
        old = main_pid(server)
        server.apt("install", server.deb("next"))
        assert old != main_pid(server)
        assert_asks(server, ben)
        assert_sound(server)

    @pytest.mark.parametrize(
        "moment",
        [
            "unpacking",
            pytest.param("configuring", marks=pytest.mark.night),
            pytest.param("unpacked", marks=pytest.mark.night),
        ],
    )
    def test_killed_upgrade_denies_no_login_for_good(self, server: Server, moment: str) -> None:
        """Nor while it stands half done: dpkg --configure -a, or another install, ends it."""
        ann, ben, cas = enrol_three(server)
        totpctl(server, "enable", *SERVICES, "--no-confirm")
        assert_asks(server, ben)
        shell = terminal(server, ann.account, ann.answer())
        kept, enrolled = server.digest(KEY), server.authenticators()
        KILLED[moment](server)
        assert "ii " != server.state()[:3]
        assert LOGGED_IN in by_ssh(server, cas.account, cas.answer())
        assert LOGGED_IN in by_sudo(server, cas.account, cas.answer())
        assert LOGGED_IN in type_into(shell, "id")
        server.dpkg("--configure", "-a")
        if moment == "unpacking":
            assert PACKAGE in server.dpkg("--audit")
            server.apt("install", "--reinstall", server.deb("next"))
        assert "ii 8.0" == server.state()[:6]
        assert (kept, enrolled) == (server.digest(KEY), server.authenticators())
        assert_sound(server)
        assert_asks(server, ben)


def kill_between_the_halves(server: Server) -> None:
    """As in a power cut: all files are the new ones, and no postinst has run."""
    server.write("/root/dpkg", _HALF_OF_DPKG, mode=0o755)
    server.apt("-o", "Dir::Bin::dpkg=/root/dpkg", "install", server.deb("next"), fails=True)
    assert "iU " == server.state()[:3]


def kill_among_the_files(server: Server) -> None:
    """Half of the files are the new ones, in place."""
    calls = "rename,renameat,renameat2"
    inject = f"--inject={calls}:signal=KILL:when=60"
    strace = ("strace", "-f", "-qq", "-o", "/dev/null", f"--trace={calls}", inject)
    dpkg = server.start("dpkg", "--unpack", server.deb("next"), under=strace)
    dpkg.wait(TIMEOUT)
    assert "iH" == server.state()[:2]
    find = ("find", "/usr/lib/pam_totp", "-name")
    assert "" != server.run(*find, "*.dpkg-new").stdout != server.run(*find, "*.dpkg-tmp").stdout


def kill_in_postinst(server: Server) -> None:
    """The new units are known, and nothing was started anew."""
    divert = ("dpkg-divert", "--quiet", "--local", "--rename")
    server.run(*divert, _SYSTEMD)
    server.write(_SYSTEMD, _KILLER, mode=0o755)
    server.apt("install", server.deb("next"), fails=True)
    server.run("rm", _SYSTEMD)
    server.run(*divert, "--remove", _SYSTEMD)
    assert "iF " == server.state()[:3]


KILLED: dict[str, Callable[[Server], None]] = {
    "unpacked": kill_between_the_halves,
    "unpacking": kill_among_the_files,
    "configuring": kill_in_postinst,
}
