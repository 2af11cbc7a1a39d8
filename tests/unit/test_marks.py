"""Whatever changes of what was marked: it is seen, or nothing that was promised has changed."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pam_totp.system import marks
from pam_totp.system.marks import SELDOM_SECONDS, YOUNG_NS, Marks
from tests.support import thorough

STRANGER = 65534
TICK = 0.02  # seconds: more than a time stamp is coarse


class Tree:
    """A file in a folder, both by a link; and by another link, which leads over the first."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.top = root / "top"
        self.folder = self.top / "folder"
        self.file = self.folder / "file"
        self.elsewhere = root / "elsewhere"
        self.link = self.elsewhere / "link"
        self.chain = root / "chain"
        self.folder.mkdir(parents=True)
        self.elsewhere.mkdir()
        self.file.write_bytes(b"content")
        self.link.symlink_to("../top/folder")
        self.chain.symlink_to(self.link)

    def by(self, way: str) -> Path:
        return {"folder": self.folder, "link": self.link, "chain": self.chain}[way]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def tick() -> None:
    time.sleep(TICK)


def replace(path: Path, content: bytes | None = None) -> None:
    """Put a file of the same owner, mode, size and times there."""
    new = path.with_name(path.name + ".new")
    shutil.copy2(path, new)
    if content is not None:
        status = new.stat()
        new.write_bytes(content)
        os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.rename(new, path)


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def write_and_set_the_time(path: Path) -> None:
    status = path.stat()
    path.write_bytes(b"CONTENT")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def exchange(path: Path) -> None:
    """Put another folder there, with the same in it."""
    aside = path.with_name(path.name + ".aside")
    os.rename(path, aside)
    shutil.copytree(aside, path, symlinks=True)


def give_away(path: Path) -> None:
    os.lchown(path, STRANGER, -1)


def link_to_itself(path: Path) -> None:
    aside = path.with_name(path.name + ".aside")
    os.rename(path, aside)
    path.symlink_to(aside)


def lead_elsewhere(link: Path) -> None:
    target = link.resolve()
    other = target.with_name(target.name + ".other")
    shutil.copytree(target, other)
    link.unlink()
    link.symlink_to(other)


def make_the_same_link(link: Path) -> None:
    target = os.readlink(link)
    os.symlink("nowhere", link.with_name("keeps its inode"))
    link.unlink()
    os.symlink("nowhere", link.with_name("takes its inode"))
    os.symlink(target, link)


ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="chown needs root")

OF_A_FILE: list[Callable[[Path], None]] = [
    Path.unlink,
    replace,
    link_to_itself,
    lambda path: path.chmod(0o666),
    lambda path: os.rename(path, path.with_name("aside")),
    lambda path: (path.unlink(), path.mkdir())[1],
    lambda path: (path.unlink(), os.mkfifo(path))[1],
]
OF_CONTENT: list[Callable[[Path], None]] = [
    lambda path: write(path, b"CONTENT"),
    lambda path: write(path, b""),
    write_and_set_the_time,
    lambda path: os.truncate(path, 3),
    lambda path: (path.chmod(0o666), path.chmod(0o644))[1],
    lambda path: replace(path, b"CONTENT"),
    os.utime,
]
OF_A_FOLDER: list[Callable[[Path], None]] = [
    exchange,
    link_to_itself,
    lambda path: path.chmod(0o777),
    lambda path: os.rename(path, path.with_name("aside")),
]
OF_ENTRIES: list[Callable[[Path], None]] = [
    lambda path: write(path / "new", b""),
    lambda path: (path / "new").mkdir(),
    lambda path: (path / "file").unlink(),
    lambda path: replace(path / "file"),
    lambda path: os.rename(path / "file", path / "other"),
    lambda path: os.link(path / "file", path / "other"),
    lambda path: (write(path / "new", b""), (path / "new").unlink())[1],
]


def number(change: object) -> str:
    for changes in (OF_A_FILE, OF_CONTENT, OF_A_FOLDER, OF_ENTRIES):
        if change in changes:
            return str(changes.index(change))  # type: ignore[arg-type]
    return str(change)


WAYS = pytest.mark.parametrize("way", ["folder", "link", "chain"])


def marked(tree: Tree, way: str, kind: str) -> Marks:
    path = tree.by(way) if kind == "entries" else tree.by(way) / "file"
    found = Marks(**{kind: (str(path),)})  # type: ignore[arg-type]
    tick()
    assert found.hold()
    assert found.hold()
    return found


# A file


@WAYS
@pytest.mark.parametrize("kind", ["contents", "opened"])
@pytest.mark.parametrize("change", OF_A_FILE, ids=number)
def test_change_of_a_file_is_seen(
    tree: Tree, way: str, kind: str, change: Callable[[Path], None]
) -> None:
    found = marked(tree, way, kind)
    change(tree.file)
    assert not found.hold()


