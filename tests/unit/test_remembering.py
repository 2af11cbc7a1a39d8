"""Where no code is asked for again: what a place is, for how long, and what ends it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pam_totp.core import remembering
from pam_totp.core.remembering import (
    ADDRESS,
    AT_MOST,
    LOGIN,
    TERMINAL,
    UNSEEN,
    Origin,
    Remembered,
    Wish,
    find,
    noted,
    origin_of,
    processes_of,
)
from pam_totp.core.users import Account, Authenticator, UserRecord
from pam_totp.core.verifier import ACCEPTED, RECOVERY_USED, REJECTED, REPLAYED, verify
from pam_totp.system import password_change, processes
from tests.support.each import each
from tests.unit.alice import ALICE, DIGESTS, NOW, POLICY, SALT, STEP, WRONG, code, recovery_code

BOOT = "51e6369c-fdc5-4ff3-8524-4f695b3e1fde"
IN_SSHD = f"{BOOT} 700:9000 0 1 0 700:9000 400:50"  # the leader is the process of this connection
IN_SUDO = f"{BOOT} 720:9100 34816 0 1 720:9100 715:9050 700:9000 400:50"
HOME = (ADDRESS, "192.0.2.7")
SHELL = (TERMINAL, "51e6369c:720:9100:34816")
SESSION = (LOGIN, "51e6369c:700:9000")
WISH = Wish("sshd", (HOME, SESSION), 3600, "20000")
ENTRY = Remembered("sshd", *HOME, NOW, NOW + 3600, "20000")


def test_a_login_by_ssh_is_remembered_by_its_address_and_by_its_process() -> None:
    assert Origin((HOME, SESSION), (HOME,)) == origin_of("sshd", "192.0.2.7", IN_SSHD)


def test_sudo_is_known_by_its_terminal_and_by_the_login_that_it_runs_in() -> None:
    ancestors = tuple((LOGIN, f"51e6369c:{one}") for one in IN_SUDO.split(" ")[5:])
    assert Origin((SHELL,), (SHELL, *ancestors)) == origin_of("sudo", "", IN_SUDO)
    assert SESSION in ancestors


def test_a_console_is_remembered_by_the_process_that_asked() -> None:
    in_login = f"{BOOT} 55:10 1025 1 0 1:1"
    assert ((LOGIN, "51e6369c:55:10"),) == origin_of("login", "", in_login).notes


@each("rhost", ["home.example", "UNKNOWN", "127.0.0.1", "::1", "fe80::1%eth0", "169.254.1.2", "?"])
def test_no_address_is_remembered_that_others_may_have(rhost: str) -> None:
    assert Origin((SESSION,), ()) == origin_of("sshd", rhost, IN_SSHD)


def test_of_an_address_all_bits_count() -> None:
    one, other = (origin_of("sshd", f"2001:db8::{n}", "").known_by for n in (1, 2))
    assert one != other
    mapped = origin_of("sshd", "::ffff:192.0.2.7", "")
    assert Origin((HOME,), (HOME,)) == mapped


@pytest.mark.parametrize("service", ["cockpit", "openvpn", "sudo", "su", "login"])
def test_an_address_counts_in_sshd_alone(service: str) -> None:
    """Others have it from a proxy, or from the person; sudo its own, with pam_rhost."""
    assert not [kind for kind, _ in origin_of(service, "192.0.2.7", IN_SUDO).notes]
    assert () == origin_of(service, "192.0.2.7", IN_SUDO).known_by


def test_a_daemon_that_leads_its_session_begins_no_login() -> None:
    """All whom it serves are below it."""
    assert Origin() == origin_of("cockpit", "192.0.2.7", IN_SSHD)


@each("service", ["", "x y", "x\ny", "caf\u00e9", "a" * 65, "unprivileged.x;y"])
def test_a_service_with_an_odd_name_remembers_nothing(service: str) -> None:
    assert Origin() == origin_of(service, "192.0.2.7", IN_SSHD)


def test_sudo_that_leads_a_session_of_its_own_is_no_login() -> None:
    leads = f"{BOOT} 720:9100 34816 1 1 715:9050 700:9000"
    origin = origin_of("sudo", "", leads)
    assert () == origin.notes
    assert {LOGIN} == {kind for kind, _ in origin.known_by}


@pytest.mark.parametrize("service", ["openvpn", "radiusd", "xrdp-sesman", "sudo"])
def test_a_daemon_in_somebodys_terminal_is_not_where_those_are_whom_it_asks(service: str) -> None:
    """Somebody tries it there, say, and people far away would have that person's session."""
    started = IN_SUDO.replace("34816 0 1", "34816 0 0")
    assert started != IN_SUDO
    assert Origin() == origin_of(service, "", started)


