"""The package is built as a developer builds it; what it holds is in order.

That its own tests stop the build is shown by one that fails; that they pass, by running them here.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machines.packages import (
    THIS,
    Build,
    build_dependencies,
    build_into,
    only_deb,
    package,
)
from tests.support.booted_base import base_of, run_in

WITH_ITS_SOURCE = Build("source", options="--source --no-tests")
WITH_A_TEST_THAT_FAILS = Build(
    "broken",
    options="",
    edit="echo 'raise SystemError(\"a test of tomorrow\")' >>tests/unit/conftest.py",
)
# Pedantic is for tastes; an override is explained where it stands. It does not want root.
LINTIAN = """
cp -r /packages /tmp/packages
chmod -R a+rX /tmp/packages
cd /tmp/packages
set -- lintian --fail-on error,warning --info --tag-display-limit 0 *.changes
set -- setpriv --reuid=nobody --regid=nogroup --clear-groups env HOME=/tmp "$@"
"$@" >/out/lintian 2>&1 || echo "status $?" >>/out/lintian
"""


class Building:
    release: str
    pytestmark = pytest.mark.root

    @pytest.fixture(scope="class")
    def builder(self) -> Iterator[Path]:
        """The release, with all that debian/control asks for, and lintian."""
        with base_of(self.release, [*build_dependencies(), "lintian"]) as tree:
            yield tree

    @pytest.fixture(scope="class")
    def built(self, builder: Path) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="pam_totp-built.") as folder:
            place = Path(folder) / "built"
            build_into(place, builder, WITH_ITS_SOURCE)
            yield place

    def test_two_builds_are_the_same_byte_by_byte(self, built: Path, tree: Path) -> None:
        """On a machine with all that its tests need, and on one without."""
        other = only_deb(package(tree, THIS))
        assert only_deb(built).name == other.name
        assert contents(only_deb(built)) == contents(other)
        assert only_deb(built).read_bytes() == other.read_bytes()

    def test_lintian_finds_nothing(self, built: Path, builder: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="pam_totp-lintian.") as folder:
            copy, out = Path(folder, "copy"), Path(folder, "out")
            copy.mkdir()
            out.mkdir()
            options = [f"--bind-ro={built}:/packages", f"--bind={out}:/out", "--private-network"]
            run_in(builder, LINTIAN, options=options, copy=str(copy))
            said = (out / "lintian").read_text("utf-8")
        assert [] == [line for line in said.splitlines() if re.match(r"[EW]: |status ", line)], said

    def test_nothing_in_it_was_compiled_by_this_python(self, built: Path) -> None:
        assert "__pycache__" not in contents(only_deb(built))


def contents(deb: Path) -> str:
    words = ("dpkg-deb", "--contents", str(deb))
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout
