"""Who is asked at all: exempt, unenrolled and unknown users, and those who came with a key."""

from __future__ import annotations

import os
import pwd

import pytest

from pam_totp.core.users import EXEMPT, MUST_ENROLL, SUSPENDED, UserRecord
from tests.support.place import code_now, wrong_code
from tests.unit.door import Door

UNKNOWN = ["no-such-user", "", "x\0y", "\ud800", "-", "x" * 1000, "alice "]
KEY = "publickey ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ\n"


def without_authenticators(door: Door, user: str, status: str) -> None:
    with door.place.open() as store, store.transaction(user) as transaction:
        transaction.save(UserRecord(user, status))


# Unenrolled


@pytest.mark.parametrize("unenrolled", ["deny", "enroll"])
def test_the_unenrolled_are_asked_and_refused(door: Door, unenrolled: str) -> None:
    door.place.configure(unenrolled=unenrolled)
    entered = door.login(*[wrong_code()] * 3, user="bob")
    assert "PAM_AUTH_ERR" == entered.result
    assert ["unenrolled"] + ["rejected"] * 3 == door.log.events()
    assert " user=bob " in door.log.lines()[0]


@pytest.mark.parametrize("argv", [["nullok"], ["unenrolled=skip"]])
def test_the_unenrolled_are_skipped_if_the_line_says_so(door: Door, argv: list[str]) -> None:
    entered = door.login(user="bob", argv=argv)
    assert "PAM_IGNORE" == entered.result
    assert [] == entered.pamh.transcript
    (line,) = door.log.lines()
    assert "event=skipped user=bob" in line
    assert line.endswith('reason="not enrolled"')


def test_a_user_whose_record_has_no_authenticator_is_unenrolled(door: Door) -> None:
    without_authenticators(door, "carol", "active")
    assert "PAM_IGNORE" == door.login(user="carol", argv=["nullok"]).result
    assert "PAM_AUTH_ERR" == door.login(code_now(), user="carol", argv=["attempts=1"]).result


def test_the_enrolled_are_not_skipped(door: Door) -> None:
    assert "PAM_AUTH_ERR" == door.login(*[wrong_code()] * 3, argv=["nullok"]).result


@pytest.mark.parametrize("status", [SUSPENDED, MUST_ENROLL])
@pytest.mark.parametrize("enrolled", [False, True])
def test_skip_is_not_for_the_suspended_or_for_whoever_must_enrol(
    door: Door, status: str, enrolled: bool
) -> None:
    if enrolled:
        door.place.enrol("carol", status=status)
    else:
        without_authenticators(door, "carol", status)
    entered = door.login(code_now(), user="carol", argv=["nullok", "attempts=1"])
    assert "PAM_AUTH_ERR" == entered.result
    assert 1 == len(entered.pamh.prompts)


@pytest.mark.parametrize("user", UNKNOWN)
@pytest.mark.parametrize("unenrolled", ["deny", "skip", "enroll"])
def test_skip_is_not_for_names_that_nobody_has(door: Door, user: str, unenrolled: str) -> None:
    argv = [f"unenrolled={unenrolled}", "attempts=1"]
    entered = door.login(wrong_code(), user=user, argv=argv)
    assert "PAM_AUTH_ERR" == entered.result
    assert ["unenrolled", "rejected"] == door.log.events()


@pytest.mark.parametrize("user", [None, UnicodeDecodeError("utf-8", b"\xff", 0, 1, "")])
def test_a_name_that_cannot_be_had_is_nobody_s(door: Door, user: object) -> None:
    entered = door.login(wrong_code(), user=user, argv=["nullok", "attempts=1"])
    assert "PAM_AUTH_ERR" == entered.result


@pytest.mark.parametrize("user", ["no-such-user", "bob"])
def test_the_code_of_a_decoy_does_not_open(door: Door, user: str) -> None:
    with door.place.open() as store:
        secret = store.decoy(b"secret", user)
        assert (secret,) == tuple(a.secret for a in store.admission(user).decoy.authenticators)
    entered = door.login(code_now(secret=secret), user=user, argv=["attempts=1"])
    assert "PAM_AUTH_ERR" == entered.result


def test_a_record_of_somebody_without_an_account_does_not_open(door: Door) -> None:
    door.place.enrol("ghost")
    entered = door.login(code_now(), user="ghost", argv=["attempts=1"])
    assert "PAM_AUTH_ERR" == entered.result
    assert -1 == door.place.record("ghost").authenticators[0].last_accepted_step


# Names


@pytest.mark.parametrize("name", ["ALICE", "Alice", "aLICE"])
def test_a_directory_that_ignores_case_finds_the_enrolled(door: Door, name: str) -> None:
    entered = door.login(*[wrong_code()] * 3, user=name, argv=["nullok"])
    assert "PAM_AUTH_ERR" == entered.result
    assert 3 == door.place.record("alice").failures
    assert "PAM_SUCCESS" == door.login(code_now(), user=name).result
    assert all(" user=alice " in line for line in door.log.lines())


