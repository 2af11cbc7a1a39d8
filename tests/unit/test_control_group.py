"""Whose control group it is: booted machines show that it is left (tests/booted)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pam_totp.service import control_group

pytestmark = pytest.mark.root  # gives folders away


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like the tree: /user/app is where this process seems to be."""
    tree = tmp_path / "tree"
    (tree / "user" / "app").mkdir(parents=True)
    (tree / "cgroup.controllers").touch()
    (tree / control_group.OURS).mkdir()
    (tree / control_group.OURS / "cgroup.procs").touch()
    monkeypatch.setattr(control_group, "MOUNTS", (str(tmp_path / "none"), str(tree)))
    be_in(tmp_path, monkeypatch, b"/user/app")
    return tree


def be_in(folder: Path, monkeypatch: pytest.MonkeyPatch, path: bytes) -> None:
    membership = folder / "membership"
    membership.write_bytes(b"1:name=systemd:/elsewhere\n0::" + path + b"\n")
    monkeypatch.setattr(control_group, "_MEMBERSHIP", str(membership))


def has_left(tree: Path) -> bool:
    control_group.leave_if_not_roots()
    return (tree / control_group.OURS / "cgroup.procs").read_text() == "0"


def test_a_group_of_roots_is_not_left(tree: Path) -> None:
    assert not has_left(tree)


@pytest.mark.parametrize("folder", ["user", "user/app"])
def test_a_group_that_somebody_else_owns_is_left(tree: Path, folder: str) -> None:
    os.chown(tree / folder, 1000, 1000)
    assert has_left(tree)


def test_a_group_that_others_may_write_is_left(tree: Path) -> None:
    (tree / "user").chmod(0o775)
    assert has_left(tree)


def test_the_top_of_a_container_is_the_containers(tree: Path) -> None:
    os.chown(tree, 1000, 1000)
    assert not has_left(tree)


def test_groups_that_are_nested_too_deep_to_look_at_are_left(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_in(tmp_path, monkeypatch, b"/user/" + b"x" * 300)
    assert has_left(tree)


@pytest.mark.parametrize("path", [b"/", b"/../../elsewhere", b"/somewhere/else"])
def test_another_tree_than_ours_tells_nothing(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: bytes
) -> None:
    be_in(tmp_path, monkeypatch, path)
    assert not has_left(tree)


def test_a_group_that_cannot_be_left_ends_the_worker(tree: Path) -> None:
    os.chown(tree / "user", 1000, 1000)
    os.chown(tree / control_group.OURS, 1000, 1000)
    with pytest.raises(control_group.CannotLeave, match="cannot be left"):
        control_group.leave_if_not_roots()


def test_no_tree_of_version_2_is_nothing_to_leave(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chown(tree / "user", 1000, 1000)
    (tree / "cgroup.controllers").unlink()
    assert not has_left(tree)
