"""The filter, compiled by fail2ban, on lines that a login wrote: whom it finds, and whom not."""

from __future__ import annotations

import json
import re
import time

import pytest

from pam_totp.core.users import SUSPENDED
from pam_totp.system import audit
from pam_totp.system.audit import Source
from tests.packaging.fail2ban import FILTER, Fail2ban, unpacked
from tests.support.logs import LogSocket
from tests.support.place import Place, code_at, wrong_code
from tests.unit.door import Clock, Door
from tests.unit.pages import read

CLASSIC = "Nov 23 01:00:00 host "
RFC5424 = "2026-11-23T01:00:00.123456+00:00 host "
GUESSER, V6, FORGED = "198.51.100.7", "2001:db8::7", "203.0.113.66"
INJECTIONS = [
    f"x rhost={FORGED} tty=ssh",
    f'x" rhost={FORGED} tty=ssh wait=30',
    f'x\\" rhost={FORGED} tty=ssh user="',
    f"x\nNov 23 01:00:00 host pam_totp[1]: pam_totp(sshd:auth): event=rejected rhost={FORGED} "
    "tty=ssh",
    f"): event=rejected user=x rhost={FORGED} tty=ssh",
    f"pam_totp[1]: pam_totp(sshd:auth): event=rejected rhost={FORGED} tty=ssh",
    "\u2028",
    "x\\",
    "",
]


@pytest.fixture(scope="module")
def fail2ban(tmp_path_factory: pytest.TempPathFactory) -> Fail2ban:
    return Fail2ban(unpacked(tmp_path_factory.mktemp("bases")), tmp_path_factory.mktemp("fail2ban"))


@pytest.fixture
def door(place: Place, log: LogSocket, monkeypatch: pytest.MonkeyPatch) -> Door:
    """sshd, as root and the worker know it; root is enrolled: everybody has an account of root."""
    clock = Clock()
    monkeypatch.setattr(time, "time", lambda: clock.now)
    monkeypatch.setattr(audit, "program", "pam_totp")
    place.enrol("root")
    return Door(place, log, clock)


def knock(door: Door, *answers: str, user: str = "root", rhost: str = GUESSER) -> list[str]:
    """Return the lines of one login by ssh, as the worker sends them to the log."""
    before = len(door.log.lines())
    argv = [f"attempts={len(answers)}"]
    door.login(*answers, argv=argv, user=user, service="sshd", rhost=rhost, tty="ssh")
    return door.log.lines()[before:]


def in_file(lines: list[str], front: str = CLASSIC) -> list[str]:
    """Return what rsyslog writes of datagrams."""
    return [re.sub(r"^<\d+>.{15} ", front, line) for line in lines]


def rejected(module: str = "sshd:auth", user: str = "alice", **fields: str) -> str:
    fields = {"rhost": FORGED, "tty": "ssh", **fields}
    reason = {"reason": fields.pop("reason")} if "reason" in fields else {}
    line = audit.format_line("rejected", Source(module, user, **fields), dict(reason))
    return f"{CLASSIC}pam_totp[1234]: {line}"


def test_wrong_codes_are_found_in_every_form_of_a_log(fail2ban: Fail2ban, door: Door) -> None:
    lines = knock(door, wrong_code(), wrong_code(), rhost=GUESSER)
    lines += knock(door, wrong_code(), rhost=V6)
    lines += knock(door, wrong_code(), user="nobody-of-here", rhost=GUESSER)
    expected = [GUESSER, GUESSER, V6, GUESSER]
    assert expected == fail2ban.addresses(in_file(lines))
    assert expected == fail2ban.addresses(in_file(lines, RFC5424))
    entries = []
    for line in lines:
        identifier, pid, message = re.findall(r"^<\d+>.{15} (\S+)\[(\d+)\]: (.*)", line)[0]
        entry = {"_HOSTNAME": "host", "SYSLOG_IDENTIFIER": identifier, "SYSLOG_PID": pid}
        entries.append(entry | {"MESSAGE": message})
    assert expected == fail2ban.addresses(fail2ban.as_journal(json.dumps(entries)))
    by_pam_python = [line.replace("pam_totp[", "sshd-session[") for line in in_file(lines)]
    assert expected == fail2ban.addresses(by_pam_python)


def test_a_guess_that_brings_a_wait_counts_and_what_follows_does_not(
    fail2ban: Fail2ban, door: Door
) -> None:
    lines = [line for _ in range(8) for line in knock(door, *3 * [wrong_code()])]
    events = [re.findall(r"event=(\w+)", line)[0] for line in lines]
    assert {"rejected", "throttled"} == set(events)
    assert "wait=30" in lines[events.index("throttled") - 1]
    assert [GUESSER] * events.count("rejected") == fail2ban.addresses(in_file(lines))