@WAYS
@pytest.mark.parametrize("change", OF_CONTENT, ids=number)
def test_change_of_content_is_seen(tree: Tree, way: str, change: Callable[[Path], None]) -> None:
    found = marked(tree, way, "contents")
    change(tree.file)
    assert not found.hold()


@ROOT
@WAYS
@pytest.mark.parametrize("kind", ["contents", "opened"])
def test_another_owner_of_a_file_is_seen(tree: Tree, way: str, kind: str) -> None:
    found = marked(tree, way, kind)
    give_away(tree.file)
    assert not found.hold()


@pytest.mark.parametrize("kind", ["contents", "opened", "entries", "seldom"])
def test_what_is_not_there_may_come(tree: Tree, kind: str) -> None:
    path = tree.folder / "absent"
    found = Marks(**{kind: (str(path),)})  # type: ignore[arg-type]
    tick()
    assert found.hold()
    if kind == "entries":
        path.mkdir()
    else:
        path.write_bytes(b"")
    found._at -= SELDOM_SECONDS
    assert not found.hold()


def test_what_was_there_only_while_it_was_read_is_seen(tree: Tree) -> None:
    path = tree.folder / "absent"
    before = Marks(contents=(str(path),))
    tick()
    path.write_bytes(b"")
    path.unlink()
    assert not before.hold()
    assert before != Marks(contents=(str(path),))


def test_content_of_what_is_only_open_may_change(tree: Tree) -> None:
    found = marked(tree, "folder", "opened")
    tree.file.write_bytes(b"another content")
    (tree.folder / "new").write_bytes(b"")
    assert found.hold()


# Folders and links


@WAYS
@pytest.mark.parametrize("kind", ["contents", "opened", "entries", "seldom"])
@pytest.mark.parametrize("name", ["folder", "top"])
@pytest.mark.parametrize("change", OF_A_FOLDER, ids=number)
def test_change_of_a_folder_on_the_way_is_seen(
    tree: Tree, way: str, kind: str, name: str, change: Callable[[Path], None]
) -> None:
    found = marked(tree, way, kind)
    change(getattr(tree, name))
    assert not found.hold()


@WAYS
@pytest.mark.parametrize("change", OF_ENTRIES, ids=number)
def test_whatever_comes_and_goes_in_a_folder_is_seen(
    tree: Tree, way: str, change: Callable[[Path], None]
) -> None:
    found = marked(tree, way, "entries")
    change(tree.folder)
    assert not found.hold()


@pytest.mark.parametrize("kind", ["contents", "opened", "seldom"])
@pytest.mark.parametrize("name", ["link", "chain"])
@pytest.mark.parametrize("change", [lead_elsewhere, make_the_same_link, Path.unlink])
def test_change_of_a_link_on_the_way_is_seen(
    tree: Tree, kind: str, name: str, change: Callable[[Path], None]
) -> None:
    found = marked(tree, "chain", kind)
    change(getattr(tree, name))
    assert not found.hold()


@pytest.mark.parametrize("way", ["link", "chain"])
@pytest.mark.parametrize("change", [lambda path: path.chmod(0o777), exchange])
def test_change_of_the_folder_of_a_link_on_the_way_is_seen(
    tree: Tree, way: str, change: Callable[[Path], None]
) -> None:
    """Whoever may write there may lead the link elsewhere."""
    found = marked(tree, way, "opened")
    change(tree.elsewhere)
    assert not found.hold()


@ROOT
@pytest.mark.parametrize("name", ["folder", "top", "elsewhere", "link", "chain", "root"])
def test_another_owner_of_what_is_on_the_way_is_seen(tree: Tree, name: str) -> None:
    found = marked(tree, "chain", "contents")
    give_away(getattr(tree, name))
    assert not found.hold()


def test_what_others_do_beside_the_way_is_no_change(tree: Tree) -> None:
    """/tmp and /var/lib have many folders, and more each day."""
    found = Marks(contents=(str(tree.chain / "file"),), opened=(str(tree.file),))
    tick()
    for folder in (tree.root, tree.top, tree.elsewhere):
        (folder / "new folder").mkdir()
        (folder / "new file").write_bytes(b"")
    assert found.hold()


# Seldom


