"""split.c beside core/one_answer.py, which say the same."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from pam_totp.core import otp
from pam_totp.core.one_answer import split
from tests.native.module_side import at_fixed_addresses
from tests.support.place import ROOT

ROWS = json.loads((ROOT / "tests" / "vectors" / "one_answer.json").read_text("utf-8"))["answers"]
PIECES = (
    *(" ", "-", "\n", "123456", "12345", "1234567", "78", "9", "U", "u", "o", "ä", "\uff11"),
    *("hunter2", "ABCD-EFGH", "-JKMN-PQRS", "abcdefghjkmnpqrs", "0123456789ABCDEF", "x" * 250),
)
Half = tuple[bytes, bytes] | None
Answer = tuple[str, Sequence[int]]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("split") / "split_answers"
    sources = [ROOT / "tests/native/split_answers.c", ROOT / "pam_totp/native/split.c"]
    options = ["-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", "-Wall", "-Wextra", "-Werror"]
    sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command = ["gcc", *options, *sanitizers, "-o", target, *sources]
    subprocess.run(command, check=True, timeout=120)
    return target


def split_in_c(program: Path, answers: Sequence[Answer]) -> list[Half]:
    """Return password and code of each answer."""
    packed = b"".join(
        ",".join(map(str, digits)).encode() + b"\0" + text.encode() + b"\0"
        for text, digits in answers
    )
    command = [*at_fixed_addresses(), program]
    done = subprocess.run(command, input=packed, capture_output=True, check=True, timeout=60)
    found: list[Half] = []
    for (text, _), line in zip(answers, done.stdout.decode().splitlines(), strict=True):
        if line == "none":
            found.append(None)
            continue
        until, begin, length = map(int, line.split())
        found.append((text.encode()[:until], text.encode()[begin : begin + length]))
    return found


def test_the_vectors_are_split_alike(program: Path) -> None:
    answers = [(row["answer"], row["digits"]) for row in ROWS]
    expected = [
        None if row["code"] is None else (row["password"].encode(), row["code"].encode())
        for row in ROWS
    ]
    assert expected == split_in_c(program, answers)


def test_any_answers_are_split_alike(program: Path) -> None:
    chance = random.Random(20281128)
    answers = []
    for _ in range(20_000):
        text = "".join(chance.choices(PIECES, k=chance.randrange(6)))
        answers.append((text, chance.sample(otp.DIGITS, chance.randrange(4))))
    expected: list[Half] = []
    for text, digits in answers:
        found = split(text, digits)
        expected.append(None if found is None else (found[0].encode(), found[1].encode()))
    assert expected == split_in_c(program, answers)
    assert 1_000 < len(answers) - expected.count(None)
