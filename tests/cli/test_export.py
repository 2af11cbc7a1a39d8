"""totpctl export: what the file holds, who may read it, and a person who moves with it."""

from __future__ import annotations

import base64
import errno
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pam_totp.core import otp, recovery, users
from pam_totp.core.users import UserRecord
from tests.cli.command import QUICK_SEALS, Totpctl
from tests.cli.terminal import Terminals
from tests.support.logs import LogSocket, fields
from tests.support.place import SECRET, Place

PASSPHRASE = "six words that nobody would ever guess"
FORMATS = ("pam_totp", "pskc", "otpauth")
CODES = tuple(recovery.format_code(bytes([number] * recovery.RANDOM_BYTES)) for number in (1, 2))
OTHER_SECRET = b"abcdefghijklmnopqrstuvwxyz012345"


@pytest.fixture
def totpctl(totpctl: Totpctl) -> Totpctl:
    totpctl.digests += QUICK_SEALS
    return totpctl


@pytest.fixture
def place(place: Place) -> Place:
    """Alice has two devices, codes, wrong codes behind her; bob is suspended; carol is exempt."""
    place.enrol("alice", recovery_codes=CODES, failures=3, guesses_until=7)
    place.enrol("alice", OTHER_SECRET, label="spare")
    place.enrol("bob", b"x" * 20, status=users.SUSPENDED)
    with place.open() as store:
        with store.transaction("carol") as transaction:
            transaction.save(UserRecord("carol", users.EXEMPT))
        with store.transaction("alice") as transaction:
            assert transaction.record is not None
            phone, spare = transaction.record.authenticators
            spare = spare._replace(id="s", algorithm="SHA256", digits=8, period=60, drift=-2)
            spare = spare._replace(learned=-77)
            now = int(time.time())
            used = phone.used(otp.time_step(now, 30), now)
            transaction.save(transaction.record._replace(authenticators=(used, spare)))
    return place


