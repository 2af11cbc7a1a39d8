"""What is offered at Tab, in one process; tests/packaging asks real shells."""

from __future__ import annotations

import os
import pwd
import sqlite3
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin_cli.completion import answering, bash_line
from admin_cli.host import directory
from admin_cli.main import totpctl
from docs import generate
from pam_totp.core.users import EXEMPT, SUSPENDED
from pam_totp.store.sqlite import names
from pam_totp.system import config
from tests.support.each import each
from tests.support.logs import LogSocket
from tests.support.place import Place

BREAKS = " \t\n\"'@><=;|&(:"


@pytest.fixture
def as_root(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A place that is the default one; alice and bob are enrolled, and who asks is root."""
    place.enrol("alice")
    place.enrol("alice", label="my tablet")
    place.enrol("bob", status=SUSPENDED)
    monkeypatch.setattr(config, "DEFAULT_PATH", str(place.config_path))
    option = next(p for p in totpctl.params if p.name == "config_path")
    monkeypatch.setattr(option, "default", str(place.config_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(
        directory,
        "people",
        lambda: [
            pwd.struct_passwd(("zoe", "x", 4000, 4000, "", "/", "/bin/sh")),
            pwd.struct_passwd(("daemon", "x", 1, 1, "", "/", "/usr/sbin/nologin")),
        ],
    )
    return place


def offered(*words: str) -> list[str]:
    """Return what zsh is offered after ``words``, the last of which is incomplete."""
    kind, *lines = answering.answer(totpctl, "zsh", words)
    assert kind == answering.WORDS
    return [line.split("\t")[0] for line in lines]


def in_bash(line: str) -> list[str]:
    return answering.answer(totpctl, "bash", (line, BREAKS))


@each("name", generate.COMMANDS)
def test_every_command_and_every_option_is_offered(name: str) -> None:
    *before, last = name.split()
    assert last in offered(*before, "")
    options = {o for p in generate.COMMANDS[name].params for o in p.opts if o.startswith("--")}
    assert {*options, "--help"} == set(offered(*before, last, "--"))


def test_no_option_is_offered_twice_unless_it_may_be_given_twice() -> None:
    assert "--json" not in offered("doctor", "--json", "--")
    assert "--group" in offered("require", "--group", "adm", "--")


def test_kinds_of_a_qr_code_are_offered_and_where_none_fits_a_file() -> None:
    assert offered("enroll", "alice", "--qr", "") == ["utf8", "ansi", "ascii", "none"]
    assert offered("enroll", "alice", "--qr", "a") == ["ansi", "ascii"]
    to_a_file = ("enroll", "alice", "--qr", "/root/al")
    assert answering.answer(totpctl, "zsh", to_a_file) == [answering.FILES]


def test_whom_to_enroll_many_of_is_a_file_or_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [directory.GroupEntry(name, 4000, ()) for name in ("staff", "stuff", "wheel")]
    monkeypatch.setattr(directory, "groups", lambda: found)
    assert ["staff", "stuff"] == offered("enroll", "--group", "st")
    assert ["stuff"] == offered("enroll", "--group", "staff", "--group", "st")
    for option in ("--from", "--sheets"):
        assert answering.answer(totpctl, "zsh", ("enroll", option, "/root/r")) == ["files"]
    assert ["pdf", "png", "svg"] == offered("enroll", "--sheets-format", "")


def test_people_of_the_store_are_offered_to_root(as_root: Place) -> None:
    assert ["alice", "bob"] == offered("show", "")
    assert ["bob"] == offered("resume", "")
    assert ["zoe"] == offered("enroll", "")
    assert ["my tablet", "phone"] == offered("remove", "alice", "--label", "")
    assert ["--label=my tablet"] == offered("remove", "alice", "--yes", "--label=my")
    assert [] == offered("remove", "bob", "--label", "my")
    assert [] == offered("show", "alice", "")


def test_nobody_is_offered_twice(as_root: Place) -> None:
    assert [] == offered("require", "zoe", "")


def test_nothing_of_the_store_is_offered_to_others(
    as_root: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4000)
    for command in ("show", "resume", "enroll", "remove", "unlock"):
        assert ["zoe"] == offered(command, "")
    assert [] == offered("remove", "alice", "--label", "")


def test_store_of_a_configuration_of_ones_own_is_asked(place: Place) -> None:
    place.enrol("carol")
    assert ["carol"] == offered("--config", str(place.config_path), "show", "")


def test_where_the_store_is_no_use_the_directory_is_asked(as_root: Place) -> None:
    as_root.store_path.write_bytes(b"no store")
    assert ["zoe"] == offered("show", "")
    as_root.configure(store="/nowhere/store.db")
    assert ["zoe"] == offered("show", "")


def test_what_cannot_be_typed_or_reads_as_an_option_is_not_offered(as_root: Place) -> None:
    for label in ("--yes", "new\nline", "\x1b[2J"):
        as_root.enrol("alice", label=label)
    assert ["my tablet", "phone"] == offered("remove", "alice", "--label", "")


def test_files_are_left_to_the_shell() -> None:
    assert ["files"] == answering.answer(totpctl, "zsh", ("--config", "/et"))
    assert ["files"] == in_bash("totpctl list --json > /tm")


def test_whatever_goes_wrong_is_no_answer(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    wrong = [("zsh", ()), ("zsh", ("bogus", "")), ("csh", ("",)), ("", ())]
    wrong += [
        ("bash", ()),
        ("", ("init",)),
        ("bash", ("init",)),
        ("bash", ("totpctl bogus x ", BREAKS)),
    ]
    for shell, arguments in wrong:
        assert 1 == answering.run(totpctl, shell, arguments)
    assert (b"", b"") == capsysbinary.readouterr()


@pytest.mark.parametrize("shell", answering.SHELLS)
def test_answer_is_not_taken_for_a_command_that_was_run(
    capsysbinary: pytest.CaptureFixture[bytes], shell: str
) -> None:
    """A script runs ``totpctl init`` with the variable left in its environment."""
    arguments = ("totpctl in", BREAKS) if shell == "bash" else ("in",)
    assert 0 != answering.run(totpctl, shell, arguments)
    assert b"init" in capsysbinary.readouterr().out


def test_a_completion_leaves_no_trace(as_root: Place, log: LogSocket) -> None:
    def files() -> dict[str, tuple[int, int, bytes]]:
        paths = [p for p in as_root.folder.rglob("*") if stat.S_ISREG(p.stat().st_mode)]
        return {str(p): (p.stat().st_mtime_ns, p.stat().st_ino, p.read_bytes()) for p in paths}

    before = files()
    assert ["alice", "bob"] == offered("show", "")
    assert before == files()
    assert [] == log.lines()


def test_a_store_of_an_older_release_is_not_migrated(as_root: Place) -> None:
    with sqlite3.connect(as_root.store_path) as connection:
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    assert ["alice", "bob"] == offered("show", "")
    with sqlite3.connect(as_root.store_path) as connection:
        assert [(1,)] == connection.execute("PRAGMA user_version").fetchall()
    connection.close()


def test_who_was_enrolled_a_moment_ago_is_there_while_a_worker_has_the_store(place: Place) -> None:
    with place.open() as worker:
        place.enrol("alice", status=EXEMPT)
        assert worker.load("alice") is not None
        assert [("alice", EXEMPT, ("phone",))] == names.people(str(place.store_path))


def test_a_store_that_others_can_write_is_not_read(place: Place) -> None:
    place.enrol("carol")
    place.store_path.chmod(0o666)
    assert "carol" not in offered("--config", str(place.config_path), "show", "")


# A line of bash


@each(
    ("line", "words", "kept", "quote"),
    [
        ("totpctl ", ["totpctl", ""], "", ""),
        ("totpctl  show al", ["totpctl", "show", "al"], "", ""),
        ("a --label=ph", ["a", "--label=ph"], "--label=", ""),
        ("a u@ex", ["a", "u@ex"], "u@", ""),
        ("a u\\@ex", ["a", "u@ex"], "", ""),
        ("a 'my ph", ["a", "my ph"], "", "'"),
        ('a my" ph', ["a", "my ph"], "my", '"'),
        ("a 'my'\\ p", ["a", "my p"], "", ""),
        ("a x='my'p", ["a", "x=myp"], "x=", ""),
        ('a "\\$\\x', ["a", "$\\x"], "", '"'),
        ("a b\\", ["a", "b"], "", ""),
        ("a '' ", ["a", "", ""], "", ""),
        ("a $(b", ["a", "$", "b"], "", ""),
    ],
)
def test_words_are_those_of_bash(line: str, words: list[str], kept: str, quote: str) -> None:
    assert bash_line.TypedLine(words, kept, quote, False) == bash_line.parse(line, BREAKS)


printable = st.text(st.characters().filter(str.isprintable), min_size=1)


@given(printable)
def test_what_is_inserted_is_read_back_as_it_was(word: str) -> None:
    inserted = bash_line.parse("a ", BREAKS).to_insert(word)
    assert inserted is not None
    assert ["a", word] == bash_line.parse(f"a {inserted}", BREAKS).words


@given(printable, st.sampled_from("'\""))
def test_within_quotes_only_what_they_hold_is_offered(word: str, quote: str) -> None:
    inserted = bash_line.parse(f"a {quote}", BREAKS).to_insert(word)
    if inserted is None:
        assert set(word) & set("'$`\"\\!")
    else:
        assert ["a", word] == bash_line.parse(f"a {quote}{inserted}{quote}", BREAKS).words