@pytest.mark.parametrize("change", [*OF_A_FILE], ids=number)
def test_change_of_what_is_looked_at_seldom_is_seen_within_a_second(
    tree: Tree, change: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    found = marked(tree, "folder", "seldom")
    change(tree.file)
    assert found.hold()
    now += SELDOM_SECONDS - 0.01
    assert found.hold()
    now += 0.01
    assert not found.hold()
    assert not found.hold()


def test_what_is_looked_at_seldom_is_left_alone_in_between(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    lstat = os.lstat
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    found = Marks(opened=(str(tree.file),), seldom=(str(tree.file),))
    monkeypatch.setattr(os, "lstat", lambda path: (looked.append(path), lstat(path))[1])
    counts = []
    for now in (0.1, 0.9, 1.0, 1.5, 1.9, 2.1):  # noqa: B007  # seen by monotonic()
        looked.clear()
        assert found.hold()
        counts.append(looked.count(str(tree.file)))
    assert [1, 1, 2, 1, 1, 2] == counts


# Young


@pytest.mark.parametrize("kind", ["contents", "entries"])
def test_what_has_just_changed_is_not_settled_for_a_second(
    tree: Tree, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tree.file if kind == "contents" else tree.folder
    os.utime(path, ns=(0, 0))  # the time of its inode tells as well
    found = Marks(**{kind: (str(path),)})  # type: ignore[arg-type]
    changed = path.stat().st_ctime_ns
    for age, is_settled in (
        (0, False),
        (YOUNG_NS - 1, False),
        (YOUNG_NS + 1, True),
        (-YOUNG_NS + 1, False),  # a clock that was set back a little
    ):
        monkeypatch.setattr(time, "time_ns", lambda age=age: changed + age)  # type: ignore[misc]
        assert is_settled == found.are_settled()


def test_time_of_content_tells_as_well(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    now = tree.file.stat().st_ctime_ns + 100 * YOUNG_NS
    os.utime(tree.file, ns=(now, now))
    found = Marks(contents=(str(tree.file),))
    monkeypatch.setattr(time, "time_ns", lambda: now)
    assert not found.are_settled()


def test_folders_on_the_way_need_not_be_settled(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "YOUNG_NS", int(TICK * 1e9))
    tick()
    tick()
    (tree.top / "new").mkdir()
    assert Marks(contents=(str(tree.file),), opened=(str(tree.file),)).are_settled()
    assert not Marks(contents=(str(tree.folder / "a"),), entries=(str(tree.top),)).are_settled()


def test_marks_of_the_same_are_equal(tree: Tree) -> None:
    def mark() -> Marks:
        return Marks(contents=(str(tree.file),), seldom=(str(tree.link),))

    one = mark()
    assert mark() == one
    assert one != Marks(contents=(str(tree.file),))
    assert one != "marks"
    replace(tree.file)
    assert one != mark()


# Any order of changes

CHANGES: dict[str, Callable[[Tree], object]] = {
    "write": lambda tree: tree.file.write_bytes(b"CONTENT"),
    "write back": lambda tree: tree.file.write_bytes(b"content"),
    "replace": lambda tree: replace(tree.file),
    "loosen": lambda tree: tree.file.chmod(0o666),
    "tighten": lambda tree: tree.file.chmod(0o644),
    "loosen folder": lambda tree: tree.folder.chmod(0o777),
    "tighten folder": lambda tree: tree.folder.chmod(0o755),
    "loosen elsewhere": lambda tree: tree.elsewhere.chmod(0o777),
    "tighten elsewhere": lambda tree: tree.elsewhere.chmod(0o755),
    "remove": lambda tree: tree.file.unlink(),
    "exchange folder": lambda tree: exchange(tree.folder),
    "exchange top": lambda tree: exchange(tree.top),
    "lead elsewhere": lambda tree: lead_elsewhere(tree.link),
    "unlink": lambda tree: tree.link.unlink(),
    "link": lambda tree: tree.link.symlink_to("../top/folder"),
    "add": lambda tree: (tree.folder / "new").write_bytes(b""),
    "take away": lambda tree: (tree.folder / "new").unlink(),
    "make a folder above": lambda tree: (tree.top / "new").mkdir(),
    "read": lambda tree: tree.file.read_bytes(),
}


def promised(tree: Tree) -> list[object]:
    """What the marks below are about, read whole."""
    file = tree.chain / "file"
    found: list[object] = []
    names = [tree.root, tree.top, tree.folder, tree.elsewhere, tree.link, tree.chain, file]
    for path in names:
        try:
            status = os.lstat(path)
            found.append((status.st_mode, status.st_uid, status.st_dev, status.st_ino))
        except OSError:
            found.append(None)
    try:
        found += [file.read_bytes(), sorted(os.listdir(tree.folder))]
    except OSError:
        found.append(None)
    return [*found, os.path.realpath(file)]


@given(
    st.lists(
        st.lists(st.sampled_from(sorted(CHANGES)), min_size=1, max_size=3), min_size=1, max_size=5
    )
)
@settings(max_examples=thorough.examples(40))
def test_after_any_changes_marks_do_not_hold_or_nothing_has_changed(steps: list[list[str]]) -> None:
    with tempfile.TemporaryDirectory() as root:
        tree = Tree(Path(root))
        tick()
        path = str(tree.chain / "file")
        found = Marks(contents=(path,), entries=(str(tree.folder),), opened=(str(tree.file),))
        before = promised(tree)
        for step in steps:
            for name in step:
                try:
                    CHANGES[name](tree)
                except OSError:  # what it would change is gone
                    pass
            after = promised(tree)
            if not found.hold():
                tick()
                found = Marks(
                    contents=(path,), entries=(str(tree.folder),), opened=(str(tree.file),)
                )
                before = promised(tree)
            else:
                assert before == after
