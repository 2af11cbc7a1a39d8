"""What totpctl asks of a directory: as little as it can, and nothing more of one that hangs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from admin_cli import session
from admin_cli.errors import CommandFailed, NoSuchUser
from admin_cli.host import directory
from pam_totp.login import membership


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Files that are asked first, and a getent of one's own."""
    passwd = "alice:x:1000:1000::/home/alice:/bin/sh\n"
    (tmp_path / "passwd").write_text(passwd, encoding="utf-8")
    (tmp_path / "group").write_text("wheel:x:10:alice\nalice:x:1000:\n", encoding="utf-8")
    switch = "passwd: files sss\ngroup: files sss\n"
    (tmp_path / "nsswitch.conf").write_text(switch, encoding="utf-8")
    monkeypatch.setattr(directory, "PASSWD_FILE", str(tmp_path / "passwd"))
    monkeypatch.setattr(membership, "GROUP_FILE", str(tmp_path / "group"))
    monkeypatch.setattr(membership, "SWITCH_FILE", str(tmp_path / "nsswitch.conf"))
    monkeypatch.setattr(membership, "PROGRAM", str(tmp_path / "getent"))
    monkeypatch.setattr(membership, "SECONDS", 0.5)
    directory.forget()
    yield tmp_path
    directory.forget()


def getent(folder: Path, script: str) -> None:
    """Let ``script`` stand for getent: $1 is the database, $3 the key."""
    (folder / "getent").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (folder / "getent").chmod(0o755)


def test_people_and_groups_of_the_directory_are_found_beside_those_of_the_files(
    machine: Path,
) -> None:
    line = 'echo "$3:x:5000:5000::/:/bin/sh"'
    getent(
        machine,
        f'case $1 in passwd) {line};; group) echo staff:x:20:;; *) echo "$3   20";; esac',
    )
    carol = directory.person("carol")
    assert carol is not None
    assert (5000, {5000, 20}) == (carol.pw_uid, directory.group_ids(carol))
    alice = directory.person("alice")
    assert alice is not None
    assert {"wheel", "alice", "staff"} == directory.group_names(alice)
    assert "" == directory.problem()


def test_a_directory_that_hangs_is_asked_once(machine: Path) -> None:
    getent(machine, f"echo >> {machine}/asked; exec sleep 30")
    begin = time.monotonic()
    alice = directory.person("alice")
    assert alice is not None
    assert {"wheel", "alice"} == directory.group_names(alice)
    assert [None] * 20 == [directory.person(f"user{number}") for number in range(20)]
    assert {"alice"} == {entry.pw_name for entry in directory.people()}
    assert ("staff",) == directory.groups_among(alice, ("wheel", "staff")).unknown
    assert directory.HANGS == directory.problem()
    assert "\n" == (machine / "asked").read_text(encoding="utf-8")
    assert time.monotonic() - begin < 3


PEOPLE = "".join(f"user{n}:x:{n}:{n}::/:/bin/sh\n" for n in range(2000, 2100))


def test_the_groups_of_many_are_asked_for_together(machine: Path) -> None:
    (machine / "passwd").write_text(PEOPLE, encoding="utf-8")
    directory.forget()
    getent(
        machine,
        f"echo >> {machine}/asked; shift 2; "
        'for name; do printf "%-21s %u\\n" $name ${name#user}5; done',
    )
    for entry in [*directory.people()][:100]:
        assert {entry.pw_gid, entry.pw_uid * 10 + 5} == directory.group_ids(entry)
    # For everybody's names, for the first one's groups, and then for 64 at a time.
    assert 4 == len((machine / "asked").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "said",
    [
        'echo "$3 7"',  # of the first one alone
        'shift 2; for name; do echo "$name 7"; done; echo more',
        'shift 2; for name; do echo "other$name 7"; done',
        "exit 2",
    ],
)
def test_what_is_no_line_for_each_is_taken_for_nobodys_groups(machine: Path, said: str) -> None:
    (machine / "passwd").write_text(PEOPLE, encoding="utf-8")
    directory.forget()
    getent(machine, f'[ $# -gt 3 ] || {{ echo "$3 8"; exit; }}; echo >> {machine}/asked; {said}')
    for entry in [*directory.people()][:100]:
        assert {entry.pw_gid, 8} == directory.group_ids(entry)
    assert 1 == len((machine / "asked").read_text(encoding="utf-8")), "it was asked so again"


