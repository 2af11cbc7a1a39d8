"""packet_parse() under libFuzzer, beginning with what corpus/wire holds.

PAM_TOTP_FUZZ_SECONDS says how long; ./tests/run nightly takes five minutes. To add what a long run finds to the corpus:

    clang -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined -o fuzz tests/native/fuzz_wire.c pam_totp/native/wire.c
    ./fuzz -max_len=40000 -max_total_time=600 found tests/native/corpus/wire
    ./fuzz -max_len=40000 -merge=1 -set_cover_merge=1 tests/native/corpus/wire found
"""  # noqa: E501

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.native.fake_worker import MAX_PACKET, REFUSED, message, result
from tests.support import thorough
from tests.support.place import ROOT

HERE = ROOT / "tests" / "native"
CORPUS = HERE / "corpus" / "wire"
MAX_INPUT = 40_000  # bytes: some are longer than a packet
SECONDS = int(thorough.FUZZ_SECONDS or 2)


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("fuzz") / "fuzz_wire"
    sources = (HERE / "fuzz_wire.c", ROOT / "pam_totp" / "native" / "wire.c")
    sanitizers = ("-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all")
    options = ("-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror")
    subprocess.run(
        ["clang", *options, *sanitizers, "-o", target, *sources], check=True, timeout=120
    )
    return target


def fuzz(fuzzer: Path, *arguments: object, cwd: Path) -> None:
    """Run it; what made it stop is shown, and lies in ``cwd``."""
    done = subprocess.run(
        [fuzzer, f"-max_len={MAX_INPUT}", "-timeout=5", *map(str, arguments)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SECONDS + 60,
        check=False,
    )
    assert 0 == done.returncode, done.stdout.decode("utf-8", "replace")


def test_nothing_in_the_corpus_breaks_the_parser(fuzzer: Path, tmp_path: Path):
    fuzz(fuzzer, "-runs=0", CORPUS, cwd=tmp_path)


def test_no_bytes_break_the_parser(fuzzer: Path, tmp_path: Path):
    found = tmp_path / "found"
    found.mkdir()
    fuzz(fuzzer, f"-max_total_time={SECONDS}", "-verbosity=0", found, CORPUS, cwd=tmp_path)


def test_the_corpus_is_small_and_has_what_a_worker_says():
    inputs = [path.read_bytes() for path in CORPUS.iterdir()]
    assert len(inputs) < 200
    assert sum(map(len, inputs)) < 200_000
    assert {message(b"Code: "), result(0), result(7), REFUSED} <= set(inputs)
    assert max(map(len, inputs)) > MAX_PACKET