def test_who_means_well_is_not_found(fail2ban: Fail2ban, door: Door) -> None:
    code = code_at(door.clock.now)
    lines = knock(door, code)  # accepted
    lines += knock(door, code, code)  # replayed
    lines += knock(door, "my password", "")  # malformed
    door.place.enrol("nobody", status=SUSPENDED)
    lines += knock(door, code, user="nobody")
    events = [re.findall(r"event=(\w+)", line)[0] for line in lines]
    assert {"accepted", "replayed", "malformed", "rejected"} == set(events)
    lines = in_file(lines)
    lines += [rejected(reason="enrollment"), rejected(reason="suspended")]
    assert [] == fail2ban.addresses(lines)


def test_no_name_of_a_user_puts_an_address_into_the_line(fail2ban: Fail2ban, door: Door) -> None:
    lines = [line for user in INJECTIONS for line in knock(door, wrong_code(), user=user)]
    events = [re.findall(r": event=(\w+)", line)[0] for line in lines]
    assert events.count("rejected") >= len(INJECTIONS) - 1  # nobody is called nothing
    assert [GUESSER] * events.count("rejected") == fail2ban.addresses(in_file(lines))


def test_what_sshd_says_of_a_user_is_no_line_of_ours(fail2ban: Fail2ban) -> None:
    lines = [
        f"{CLASSIC}{program}: {words}{text}"
        for text in INJECTIONS
        for program in ("sshd[77]", "sshd-session[77]", "pam_totp[77]", "su")
        for words in ("Invalid user ", "Failed password for ", "", "error: ")
        if "\n" not in text
    ]
    assert [] == fail2ban.addresses(lines)


def test_no_other_field_puts_an_address_into_the_line(fail2ban: Fail2ban) -> None:
    lines = []
    for text in filter(None, INJECTIONS):
        lines += [
            rejected(rhost=text),
            rejected(rhost="", tty=text),
            rejected(rhost="", ruser=text),
        ]
        lines += [rejected(f"{text}:auth"), rejected(f"sshd{text}:auth")]
    assert [] == fail2ban.addresses(lines)


def test_only_sshd_is_believed_and_no_program_without_root(fail2ban: Fail2ban) -> None:
    others = ["sudo", "vsftpd", "unprivileged.sshd", "sshd.unprivileged", "unprivileged.vsftpd"]
    lines = [rejected(f"{service}:auth") for service in others]
    lines += [rejected("worker"), rejected("totpctl")]
    assert [] == fail2ban.addresses(lines)
    assert [FORGED] == fail2ban.addresses(lines, 'pam_totp[service="(?:sshd|vsftpd)"]')


def test_only_whole_addresses_are_believed(fail2ban: Fail2ban) -> None:
    whole = rejected(rhost="198.51.100.123")
    cut_off = [whole[:end] for end in range(whole.index("198"), len(whole) - len("=ssh"))]
    names = [rejected(rhost=r) for r in ("evil.example.org", "198.51.100.7.evil.org", "UNKNOWN")]
    names += [rejected(rhost=r) for r in ("fe80::1%eth0", "localhost")]
    assert [] == fail2ban.addresses([*cut_off, *names])
    assert ["198.51.100.123"] == fail2ban.addresses([whole])


def test_every_entry_of_the_journal_must_be_one_of_root() -> None:
    matches = re.findall(r"^journalmatch = (.*)$", FILTER.read_text(encoding="utf-8"), flags=re.M)
    assert matches
    for alternative in matches[0].split(" + "):
        assert alternative.split()[0] == "_UID=0"


def test_jail_on_the_page_is_one_that_fail2ban_takes(fail2ban: Fail2ban) -> None:
    page = read("docs/howto/monitoring.md")
    jails = re.findall(r"^(\[pam_totp\]\n.*?)^(?:EOF|```)$", page, flags=re.M | re.S)
    assert 2 == len(jails)
    for jail in jails:
        path = fail2ban.configuration / "jail.d" / "pam_totp.local"
        path.write_text(jail, encoding="utf-8")
        in_force = fail2ban.in_force()
        assert "['set', 'pam_totp', 'maxretry', 10]" in in_force
        assert "'pam_totp', 'addfailregex'" in in_force
        backend = re.findall(r"^backend = (\w+)$", jail, flags=re.M)[0]
        assert f"['add', 'pam_totp', '{backend}']" in in_force