@pytest.fixture
def elsewhere(tmp_path: Path, log: LogSocket) -> Iterator[Totpctl]:
    """Another machine."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    there = Place(folder)
    totpctl = Totpctl(there, log.path)
    totpctl.digests += QUICK_SEALS
    yield totpctl
    shutil.rmtree(there.store_path.parent)


@pytest.fixture
def passphrase(tmp_path: Path) -> str:
    path = tmp_path / "passphrase"
    path.write_text(f"{PASSPHRASE}\n", encoding="utf-8")
    return str(path)


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "export")


def secretly(wanted: str, passphrase: str) -> list[str]:
    """Return the options with which ``wanted`` asks nothing."""
    return ["--yes"] if wanted == "otpauth" else ["--passphrase-file", passphrase]


def with_secrets(place: Place, name: str) -> UserRecord:
    with place.open() as store, store.transaction(name) as transaction:
        assert transaction.record is not None
        return transaction.record


def moved(totpctl: Totpctl, elsewhere: Totpctl, passphrase: str, file: str, *names: str) -> None:
    totpctl.done("export", *names, "--output", file, "--passphrase-file", passphrase)
    elsewhere.done("import", file, "--passphrase-file", passphrase)


# A person moves


def test_a_person_moves_with_devices_and_codes(
    totpctl: Totpctl, place: Place, elsewhere: Totpctl, passphrase: str, file: str
) -> None:
    moved(totpctl, elsewhere, passphrase, file, "alice")
    here, there = with_secrets(place, "alice"), with_secrets(elsewhere.place, "alice")
    of_device = ("label", "secret", "algorithm", "digits", "period", "drift", "learned")
    assert [[getattr(a, name) for name in of_device] for a in here.authenticators] == [
        [getattr(a, name) for name in of_device] for a in there.authenticators
    ]
    assert here.authenticators[0].last_accepted_step == there.authenticators[0].last_accepted_step
    of_person = ("recovery_salt", "recovery_digests", "failures", "guesses_until", "status")
    assert [getattr(here, n) for n in of_person] == [getattr(there, n) for n in of_person]
    assert 2 == len(there.recovery_digests)


def test_a_code_that_was_used_before_is_not_good_again(
    totpctl: Totpctl, elsewhere: Totpctl, passphrase: str, file: str
) -> None:
    moved(totpctl, elsewhere, passphrase, file, "alice")
    elsewhere.place.configure(window=10)  # however long it took until here
    step = with_secrets(elsewhere.place, "alice").authenticators[0].last_accepted_step
    used = elsewhere("verify", "alice", answers=f"{otp.hotp(SECRET, step)}\n")
    assert 6 == used.code
    assert "this code was used already" in used.err
    elsewhere.done("verify", "alice", answers=f"{CODES[0]}\n")


def test_somebody_who_is_suspended_stays_suspended(
    totpctl: Totpctl, elsewhere: Totpctl, passphrase: str, file: str
) -> None:
    moved(totpctl, elsewhere, passphrase, file, "bob")
    assert users.SUSPENDED == elsewhere.place.record("bob").status


def test_all_are_those_with_an_authenticator(
    totpctl: Totpctl, elsewhere: Totpctl, passphrase: str, file: str
) -> None:
    moved(totpctl, elsewhere, passphrase, file, "--all")
    with elsewhere.place.open() as store:
        assert ["alice", "bob"] == [record.name for record in store.records()]


def test_a_second_import_changes_nothing_and_gives_no_used_code_back(
    totpctl: Totpctl, elsewhere: Totpctl, passphrase: str, file: str
) -> None:
    moved(totpctl, elsewhere, passphrase, file, "alice")
    with elsewhere.place.open() as store, store.transaction("alice") as transaction:
        record = transaction.record
        assert record is not None
        gone = min(record.recovery_digests)
        phone = record.authenticators[0].confirmed(record.authenticators[0].last_accepted_step + 9)
        transaction.save(record.without_recovery_code(gone).with_changed(phone))
    before = with_secrets(elsewhere.place, "alice")
    again = elsewhere.done("import", file, "--passphrase-file", passphrase)
    assert before == with_secrets(elsewhere.place, "alice")
    assert 2 == again.out.count("already there")


def test_a_recovery_code_that_was_used_there_is_void_here(
    totpctl: Totpctl, place: Place, elsewhere: Totpctl, passphrase: str, file: str, tmp_path: Path
) -> None:
    """A newer file of the same person takes away, and never adds."""
    moved(totpctl, elsewhere, passphrase, file, "alice")
    with place.open() as store, store.transaction("alice") as transaction:
        record = transaction.record
        assert record is not None
        transaction.save(record.without_recovery_code(min(record.recovery_digests)))
    moved(totpctl, elsewhere, passphrase, str(tmp_path / "newer"), "alice")
    assert 1 == len(elsewhere.place.record("alice").recovery_digests)


def test_codes_of_another_set_stay_out(
    totpctl: Totpctl, elsewhere: Totpctl, passphrase: str, file: str
) -> None:
    elsewhere.done("enroll", "alice", "--no-confirm", "--label", "own")
    before = elsewhere.place.record("alice").recovery_digests
    moved(totpctl, elsewhere, passphrase, file, "alice")
    assert before == elsewhere.place.record("alice").recovery_digests
    assert 3 == len(elsewhere.place.record("alice").authenticators)


# Other formats


@pytest.mark.parametrize("wanted", ["pskc", "otpauth"])
def test_other_programs_formats_are_read_again(
    totpctl: Totpctl, place: Place, elsewhere: Totpctl, passphrase: str, file: str, wanted: str
) -> None:
    how = secretly(wanted, passphrase)
    done = totpctl.done("export", "--all", "--format", wanted, "--output", file, *how)
    assert "these are suspended: bob" in done.err
    assert "no recovery codes" in done.err
    read = [] if wanted == "otpauth" else ["--passphrase-file", passphrase]
    elsewhere.done("import", file, *read)
    for name in ("alice", "bob"):
        kept = ("secret", "algorithm", "digits", "period")
        assert [
            [getattr(a, n) for n in kept] for a in with_secrets(place, name).authenticators
        ] == [
            [getattr(a, n) for n in kept]
            for a in with_secrets(elsewhere.place, name).authenticators
        ]
    drifts = [a.drift for a in with_secrets(elsewhere.place, "alice").authenticators]
    assert ([0, -3] if wanted == "pskc" else [0, 0]) == drifts, "with what was learned"


@pytest.mark.parametrize("wanted", FORMATS)
def test_a_counter_goes_on_where_it_was(
    totpctl: Totpctl, place: Place, elsewhere: Totpctl, passphrase: str, file: str, wanted: str
) -> None:
    token = ("--secret-stdin", "--hotp", "--counter", "41", "--label", "fob", "--serial", "26-1")
    totpctl("enroll", "bob", *token, "--no-confirm", answers=f"hex:{OTHER_SECRET.hex()}\n")
    how = secretly(wanted, passphrase)
    totpctl.done("export", "bob", "--format", wanted, "--output", file, *how)
    elsewhere.done("import", file, *([] if wanted == "otpauth" else how))
    (fob,) = (a for a in with_secrets(elsewhere.place, "bob").authenticators if a.counts)
    assert (OTHER_SECRET, 41, 0) == (fob.secret, fob.counter, fob.drift)
    if wanted == "pam_totp":
        assert ("fob", "26-1") == (fob.label, fob.serial)


def test_addresses_in_clear_take_a_yes(totpctl: Totpctl, file: str) -> None:
    refused = totpctl("export", "alice", "--format", "otpauth", "--output", file)
    assert 1 == refused.code
    assert "--yes" in refused.err
    assert not os.path.exists(file)


def test_on_standard_output_it_is_the_file_and_nothing_else(
    totpctl: Totpctl, elsewhere: Totpctl, passphrase: str
) -> None:
    shown = totpctl.done("export", "alice", "--passphrase-file", passphrase).out
    assert shown.startswith("pam_totp export 1\n")
    elsewhere.done("import", "-", "--passphrase-file", passphrase, answers=shown)
    assert elsewhere.place.record("alice")


# Secrets


@pytest.mark.parametrize("wanted", FORMATS)
def test_the_file_is_for_root_alone_and_logged(
    totpctl: Totpctl, log: LogSocket, passphrase: str, file: str, wanted: str
) -> None:
    how = secretly(wanted, passphrase)
    totpctl.done("export", "alice", "bob", "--format", wanted, "--output", file, *how)
    assert 0o600 == stat.S_IMODE(os.stat(file).st_mode)
    logged = [fields(line) for line in log.lines()]
    assert [("exported", "alice", wanted), ("exported", "bob", wanted)] == [
        (line["event"], line["user"], line["detail"]) for line in logged
    ]


@pytest.mark.parametrize("wanted", ["pam_totp", "pskc"])
def test_nothing_of_a_secret_is_in_a_sealed_or_encrypted_file(
    totpctl: Totpctl, place: Place, passphrase: str, file: str, wanted: str
) -> None:
    done = totpctl.done(
        "export", "alice", "--format", wanted, "--output", file, "--passphrase-file", passphrase
    )
    text = Path(file).read_text("ascii") + done.err
    digests = [digest.hex() for digest in place.record("alice").recovery_digests]
    for secret in (SECRET, OTHER_SECRET):
        shapes = (
            secret.hex(),
            base64.b32encode(secret).decode(),
            base64.b64encode(secret).decode(),
        )
        assert not any(shape[:16] in text for shape in shapes)
    assert not any(digest in text for digest in digests)
    assert PASSPHRASE not in text


def test_two_files_of_one_person_have_nothing_in_common(totpctl: Totpctl, passphrase: str) -> None:
    one, other = (
        totpctl.done("export", "alice", "--passphrase-file", passphrase).out.split("\n")
        for _ in range(2)
    )
    assert set(one) & set(other) == {"pam_totp export 1", ""}


# What is refused


def test_a_file_that_is_there_is_left_alone(totpctl: Totpctl, passphrase: str, file: str) -> None:
    Path(file).write_text("of somebody else", "ascii")
    refused = totpctl("export", "alice", "--output", file, "--passphrase-file", passphrase)
    assert 1 == refused.code
    assert "is there already" in refused.err
    assert "of somebody else" == Path(file).read_text("ascii")


def test_a_file_that_appears_meanwhile_is_left_alone(
    totpctl: Totpctl, passphrase: str, file: str
) -> None:
    """While the passphrase was asked for, or another export ran."""
    totpctl.prelude = (
        "from admin_cli.exporting import sealed_file as s; seal = s.seal\n"
        "def slowly(records, passphrase):\n"
        f"    with open({file!r}, 'w') as other: other.write('of somebody else')\n"
        "    return seal(records, passphrase)\n"
        "s.seal = slowly\n"
    )
    refused = totpctl("export", "alice", "--output", file, "--passphrase-file", passphrase)
    assert 1 == refused.code
    assert f"{file} is there already\nhint: name a new file with --output\n" in refused.err
    assert "of somebody else" == Path(file).read_text("ascii")


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "df -h"),
        (errno.EROFS, "lsattr"),  # the disk is not mounted read-only
        (errno.EACCES, "name a file in another folder"),
        (errno.EIO, "name a file in another folder"),
    ],
)
def test_a_file_that_cannot_be_written_says_what_helps(
    totpctl: Totpctl, passphrase: str, file: str, number: int, hint: str
) -> None:
    totpctl.prelude = (
        "import os\n"
        "def fails(*_):\n"
        f"    raise OSError({number}, os.strerror({number}))\n"
        "os.fsync = fails\n"
    )
    refused = totpctl("export", "alice", "--output", file, "--passphrase-file", passphrase)
    assert (1, "") == (refused.code, refused.out)
    problem = f"cannot write {file}: {os.strerror(number)}; nothing was exported"
    assert f"totpctl: error: {problem}\nhint: " in refused.err
    assert hint in refused.err.rpartition("hint: ")[2]
    assert not os.path.exists(file)


def test_a_short_passphrase_is_refused(totpctl: Totpctl, tmp_path: Path, file: str) -> None:
    short = tmp_path / "short"
    short.write_text("eleven char\n", "ascii")
    refused = totpctl("export", "alice", "--output", file, "--passphrase-file", str(short))
    assert 1 == refused.code
    assert "fewer than 12 characters" in refused.err
    assert not os.path.exists(file)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "name a USER, or use --all"),
        (("alice", "--all"), 2, "name a USER, or use --all"),
        (("zoe",), 3, "there is no user zoe"),
        (("carol",), 1, "nobody with an authenticator"),
        (("alice", "--format", "otpauth", "--passphrase-file", "/dev/null"), 2, "are in clear"),
        (("alice", "--output", "/nonexistent/file"), 1, "cannot write /nonexistent/file"),
    ],
)
def test_what_cannot_be_is_said(
    totpctl: Totpctl, passphrase: str, arguments: tuple[str, ...], code: int, words: str
) -> None:
    how = [] if "--passphrase-file" in arguments else ["--passphrase-file", passphrase]
    refused = totpctl("export", *arguments, *how)
    assert (code, "") == (refused.code, refused.out)
    assert words in refused.err


def test_a_wrong_passphrase_imports_nothing(
    totpctl: Totpctl, elsewhere: Totpctl, passphrase: str, file: str, tmp_path: Path
) -> None:
    totpctl.done("export", "alice", "--output", file, "--passphrase-file", passphrase)
    wrong = tmp_path / "wrong"
    wrong.write_text(f"{PASSPHRASE}!\n", "ascii")
    refused = elsewhere("import", file, "--passphrase-file", str(wrong))
    assert 1 == refused.code
    assert "the passphrase is wrong, or the file was changed" in refused.err
    with elsewhere.place.open() as store:
        assert [] == list(store.records())


@pytest.mark.parametrize("change", ["cut off", "a byte", "another salt", "another version"])
def test_a_file_that_was_changed_imports_nothing(
    totpctl: Totpctl, elsewhere: Totpctl, passphrase: str, file: str, change: str
) -> None:
    totpctl.done("export", "alice", "--output", file, "--passphrase-file", passphrase)
    version, salt, *lines = Path(file).read_text("ascii").splitlines()
    if change == "cut off":
        lines = lines[:-2]
    elif change == "a byte":
        lines[3] = ("A" if lines[3][0] != "A" else "B") + lines[3][1:]
    elif change == "another salt":
        salt = salt[::-1]
    else:
        version = version.replace("1", "2")
    Path(file).write_text("\n".join((version, salt, *lines, "")), "ascii")
    refused = elsewhere("import", file, "--passphrase-file", passphrase, "--skip-bad")
    assert (1, "") == (refused.code, refused.out)
    assert file in refused.err
    with elsewhere.place.open() as store:
        assert [] == list(store.records())


def test_a_passphrase_is_in_no_argument_and_no_environment(
    totpctl: Totpctl, elsewhere: Totpctl, passphrase: str, file: str
) -> None:
    """Of no process that either command starts."""
    for command in (
        totpctl.command("export", "alice", "--output", file, "--passphrase-file", passphrase),
        elsewhere.command("import", file, "--passphrase-file", passphrase),
    ):
        at = command.index("-c") + 1
        command[at] = (
            "import os, subprocess, sys\n"
            "def look(event, arguments):\n"
            "    if event in ('subprocess.Popen', 'os.posix_spawn', 'os.exec', 'os.putenv'):\n"
            f"        assert {PASSPHRASE!r} not in repr(arguments)\n"
            f"        assert {PASSPHRASE!r} not in repr(dict(os.environ))\n"
            "sys.addaudithook(look)\n" + command[at]
        )
        assert 0 == totpctl.run(command).code
        assert not any(PASSPHRASE in word for word in command if word != command[at])


def test_a_passphrase_is_asked_for_twice(terminals: Terminals, file: str) -> None:
    for again, code in ((PASSPHRASE, 0), ("another one, just as long", 1)):
        terminal = terminals.open("export", "alice", "--output", file + again[:3])
        terminal.answer("New passphrase for the file: ", PASSPHRASE)
        terminal.answer("Same passphrase again: ", again)
        assert code == terminal.end()
        assert PASSPHRASE not in terminal.shown
        assert os.path.exists(file + again[:3]) is (code == 0)
    assert "the two passphrases differ; nothing was written" in terminal.shown


def test_without_a_terminal_nobody_is_asked_for_a_passphrase(totpctl: Totpctl) -> None:
    refused = totpctl("export", "alice")
    assert 1 == refused.code
    assert re.search(
        "no terminal to ask for the new passphrase.*--passphrase-file", refused.err, re.S
    )
