"""Plays a page: types its blocks on a machine, in their order, and looks at what is shown."""

from __future__ import annotations

import datetime
import json
import re
from typing import Any

from tests.docs.blocks import Block, blocks_of
from tests.docs.person import App, Shell
from tests.docs.stories import RELEASE, STORIES, Story
from tests.support.booted import Booted
from tests.support.place import ROOT

# A page states how a command ends that does not end well: behind it, in words of the shell's.
_STATED = re.compile(r"# exits with (\d+)")
_INCLUDE = "@include common-auth\n"
_TODAY = datetime.datetime.now(datetime.UTC).date()
# Days that the pages show, one to come and one of a backup that was made today; and the question
# that a page asks for today, which may have another answer by then: no page is done in no time.
_DAYS = {
    "2027-01-31": str(_TODAY + datetime.timedelta(days=60)),
    "2026-11-22": str(_TODAY),
    "$(date +%F)": str(_TODAY),
}


def play(page: str, tree: str) -> None:
    """Do what a reader of the whole page does, on a machine that has booted from ``tree``."""
    with Booted(RELEASE, tree) as machine:
        playing = Playing(machine, STORIES[page])
        for block in blocks_of(ROOT / page):
            if block.not_run is None:
                playing.play(block)
        playing.end()


class Playing:
    def __init__(self, machine: Booted, story: Story) -> None:
        self._machine, self._story = machine, story
        self._app = App()
        self._root = Shell(machine, self._app, "bash", "--noediting", "--norc", "-i")
        self._second: Shell | None = None
        self._shown = ""  # by the block before
        self._pam_files: dict[str, str] = {}  # as they were
        self._happened: set[str] = set()
        story.prepared(machine, self._root)
        self._root.type(f"cd {story.folder}")

    def play(self, block: Block) -> None:
        """Do what a reader does with one block; raise AssertionError where it does not hold."""
        for words, event in self._story.before.items():
            if words in block.text and words not in self._happened:
                self._happened.add(words)
                event(self._machine, self._root)
        if block.kind == "sh":
            self._type(block)
        elif block.kind == "text":
            self._find(block)
        elif block.kind == "json":
            self._compare(block)
        elif block.kind == "pam_totp.conf":
            self._configure(block)
        elif block.kind == "yaml":
            self._write_here(block)
        elif block.kind == "pam":
            self._put_into_pam_files(block)
        elif block.kind == "sshd_config":
            self._put_into_drop_in(block)

    def end(self) -> None:
        assert self._happened == set(self._story.before), "a story tells of blocks that are gone"

    def _type(self, block: Block) -> None:
        shell = self._second_terminal() if block.is_of_second_terminal() else self._root
        self._shown, command = "", ""
        for line in _with_days(block.text).splitlines():
            command += f"{line}\n"
            ended = shell.type(without_network(line))
            if ended is None:
                continue
            stated = _STATED.search(line)
            expected = int(stated[1]) if stated else 0
            assert expected == ended.status, f"{block}: {command}{ended.shown}"
            self._shown, command = self._shown + ended.shown, ""
        assert not command, f"{block}: not ended: {command}"

    def _second_terminal(self) -> Shell:
        if self._second is None:
            self._second = Shell(self._machine, self._app, "runuser", "-l", "alice")
        return self._second

    def _run(self, block: Block) -> str:
        command = ("sh", "-c", block.shown_by)
        return self._machine.run(*command, check=False).stdout

    def _find(self, block: Block) -> None:
        shown = self._run(block) if block.shown_by else self._shown
        for line in block.text.splitlines():
            pattern = with_other_numbers(line.strip())
            assert re.search(pattern, shown), f"{block}: {line}\nis not in\n{shown}"

    def _compare(self, block: Block) -> None:
        shown = self._run(block)
        here, there = shape(json.loads(block.text)), shape(json.loads(shown))
        assert fits(here, there), f"{block}: {here}\nis not of the form of\n{there}"

    def _write_here(self, block: Block) -> None:
        (name,) = re.findall(r"`([\w-]+\.yml)`", block.above)
        self._machine.write(f"{self._story.folder}/{name}", block.text)

    def _configure(self, block: Block) -> None:
        """Put lines into the file that the page names, in the place of those that it names so."""
        text = _with_days(block.text)
        keys = "|".join(line.split(" ")[0] for line in text.splitlines())
        for path in block.files():
            before = self._machine.read(path)
            self._machine.write(path, re.sub(rf"^({keys})\w* =.*\n", "", before, flags=re.M) + text)
            complaints = self._machine.run("totpctl", "list").stderr
            assert not re.search(rf"warning: ({keys}) ", complaints), f"{block}: {complaints}"

    def _put_into_pam_files(self, block: Block) -> None:
        """Put lines in the place of common-auth, if the page says so; else they are a file."""
        for path in block.files():
            if _INCLUDE.strip() in block.above:
                before = self._pam_files.setdefault(path, self._machine.read(path))
                assert _INCLUDE in before
                self._machine.write(path, before.replace(_INCLUDE, block.text))
            else:
                self._machine.write(path, block.text)

    def _put_into_drop_in(self, block: Block) -> None:
        (path,) = block.files()
        self._machine.write(path, block.text)
        self._machine.run("sshd", "-t")
        keyword, value = block.text.splitlines()[-1].split(maxsplit=1)
        group = re.search(r"^Match Group (\S+)", block.text, flags=re.M)
        who = ("-C", "user=alice,host=x,addr=127.0.0.1")
        if group:
            self._machine.run("usermod", "--append", "--groups", group[1], "alice")
        holds = self._machine.run("sshd", "-T", *who).stdout
        seconds = re.sub(r"^(\d+)m$", lambda found: str(int(found[1]) * 60), value)
        assert f"{keyword.lower()} {seconds}\n" in holds, f"{block}: {holds}"
        if group:
            self._machine.run("gpasswd", "--delete", "alice", group[1])


def shape(value: Any) -> Any:
    """Return the names of a document, and of which kind each value is; null is of any."""
    if isinstance(value, dict):
        return {name: shape(part) for name, part in value.items()}
    if isinstance(value, list):
        return [shape(part) for part in value[:1]]
    return None if value is None else type(value).__name__


def fits(one: Any, other: Any) -> bool:
    """Tell whether two shapes may be of one kind of document; an empty list is like any."""
    if one is None or other is None:
        return True
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(fits(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return not one or not other or fits(one[0], other[0])
    return bool(one == other)


def _with_days(text: str) -> str:
    for day, other in _DAYS.items():
        text = text.replace(day, other)
    return text


def with_other_numbers(line: str) -> str:
    """Return a pattern for ``line``: other numbers will do, and ``…`` stands for anything."""
    parts = [re.sub(r"\d+", r"\\d+", re.escape(part)) for part in line.split("…")]
    return ".*".join(parts).replace(r"\ ", r"\s+")


def without_network(line: str) -> str:
    """The machine has no way out: what apt is to install is there already, or this fails."""
    if line.startswith("apt-get update"):
        return "true"
    if line.startswith("apt-get install"):
        packages = [word for word in line.split()[2:] if not word.startswith("-")]
        return f"dpkg --status {' '.join(packages)} >/dev/null"
    return line
