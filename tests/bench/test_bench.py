"""The benchmark runs, and shows the tables of its page: what they say, nobody looks at here."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from tests.bench.rounds import VARIABLE
from tests.support.place import ROOT

pytestmark = pytest.mark.root

PAGE = ROOT / "docs" / "internals" / "benchmarks.md"


def table_titles(text: str) -> list[str]:
    return re.findall(r"^### (.*)\n\n\|", text, flags=re.MULTILINE)


def test_one_round_shows_every_table_of_the_page() -> None:
    done = subprocess.run(
        ["/usr/bin/python3", "-m", "tests.bench"],
        cwd=ROOT,
        env={**os.environ, VARIABLE: "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    assert table_titles(PAGE.read_text("utf-8")) == table_titles(done.stdout), done.stdout