def test_without_a_terminal_there_is_none_to_remember() -> None:
    assert () == origin_of("sudo", "", IN_SUDO.replace("34816", "0")).notes


@each(
    "text",
    [
        "", "x", BOOT, f"{BOOT} 1:2 3", f"{BOOT} 1:2 3 0", f"{BOOT} 1:2 3 4 0", f"{BOOT} 1 2 0 1",
        f"{BOOT} 1:2 x 0 1", f"{BOOT} 1:2 3 0 4", f"{BOOT} 1:2 3 0 4:5", f"{BOOT} 1:2 3 0 1 4",
        f"{BOOT} 1:2 3 0 1 4:5 ", f"{BOOT}  1:2 3 0 1", "../.. 1:2 3 0 1", f"{BOOT} 1:-2 3 0 1",
        f"{BOOT} \u0661:2 3 0 1", "51e 1:2 3 0 1", f"{BOOT} 1:2 3 0 1 4:{'5' * 30}",
    ],
)  # fmt: skip
def test_what_no_module_writes_tells_nothing(text: str) -> None:
    assert processes_of(text) is None
    assert Origin() == origin_of("sudo", "", text)


@given(st.text(max_size=80))
def test_whatever_comes_the_outcome_is_a_value(text: str) -> None:
    origin_of(text, text, text)
    origin_of("sudo", "", f"{BOOT} {text}")


def test_a_process_of_before_a_restart_is_another_one() -> None:
    other = IN_SUDO.replace(BOOT, "a" * 36)
    assert not set(origin_of("sudo", "", IN_SUDO).known_by) & set(
        origin_of("sudo", "", other).known_by
    )


# For how long


@each(
    ("now", "seconds", "is_known"),
    [
        (NOW, 3600, True),
        (NOW + 3599, 3600, True),
        (NOW + 3600, 3600, False),
        (NOW + 3600, 86_400, False),  # as it was noted
        (NOW + 60, 60, False),  # as it is set now
        (NOW - 1, 3600, False),  # a clock that was set back
    ],
)
def test_a_place_is_known_for_the_shorter_time(now: int, seconds: int, is_known: bool) -> None:
    origin = origin_of("sshd", "192.0.2.7", "")
    assert is_known == (find((ENTRY,), origin, "sshd", "20000", now, seconds) is not None)


def test_with_another_password_no_place_is_known() -> None:
    origin = origin_of("sshd", "192.0.2.7", "")
    assert find((ENTRY,), origin, "sshd", "20001", NOW, 3600) is None


def test_an_address_is_each_service_s_own_and_a_login_is_not() -> None:
    everywhere = Origin((), (HOME, SESSION))
    assert find((ENTRY,), everywhere, "cockpit", "20000", NOW, 3600) is None
    login = ENTRY._replace(kind=LOGIN, place=SESSION[1])
    assert login == find((login,), everywhere, "sudo", "20000", NOW, 3600)
    terminal = ENTRY._replace(service="sudo", kind=TERMINAL, place=SHELL[1])
    assert find((terminal,), Origin((), (SHELL,)), "su", "20000", NOW, 3600) is None