def test_all_questions_of_a_run_together_take_a_bounded_time(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "SECONDS", 0.6)
    getent(machine, f"echo >> {machine}/asked; sleep 0.2; exit 2")
    directory.forget()
    assert [None] * 20 == [directory.person(f"user{number}") for number in range(20)]
    assert directory.SLOW == directory.problem()
    assert len((machine / "asked").read_text(encoding="utf-8")) <= 4


def test_people_whom_the_directory_does_not_name_are_not_said_to_be_missing(machine: Path) -> None:
    getent(machine, "exec sleep 30")
    assert "bob" == session.known_name("bob")  # the record may be there all the same
    with pytest.raises(CommandFailed, match="bob is not known") as raised:
        session.account_name("bob")
    assert not isinstance(raised.value, NoSuchUser)


def test_people_who_are_nowhere_are_said_to_be_missing(machine: Path) -> None:
    getent(machine, "exit 2")
    with pytest.raises(NoSuchUser):
        session.account_name("bob")


def test_no_name_is_nobodys(machine: Path) -> None:
    """For getent it stands for everybody."""
    getent(machine, "echo bob:x:1001:1001::/:/bin/sh; echo staff:x:20:")
    assert (None, None) == (directory.person(""), directory.group(""))


@pytest.mark.parametrize("name", ["0", "+0", "-0", " 0", "+65534", "\t1000"])
def test_name_that_getent_reads_as_a_number_names_nobody_else(machine: Path, name: str) -> None:
    getent(
        machine, 'case $1 in passwd) echo "root:x:0:0::/root:/bin/sh";; *) echo "root:x:0:";; esac'
    )
    assert directory.person(name) is None
    assert directory.group(name) is None


def test_many_people_are_asked_for_together(machine: Path) -> None:
    directory.forget()
    (machine / "passwd").write_text("local:x:1:1::/:/bin/sh\n", encoding="utf-8")
    getent(
        machine,
        f"echo >> {machine}/asked; shift 2; "
        'for name; do case $name in x*) ;; ALICE) echo "alice:x:7:7::/:/bin/sh";; '
        '*) echo "$name:x:5:5::/:/bin/sh";; esac; done; exit 2',
    )
    names = ["local", "ALICE", "4711", "xavier", *(f"user{number}" for number in range(100))]
    directory.expect(names)
    assert "\n\n" == (machine / "asked").read_text(encoding="utf-8")
    found = {name: directory.person(name) for name in names if name != "4711"}
    assert 4 == len((machine / "asked").read_text(encoding="utf-8"))  # xavier and ALICE, alone
    shown = {name: entry and (entry.pw_name, entry.pw_uid) for name, entry in found.items()}
    assert ("alice", 7) == shown.pop("ALICE")
    assert ("local", 1) == shown.pop("local")
    assert shown.pop("xavier") is None
    assert {name: (name, 5) for name in names[4:]} == shown
    directory.expect(names)
    assert 4 == len((machine / "asked").read_text(encoding="utf-8"))


def test_many_people_of_a_directory_that_hangs_are_asked_for_once(machine: Path) -> None:
    getent(machine, f"echo >> {machine}/asked; exec sleep 30")
    directory.expect([f"user{number}" for number in range(1000)])
    assert directory.HANGS == directory.problem()
    assert "\n" == (machine / "asked").read_text(encoding="utf-8")


def test_members_of_a_group_are_those_it_lists_and_those_whose_first_group_it_is(
    machine: Path,
) -> None:
    (machine / "passwd").write_text(
        "alice:x:1000:1000::/:/bin/sh\ndave:x:1001:10::/:/bin/sh\n", encoding="utf-8"
    )
    (machine / "group").write_text("wheel:x:10:alice,dave,gone\n", encoding="utf-8")
    getent(machine, "echo carol:x:5000:10::/:/bin/sh; echo erin:x:5001:11::/:/bin/sh")
    directory.forget()
    wheel = directory.group("wheel")
    assert wheel is not None
    assert ["alice", "dave", "gone", "carol"] == directory.members(wheel)
