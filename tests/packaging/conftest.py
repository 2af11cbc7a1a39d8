"""Checkouts that are ready for a release."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.packaging.debian_package import tracked_files
from tests.packaging.releasing import BUILD, NEXT, Clone


@pytest.fixture(scope="session")
def bumped(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone of this tree in which everything says NEXT."""
    clone = Clone(tmp_path_factory.mktemp("release"))
    tracked_files(clone.tree)
    clone.git("init", "--quiet", "--initial-branch=main")
    clone.commit("Everything so far")
    done = clone.release("--bump", NEXT)
    assert (0, "") == (done.returncode, done.stderr)
    clone.commit(f"Release {NEXT}")
    return clone


@pytest.fixture
def clone(bumped: Clone, tmp_path: Path) -> Clone:
    """Another with the same commits, ready for its release, in which nothing is built."""
    other = Clone(tmp_path)
    shutil.copytree(bumped.tree, other.tree, symlinks=True, dirs_exist_ok=True)
    other.script(other.tree / "packaging/build_deb.sh", BUILD.format(version=NEXT))
    other.script(other.tree / "tests/run", 'echo "$0" "$@" >>../ran')
    other.commit("Build and test at once")
    return other