def test_a_code_is_used_up_under_every_spelling_of_the_name(door: Door) -> None:
    assert "PAM_SUCCESS" == door.login(code_now(), user="ALICE").result
    assert "PAM_AUTH_ERR" == door.login(code_now(), argv=["attempts=1"]).result


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_name_that_is_not_ascii_is_found_in_every_locale(
    door: Door, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    """In pam_python's C locale, pwd takes and gives the bytes of such a name as surrogates."""
    name = "j\u00fcrgen"
    of_the_locale = name.encode().decode(encoding, "surrogateescape")

    def getpwnam(given: str) -> pwd.struct_passwd:
        if given != of_the_locale:
            raise KeyError(given)
        return pwd.struct_passwd((given, "x", 1000, 1000, "", "/", "/bin/sh"))

    door.place.enrol(name)
    monkeypatch.setattr(pwd, "getpwnam", getpwnam)
    monkeypatch.setattr(os, "fsdecode", lambda text: text.decode(encoding, "surrogateescape"))
    monkeypatch.setattr(os, "fsencode", lambda text: text.encode(encoding, "surrogateescape"))
    entered = door.login(code_now(), user=name)
    monkeypatch.undo()
    assert "PAM_SUCCESS" == entered.result
    assert f'event=accepted user="{name}" ' in door.log.lines()[0]


# Exempt


def test_a_member_of_an_exempt_group_is_not_asked(door: Door) -> None:
    door.place.enrol("bob")
    door.place.configure(exempt_groups="robots, staff")
    entered = door.login(user="bob")
    assert "PAM_IGNORE" == entered.result
    assert [] == entered.pamh.transcript
    (line,) = door.log.lines()
    assert "event=skipped user=bob" in line
    assert line.endswith('reason="exempt group"')


@pytest.mark.parametrize("groups", ["", "robots", "staff"])
def test_whoever_is_in_no_exempt_group_is_asked(door: Door, groups: str) -> None:
    door.place.configure(exempt_groups=groups)
    assert "PAM_SUCCESS" == door.login(code_now()).result
    assert ["accepted"] == door.log.events()


def test_an_exempt_group_is_not_for_names_that_nobody_has(door: Door) -> None:
    entered = door.login(
        wrong_code(), user="no-such-user", argv=["exempt_groups=staff", "attempts=1"]
    )
    assert "PAM_AUTH_ERR" == entered.result


@pytest.mark.parametrize("enrolled", [False, True])
def test_an_exempt_user_is_not_asked(door: Door, enrolled: bool) -> None:
    if enrolled:
        door.place.enrol("carol", status=EXEMPT)
    else:
        without_authenticators(door, "carol", EXEMPT)
    entered = door.login(user="carol")
    assert "PAM_IGNORE" == entered.result
    assert [] == entered.pamh.transcript
    (line,) = door.log.lines()
    assert "event=skipped user=carol" in line
    assert line.endswith('reason="exempt user"')


def test_a_record_without_an_account_exempts_nobody(door: Door) -> None:
    without_authenticators(door, "ghost", EXEMPT)
    assert "PAM_AUTH_ERR" == door.login(wrong_code(), user="ghost", argv=["attempts=1"]).result


# first_factor=key


def came(door: Door, info: str | None, service: str = "sshd") -> str:
    env = {} if info is None else {"SSH_AUTH_INFO_0": info}
    entered = door.login(argv=["first_factor=key"], env=env, service=service)
    assert [] == entered.pamh.transcript
    return entered.result


@pytest.mark.parametrize("info", [KEY, KEY.strip(), KEY + KEY, "hostbased ssh-rsa A\n" + KEY])
def test_whoever_came_with_a_key_passes_that_line(door: Door, info: str) -> None:
    assert "PAM_SUCCESS" == came(door, info)
    assert [] == door.log.lines()


@pytest.mark.parametrize(
    "info",
    [
        None,
        "",
        "keyboard-interactive/pam\n",
        "password\n",
        "publickeys are not enough\n",
        "publickey",
        "Publickey ssh-ed25519 AAAA\n",
        "keyboard-interactive publickey ssh-ed25519 AAAA\n",
        " publickey ssh-ed25519 AAAA\n",
    ],
)
def test_whoever_came_without_a_key_does_not(door: Door, info: str | None) -> None:
    assert "PAM_AUTH_ERR" == came(door, info)


@pytest.mark.parametrize("service", ["sudo", "login", "su", "", "xsshd"])
def test_outside_sshd_a_key_counts_for_nothing(door: Door, service: str) -> None:
    """The PAM environment is the caller's there."""
    assert "PAM_AUTH_ERR" == came(door, KEY, service)
    assert "first_factor=key works in sshd's PAM file only" in door.log.lines()[0]


def test_the_environment_of_the_process_is_not_believed(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_AUTH_INFO_0", KEY)
    assert "PAM_AUTH_ERR" == came(door, None)


def test_a_key_passes_no_line_but_its_own(door: Door) -> None:
    entered = door.login(*[wrong_code()] * 3, env={"SSH_AUTH_INFO_0": KEY})
    assert "PAM_AUTH_ERR" == entered.result


# Configuration that is wrong


def test_a_bad_setting_is_logged_and_the_strict_default_counts(door: Door) -> None:
    door.place.configure(unenrolled="skipp", no_such_key=1)
    entered = door.login(*[wrong_code()] * 3, user="bob", argv=["nulok"])
    assert "PAM_AUTH_ERR" == entered.result
    problems = door.log.lines()[:3]
    assert ["error"] * 3 == door.log.events()[:3]
    assert "PAM argument: unknown: nulok" in problems[0]
    assert f"{door.place.config_path}:4: unenrolled must be deny, skip or enroll" in problems[1]
    assert f"{door.place.config_path}:5: unknown key: no_such_key" in problems[2]


def test_a_configuration_that_was_named_and_is_absent_denies(door: Door) -> None:
    door.place.config_path.unlink()
    argv = [f"store={door.place.store_path}", f"sealing_key={door.place.key_path}"]
    assert "PAM_AUTHINFO_UNAVAIL" == door.login(code_now(), argv=argv).result
    assert str(door.place.config_path) in door.log.text()