def test_what_is_noted_again_begins_again_and_what_has_ended_goes() -> None:
    gone = ENTRY._replace(place="192.0.2.8", until=NOW)
    after = noted((gone, ENTRY), WISH, NOW + 10)
    assert [(HOME, NOW + 10), (SESSION, NOW + 10)] == [(one[1:3], one.since) for one in after]
    assert () == noted((ENTRY,), WISH._replace(notes=()), NOW - 1)


def test_the_oldest_make_way() -> None:
    known: tuple[Remembered, ...] = ()
    for number in range(AT_MOST + 3):
        wish = WISH._replace(notes=((ADDRESS, str(number)),))
        known = noted(known, wish, NOW)
    assert [str(n) for n in range(3, AT_MOST + 3)] == [one.place for one in known]


# What earns it, and what ends it


def record(**fields: object) -> UserRecord:
    return ALICE._replace(
        recovery_salt=SALT, recovery_digests=frozenset(DIGESTS), remembered=(ENTRY,), **fields
    )


def test_a_right_code_is_remembered_and_a_recovery_code_ends_all() -> None:
    verdict, after = verify(ALICE, code(STEP), NOW, POLICY, remember=WISH)
    assert ACCEPTED == verdict.outcome
    assert [HOME, SESSION] == [one[1:3] for one in after.remembered]
    verdict, after = verify(record(), recovery_code(DIGESTS[0]), NOW, POLICY, remember=WISH)
    assert (RECOVERY_USED, ()) == (verdict.outcome, after.remembered)


def test_without_a_wish_nothing_is_added() -> None:
    _, after = verify(record(), code(STEP), NOW, POLICY)
    assert (ENTRY,) == after.remembered


@each("place", ["", "192.0.2.7", "198.51.100.9"])
@each("answer", [WRONG, recovery_code(b"x" * 32)])
def test_any_wrong_code_from_anywhere_ends_all(place: str, answer: object) -> None:
    verdict, after = verify(record(), answer, NOW, POLICY, place=place, remember=WISH)  # type: ignore[arg-type]
    assert (REJECTED, ()) == (verdict.outcome, after.remembered)


def test_a_replayed_code_neither_earns_nor_ends_it() -> None:
    used = ALICE.authenticators[0]._replace(last_accepted_step=STEP)
    verdict, after = verify(record(authenticators=(used,)), code(STEP), NOW, POLICY, remember=WISH)
    assert (REPLAYED, (ENTRY,)) == (verdict.outcome, after.remembered)


def test_decisions_of_administrators_end_all() -> None:
    two = record(authenticators=(*ALICE.authenticators, Authenticator("2", "old", b"x" * 20)))
    after = (
        two.suspended(),
        two.without_places(),
        two.without_remembered(),
        two.renamed("alicia"),
        two.with_authenticator(Authenticator("3", "new", b"y" * 20), NOW),
        two.without_authenticator("old"),
        two.enrolled(Authenticator("3", "new", b"y" * 20), SALT, frozenset(), NOW),
        two._replace(uid=5).bound_to(Account(6, is_local=True), NOW),
    )
    for one in after:
        assert one is not None
        assert () == one.remembered
    assert (ENTRY,) == two.bound_to(Account(6, is_local=True), NOW).remembered
    assert (ENTRY,) == two.unlocked(NOW, 1).remembered


def test_one_place_is_forgotten_by_itself() -> None:
    other = ENTRY._replace(place="192.0.2.8")
    assert (other,) == record()._replace(remembered=(ENTRY, other)).without_remembered(
        [HOME[1]]
    ).remembered


# The password

HASH = "$y$j9T$saltsaltsalt$ZGlnZXN0"


@pytest.fixture
def shadow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "shadow"
    path.write_text(f"root:*:19000:0:99999:7:::\nalice:{HASH}:20500:0:99999:7:::\nbob:{HASH}\n")
    monkeypatch.setattr(password_change, "SHADOW_FILE", str(path))
    return path


