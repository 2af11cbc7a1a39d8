"""What the tests of this folder share: no coverage of trees that go, and checkouts to release."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.debian_package import tracked_files
from tests.packaging.releasing import BUILD, NEXT, Clone


@pytest.fixture(autouse=True, scope="module")
def not_measured() -> Iterator[None]:
    """Keep coverage out of programs that run from trees which are gone after the test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COV_CORE_DATAFILE", raising=False)
        yield


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


@pytest.fixture(scope="session")
def not_built(bumped: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """Another with the same commits, and one more, after which nothing is built."""
    other = _copy(bumped, tmp_path_factory.mktemp("not_built"))
    other.script(other.tree / "packaging/build_deb.sh", BUILD.format(version=NEXT))
    other.script(other.tree / "tests/run", 'echo "$0" "$@" >>../ran')
    other.commit("Build and test at once")
    return other


@pytest.fixture
def clone(not_built: Clone, tmp_path: Path) -> Clone:
    """A copy of that, ready for its release."""
    return _copy(not_built, tmp_path)


def _copy(clone: Clone, folder: Path) -> Clone:
    other = Clone(folder)
    # With its times, or git would read each file again.
    subprocess.run(["cp", "--archive", f"{clone.tree}/.", other.tree], check=True)
    return other
