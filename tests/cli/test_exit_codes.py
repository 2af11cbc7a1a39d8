"""Exit codes, and the words that come with them."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from admin_cli import running
from admin_cli.main import totpctl as group
from pam_totp.system import config
from tests.cli.command import ME, Totpctl
from tests.support.place import Place

ON_A_USER = ("enroll", "reset", "remove", "show", "verify", "recovery-codes", "unlock", "suspend",
             "resume")  # fmt: skip
ON_ENROLLED = tuple(verb for verb in ON_A_USER if verb != "enroll")
ON_THE_STORE = (*ON_A_USER, "list")


def arguments(verb: str, user: str = "alice") -> tuple[str, ...]:
    """Return a command line that would ask nothing."""
    options = {
        "enroll": ("--no-confirm",),
        "reset": ("--yes", "--no-confirm"),
        "remove": ("--yes",),
        "recovery-codes": ("--yes",),
    }
    return (verb, *options.get(verb, ()), *(() if verb in ("list", "init") else (user,)))


@pytest.mark.parametrize("verb", ON_ENROLLED)
def test_3_for_a_user_without_enrolment(totpctl: Totpctl, verb: str) -> None:
    result = totpctl(*arguments(verb))
    assert (3, "") == (result.code, result.out)
    assert "totpctl: error: alice is not enrolled\nhint: run: totpctl enroll alice\n" == result.err


def test_3_for_a_user_that_the_machine_does_not_know(totpctl: Totpctl, place: Place) -> None:
    result = totpctl(*arguments("enroll", "alicf"))
    assert (3, "") == (result.code, result.out)
    assert (
        "totpctl: error: there is no user alicf on this machine\n"
        "hint: check the spelling with: totpctl list; getent passwd\n"
    ) == result.err
    with place.open() as store:
        assert store.load("alicf") is None


@pytest.mark.parametrize("verb", ON_ENROLLED)
def test_3_for_a_user_known_neither_to_the_machine_nor_to_the_store(
    totpctl: Totpctl, verb: str
) -> None:
    result = totpctl(*arguments(verb, "alicf"))
    assert (3, "") == (result.code, result.out)
    assert (
        "totpctl: error: there is no user alicf on this machine\n"
        "hint: check the spelling with: totpctl list; getent passwd\n"
    ) == result.err


@pytest.mark.parametrize("user", ["", "\udcff", "../../etc/shadow", "x" * 5000, "-", "a\nb"])
def test_3_for_what_cannot_be_a_name(totpctl: Totpctl, user: str) -> None:
    assert 3 == totpctl("enroll", "--no-confirm", "--", user).code


@pytest.mark.parametrize("verb", ["list", "enroll", "init"])
def test_4_without_root_and_with_the_default_configuration(
    totpctl: Totpctl,
    in_process: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    verb: str,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4000)
    monkeypatch.setattr(config, "load", lambda *_: pytest.fail("the configuration was read"))
    assert 4 == running.run(group, list(arguments(verb, ME)))
    assert (
        "",
        "totpctl: error: only root can read the store\nhint: run it with sudo\n",
    ) == capsys.readouterr()


@pytest.mark.parametrize("verb", ON_THE_STORE)
def test_5_without_a_store(totpctl: Totpctl, place: Place, verb: str) -> None:
    place.store_path.unlink()
    result = totpctl(*arguments(verb))
    assert (5, "") == (result.code, result.out)
    assert (
        f"totpctl: error: {place.store_path}: there is no store\n"
        "hint: restore it, or mount its disk; on a new machine run: totpctl init\n"
    ) == result.err


@pytest.mark.parametrize("verb", ON_THE_STORE)
def test_5_without_a_key(totpctl: Totpctl, place: Place, verb: str) -> None:
    place.key_path.unlink()
    result = totpctl(*arguments(verb))
    assert (5, "") == (result.code, result.out)
    assert f"totpctl: error: {place.key_path}: there is no sealing key\nhint: " in result.err


@pytest.mark.parametrize("verb", ON_THE_STORE)
def test_5_with_another_key(totpctl: Totpctl, place: Place, verb: str) -> None:
    place.enrol("alice")
    place.key_path.write_text("00" * 32 + "\n", encoding="ascii")
    result = totpctl(*arguments(verb))
    assert (5, "") == (result.code, result.out)
    assert "hint: restore the sealing key from the same backup as the store\n" in result.err


@pytest.mark.parametrize("verb", ON_THE_STORE)
@pytest.mark.parametrize("content", [b"", b"not a store" * 1000])
def test_5_with_a_store_that_is_none(
    totpctl: Totpctl, place: Place, verb: str, content: bytes
) -> None:
    place.store_path.write_bytes(content)
    result = totpctl(*arguments(verb))
    assert (5, "") == (result.code, result.out)
    assert f"totpctl: error: {place.store_path}: is " in result.err
    assert f"hint: restore {place.store_path} from a backup" in result.err


UNRELEASED = {
    "first schema": (
        "ALTER TABLE users DROP COLUMN uid",
        "does not have the tables of this release",
    ),
    "schema without counters": (
        "ALTER TABLE authenticators DROP COLUMN learned",
        "does not have the tables of this release",
    ),
    "third schema": ("PRAGMA user_version = 3", "has schema 3, this release knows 1"),
}


@pytest.mark.parametrize("name", UNRELEASED)
@pytest.mark.parametrize("verb", [*ON_THE_STORE, "doctor", "init"])
def test_a_store_from_before_the_first_release_is_refused_with_the_way_on(
    totpctl: Totpctl, place: Place, verb: str, name: str
) -> None:
    place.enrol("alice")
    change, problem = UNRELEASED[name]
    connection = sqlite3.connect(place.store_path)
    connection.execute(change)
    connection.close()
    result = totpctl(*arguments(verb)) if verb in ON_THE_STORE else totpctl(verb)
    assert result.code == (6 if verb == "doctor" else 5)
    said = result.out + result.err
    assert f"{place.store_path}: {problem}" in said
    assert "if it is from before the first release, move it away, run: totpctl init" in said


@pytest.mark.parametrize("verb", ["list", "enroll"])
def test_5_with_a_key_that_others_can_read(totpctl: Totpctl, place: Place, verb: str) -> None:
    place.key_path.chmod(0o644)
    result = totpctl(*arguments(verb))
    assert 5 == result.code
    assert f"hint: run: chmod 0600 {place.key_path}\n" in result.err


def test_5_with_a_configuration_that_others_can_write(totpctl: Totpctl, place: Place) -> None:
    place.config_path.chmod(0o666)
    result = totpctl("list")
    assert 5 == result.code
    assert f"hint: run: chmod go-w {place.config_path}\n" in result.err


def test_5_with_a_configuration_that_is_a_link(
    totpctl: Totpctl, place: Place, tmp_path: Path
) -> None:
    link = tmp_path / "link.conf"
    link.symlink_to(place.config_path)
    result = totpctl.run(totpctl.bare_command("--config", str(link), "list"))
    assert 5 == result.code
    assert f"totpctl: error: {link}: is a symbolic link\n" in result.err


@pytest.mark.parametrize("verb", ["list", "init"])
def test_5_with_a_configuration_that_is_not_there(
    totpctl: Totpctl, tmp_path: Path, verb: str
) -> None:
    missing = tmp_path / "pam_ttop.conf"
    result = totpctl.run(totpctl.bare_command("--config", str(missing), verb))
    assert (5, "") == (result.code, result.out)
    assert f"totpctl: error: {missing}: there is no such file\nhint: check --config\n" == (
        result.err
    )


def test_a_relative_configuration_is_looked_for_here(totpctl: Totpctl, place: Place) -> None:
    relative = os.path.relpath(place.config_path)
    assert 0 == totpctl.run(totpctl.bare_command("--config", relative, "list")).code


@pytest.mark.parametrize("verb", ["list", "enroll", "init"])
def test_what_is_wrong_with_the_configuration_is_warned_about_once(
    totpctl: Totpctl, place: Place, verb: str
) -> None:
    place.configure(window="wide", colour="blue")
    result = totpctl(*arguments(verb))
    assert 0 == result.code
    warnings = [line for line in result.err.splitlines() if line.startswith("totpctl: warning: ")]
    assert 2 == len(warnings)
    assert "window must be a whole number from 0 to 10; using the default 1" in warnings[0]
    assert "unknown key: colour" in warnings[1]


def test_5_with_a_store_that_is_locked_for_too_long(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice")
    before = place.record("alice")
    with place.open() as store, store.transaction("bob"):
        result = totpctl(*arguments("reset"))
    assert 5 == result.code
    assert "has been locked by another process for too long\nhint: try again" in result.err
    assert before == place.record("alice")