@pytest.mark.parametrize(
    "line",
    [
        f"alice:{HASH}:20501:0:99999:7:::",  # of another day
        "alice:$y$j9T$another$ZGlnZXN0:20500:0:99999:7:::",  # another one on the same day
        f"alice:!{HASH}:20500:0:99999:7:::",  # locked
        f"alice:{HASH}::0:99999:7:::",
        "alice::20500:0:99999:7:::",
        "",  # no longer kept here
    ],
)
def test_another_password_is_another_state(shadow: Path, line: str) -> None:
    before = password_change.state("alice")
    shadow.write_text(shadow.read_text() + "carol:x:20501::::::\n")  # of somebody else
    assert before == password_change.state("alice")
    shadow.write_text(f"root:*:19000::::::\n{line}\n")
    assert before != password_change.state("alice")


def test_of_the_hash_too_little_is_kept_to_try_passwords_with(shadow: Path) -> None:
    day, _, digest = password_change.state("alice").partition(".")
    assert ("20500", 8) == (day, len(digest))
    assert not set(digest) - set("0123456789abcdef")


@pytest.mark.parametrize("field", ["", "!", "*", "!!", "!*", f"!{HASH}"])
def test_a_password_that_is_not_in_the_file_is_not_seen(shadow: Path, field: str) -> None:
    shadow.write_text(f"alice:{field}:20500:0:99999:7:::\n")
    assert UNSEEN == password_change.state("alice")
    for name in ("bob", "carol", "al", "", "\udcff", "\ud800"):
        assert UNSEEN == password_change.state(name)


def test_of_a_file_that_cannot_be_read_any_change_counts(
    shadow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For accounts of this machine: of others, there is nothing in it."""

    def refuse(path: str, mode: str) -> object:
        if path == str(shadow):
            raise PermissionError
        return Path(path).open(mode)

    passwd = shadow.with_name("passwd")
    passwd.write_text("root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/:/bin/sh\n")
    monkeypatch.setattr(password_change, "PASSWD_FILE", str(passwd))
    monkeypatch.setattr(password_change, "open", refuse, raising=False)
    before = password_change.state("alice")
    assert before.startswith("?.")
    assert before == password_change.state("alice")
    assert UNSEEN == password_change.state("carol")
    os.utime(shadow, ns=(1, 1))
    assert before != password_change.state("alice")
    shadow.write_text("")  # what InaccessiblePaths= of systemd puts in its place
    assert UNSEEN == password_change.state("alice")
    monkeypatch.setattr(password_change, "SHADOW_FILE", str(shadow / "none"))
    assert UNSEEN == password_change.state("alice")


# What the kernel says


def test_this_process_describes_itself() -> None:
    found = processes_of(processes.described())
    assert found is not None
    assert f"{os.getppid()}:" in found.ancestors[0]
    assert f"{os.getsid(0)}:" in found.leader
    assert Path("/proc/sys/kernel/random/boot_id").read_text().strip() == found.boot


@pytest.mark.parametrize("odd", ["plain", "a) S 1 1 1 (", ") ("])
def test_a_child_in_a_session_of_its_own_leads_it(tmp_path: Path, odd: str) -> None:
    """Whatever its program is called."""
    program = tmp_path / odd
    program.symlink_to("/usr/bin/python3")
    script = "from pam_totp.system import processes; print(processes.described())"
    environment = {"PYTHONPATH": str(Path(__file__).parents[2])}
    for own, leads in ((True, True), (False, False)):
        text = subprocess.run(
            [program, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            start_new_session=own,
            env=environment,
        ).stdout.strip()
        found = processes_of(text)
        assert found is not None
        assert leads == found.leads or os.getsid(0) == os.getpid()
        assert not found.is_setuid
        assert found.ancestors[0].startswith(f"{os.getpid()}:")


def test_where_proc_tells_nothing_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_BOOT", "/nonexistent")
    assert "" == processes.described()
    assert remembering.processes_of("") is None
