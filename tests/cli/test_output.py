"""Where things are written, and what never is."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from admin_cli import running
from pam_totp.core.users import Authenticator, UserRecord
from tests.cli.command import Totpctl
from tests.cli.terminal import PROMPT, Terminals
from tests.support.place import SECRET, Place, code_now

HOSTILE = "a\x1b[2J\x07\n\r\u202e\x9bb"
ESCAPED = r"a\x1b[2J\x07\x0a\x0d\x202e\x9bb"


def is_clean(text: str) -> bool:
    return all(character.isprintable() or character == "\n" for character in text)


def with_hostile_record(place: Place, name: str = "alice", label: str = HOSTILE) -> None:
    """Keep names that no command lets in; another program may have."""
    record = UserRecord(name, authenticators=(Authenticator("id", label, SECRET),))
    with place.open() as store, store.transaction(name) as transaction:
        transaction.save(record)


@pytest.mark.parametrize(
    "arguments",
    [
        ("list",),
        ("show", "alice"),
        ("enroll", "alice", "--if-missing"),
        ("remove", "alice", "--label", "x", "--yes"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_control_characters_of_a_label_never_reach_the_terminal(
    totpctl: Totpctl, place: Place, arguments: tuple[str, ...]
) -> None:
    with_hostile_record(place)
    result = totpctl(*arguments)
    assert is_clean(result.out + result.err)
    if arguments[0] != "enroll":
        assert ESCAPED in result.out + result.err


@pytest.mark.parametrize("verb", ["show", "suspend", "unlock", "remove", "enroll", "verify"])
def test_control_characters_of_a_name_never_reach_the_terminal(
    totpctl: Totpctl, place: Place, verb: str
) -> None:
    with_hostile_record(place, name=HOSTILE)
    options = ("--yes",) if verb == "remove" else ()
    result = totpctl(verb, *options, HOSTILE, answers=f"{code_now()}\n")
    assert is_clean(result.out + result.err)


def test_a_name_with_a_line_end_does_not_make_two_lines(totpctl: Totpctl) -> None:
    result = totpctl("show", "x\ntotpctl: error: y")
    error = "totpctl: error: there is no user x\\x0atotpctl: error: y on this machine"
    assert error == result.err.split("\n")[0]


def test_a_usage_error_shows_no_control_characters(totpctl: Totpctl) -> None:
    assert is_clean(totpctl(HOSTILE).err)
    assert is_clean(totpctl("list", HOSTILE).err)


def test_a_question_shows_no_control_characters(terminals: Terminals, place: Place) -> None:
    with_hostile_record(place, name=HOSTILE)
    terminal = terminals.open("remove", HOSTILE)
    terminal.answer("[y/N]: ", "n")
    assert 1 == terminal.end()
    assert is_clean(terminal.shown)
    assert f"Remove the whole enrollment of {ESCAPED}" in terminal.shown


def test_names_that_are_not_ascii_are_shown_as_they_are(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice", label="téléphone \u2713")
    assert "téléphone \u2713" in totpctl("list").out


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_the_terminal_cannot_show_is_escaped(
    totpctl: Totpctl, place: Place, encoding: str
) -> None:
    place.enrol("alice", label="phone \u2713")
    result = totpctl("list", PYTHONIOENCODING=encoding)
    assert 0 == result.code
    assert "phone \\u2713" in result.out


def test_an_answer_that_is_no_text_is_a_wrong_answer(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice")
    result = totpctl("verify", "alice", answers="\udcff\n", PYTHONIOENCODING="utf-8:strict")
    assert 6 == result.code


def test_prompts_and_questions_leave_nothing_on_stdout(
    terminals: Terminals, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    terminals.enrol("enroll", "alice")
    terminal = terminals.open_command(terminals.shell("{} reset alice --json > " + str(out)))
    terminal.answer("[y/N]: ", "y")
    terminal.wait_for(PROMPT)
    terminal.type(code_now(secret=terminal.secret))
    assert 0 == terminal.end(), terminal.shown
    text = out.read_text(encoding="utf-8")
    assert text.startswith("{\n")
    assert "alice" == json.loads(text)["user"]


def test_an_error_begins_a_line_of_its_own(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice")
    lines = totpctl("verify", "alice", answers="junk\n").err.split("\n")
    assert lines[-2].startswith("totpctl: error: ")


def test_json_is_ascii_so_that_no_locale_can_break_it(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice", label="téléphone")
    result = totpctl.done("list", "--json")
    assert result.out.isascii()
    assert "téléphone" == result.json()[0]["authenticators"][0]["label"]


@pytest.fixture(params=["gone", "full"])
def broken(request: pytest.FixtureRequest) -> Iterator[int]:
    """A descriptor that takes nothing: a pipe that nobody reads, or a file on a full disk."""
    if request.param == "full":
        descriptor = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, descriptor = os.pipe()
        os.close(reader)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("arguments", ["list", "list --json", "show alice", "--help", "verify -h"])
def test_an_output_that_is_broken_is_a_failure_without_a_traceback(
    totpctl: Totpctl, place: Place, broken: int, arguments: str
) -> None:
    place.enrol("alice")
    result = totpctl.into(broken, *arguments.split())
    assert 1 == result.code
    full = (
        "totpctl: error: No space left on device\nhint: free some space on the disk: df -h; df -i\n"
    )
    assert result.err in ("", full)


@pytest.mark.parametrize(
    ("arguments", "what", "fix"),
    [
        ("enroll bob --no-confirm --json", "bob has new secrets", "reset bob"),
        ("reset alice --yes --no-confirm --json", "alice has new secrets", "reset alice"),
        ("recovery-codes alice --yes", "alice has new recovery codes", "recovery-codes alice"),
    ],
)
def test_secrets_in_force_that_nobody_saw_are_an_error_with_a_mend(
    totpctl: Totpctl, place: Place, broken: int, arguments: str, what: str, fix: str
) -> None:
    place.enrol("alice")
    result = totpctl.into(broken, *arguments.split())
    assert 1 == result.code
    error, hint = result.err.splitlines()
    assert error.startswith(f"totpctl: error: {what}, but they could not be shown: ")
    assert f"hint: make new ones with: totpctl {fix}" == hint


def test_nothing_is_kept_where_the_secret_could_not_be_shown(
    totpctl: Totpctl, place: Place, broken: int
) -> None:
    assert 1 == totpctl.into(broken, "enroll", "alice", "--no-confirm").code
    with place.open() as store:
        assert store.load("alice") is None


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors_are_no_traceback_and_harm_no_store(
    totpctl: Totpctl, terminals: Terminals, place: Place, closed: str
) -> None:
    place.enrol("alice")
    result = totpctl.run(terminals.shell("{} suspend alice " + closed))
    assert 0 == result.code, result.err
    assert "suspended" == place.record("alice").status
    with place.open() as store:
        assert [] == store.check()


@pytest.mark.parametrize(
    ("arguments", "shown_by"),
    [
        ("reset fleet", "list"),
        ("--config /enable disable sshd", "status"),
        ("--config=/enable fleet add web1", "fleet list"),
        ("fleet join -", "doctor"),
        ("fleet policy offline_hours=1", "fleet policy"),
        ("fleet allow alice", "list"),
    ],
)
def test_ctrl_c_outside_of_a_question_promises_nothing(
    capsys: pytest.CaptureFixture[str], arguments: str, shown_by: str
) -> None:
    @click.command(context_settings={"ignore_unknown_options": True})
    @click.argument("words", nargs=-1)
    def interrupted(words: tuple[str, ...]) -> None:
        del words
        raise KeyboardInterrupt

    assert 1 == running.run(interrupted, arguments.split())
    assert capsys.readouterr().err.endswith(
        f"totpctl: error: interrupted\nhint: to see how far it got, run: totpctl {shown_by}\n"
    )


@pytest.mark.parametrize(
    ("number", "filename", "fix"),
    [
        (errno.ENOSPC, "/proc/sudo", "make room on the disk: df -h /proc"),
        (errno.ENOSPC, None, "free some space on the disk: df -h; df -i"),
        (
            errno.EROFS,
            "/sys/kernel",
            "check whether chattr made it immutable: lsattr -d /sys /sys/kernel",
        ),
        (errno.EROFS, None, "find the read-only disk: findmnt -O ro"),
        pytest.param(
            errno.EPERM,
            "/etc/a file",
            "check whether chattr made it immutable: lsattr -d /etc '/etc/a file'",
            marks=pytest.mark.root,
        ),
        (
            errno.EBUSY,
            "/etc/key",
            "a file that is mounted cannot be replaced; see: findmnt /etc/key",
        ),
    ],
)
def test_what_cannot_be_written_is_named_in_the_mend(
    capsys: pytest.CaptureFixture[str], number: int, filename: str | None, fix: str
) -> None:
    @click.command()
    def write() -> None:
        raise OSError(number, os.strerror(number), filename)

    assert 1 == running.run(write, [])
    where = f"{filename}: " if filename else ""
    expected = f"totpctl: error: {where}{os.strerror(number)}\nhint: {fix}\n"
    assert expected == capsys.readouterr().err


def test_file_that_cannot_be_replaced_is_named_not_the_one_beside_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    @click.command()
    def replace() -> None:
        raise OSError(errno.EBUSY, "busy", "/etc/.new.key", None, "/etc/key")

    assert 1 == running.run(replace, [])
    assert "totpctl: error: /etc/key: busy\n" in capsys.readouterr().err
