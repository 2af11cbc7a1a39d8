"""HOTP and TOTP against the RFCs, and against two other implementations."""

from __future__ import annotations

import base64
import json
import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pam_totp.core import otp
from tests.support.each import each

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
HOTP_VECTORS = json.loads((VECTORS / "rfc4226_appendix_d.json").read_text(encoding="utf-8"))
TOTP_VECTORS = json.loads((VECTORS / "rfc6238_appendix_b.json").read_text(encoding="utf-8"))
SECRET = bytes.fromhex(HOTP_VECTORS["secret_hex"])

# Summer time ended in Berlin at 01:00 UTC: the local hour from 2 to 3 came twice.
SUMMER_TIME_ENDS = 1729990800  # 2024-10-27 01:00:00 UTC


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@each(("counter", "code"), enumerate(HOTP_VECTORS["codes"]))
def test_hotp_gives_the_codes_of_rfc_4226(counter: int, code: str) -> None:
    assert code == otp.hotp(SECRET, counter)


@each("vector", TOTP_VECTORS["vectors"], ids=lambda v: f"{v['time']}-{v['algorithm']}")
def test_totp_gives_the_codes_of_rfc_6238(vector: dict) -> None:
    step = otp.time_step(vector["time"], TOTP_VECTORS["period"])
    secret = bytes.fromhex(vector["secret_hex"])
    assert vector["code"] == otp.hotp(secret, step, vector["algorithm"], TOTP_VECTORS["digits"])


def test_the_vectors_cover_every_algorithm_and_a_time_beyond_32_bits() -> None:
    assert set(otp.ALGORITHMS) == {vector["algorithm"] for vector in TOTP_VECTORS["vectors"]}
    assert 2**32 < max(vector["time"] for vector in TOTP_VECTORS["vectors"])


@pytest.mark.parametrize(("now", "step"), [(0, 0), (29, 0), (30, 1), (59, 1), (60, 2)])
def test_a_step_begins_with_its_first_second(now: int, step: int) -> None:
    assert step == otp.time_step(now, 30)


def test_a_moment_before_the_epoch_belongs_to_a_step_below_zero() -> None:
    assert -1 == otp.time_step(-1, 30)


def test_ten_thousand_random_codes_agree_with_pyotp() -> None:
    generator = random.Random(4226)
    differing = []
    for _ in range(10_000):
        secret = generator.randbytes(generator.randint(20, 160))
        algorithm = generator.choice(otp.ALGORITHMS)
        digits = generator.choice(otp.DIGITS)
        step = generator.choice((generator.randrange(2**26), generator.randrange(2**63)))
        oracle = pyotp.HOTP(
            base64.b32encode(secret).decode("ascii"), digits=digits, digest=_pyotp_digest(algorithm)
        )
        if oracle.generate_otp(step) != otp.hotp(secret, step, algorithm, digits):
            differing.append((secret, algorithm, digits, step))
    assert [] == differing


def test_counter_codes_agree_with_oathtool() -> None:
    generator = random.Random(20)
    for digits in otp.DIGITS:
        for _ in range(5):
            secret = generator.randbytes(generator.randint(16, 80))
            counter = generator.randrange(2**40)
            expected = _oathtool("--hotp", f"-d{digits}", f"-c{counter}", "-w9", secret=secret)
            actual = [otp.hotp(secret, counter + n, digits=digits) for n in range(10)]
            assert expected == actual


@each("algorithm", otp.ALGORITHMS)
@each("digits", otp.DIGITS)
@each("period", [30, 60])
def test_time_codes_agree_with_oathtool(algorithm: str, digits: int, period: int) -> None:
    generator = random.Random(period + digits)
    secret = generator.randbytes(generator.randint(16, 160))
    now = generator.randrange(2**34)
    expected = _oathtool(
        f"--totp={algorithm.lower()}",
        f"-d{digits}",
        f"--time-step-size={period}s",
        f"--now=@{now}",
        "-w9",
        secret=secret,
    )
    step = otp.time_step(now, period)
    assert expected == [otp.hotp(secret, step + n, algorithm, digits) for n in range(10)]


@pytest.mark.usefixtures("berlin")
def test_steps_go_on_evenly_while_summer_time_ends() -> None:
    moments = range(SUMMER_TIME_ENDS - 3600, SUMMER_TIME_ENDS + 3600, 30)
    assert ("CEST", "CET") == (
        time.strftime("%Z", time.localtime(moments[0])),
        time.strftime("%Z", time.localtime(moments[-1])),
    )
    first = SUMMER_TIME_ENDS // 30 - 120
    assert list(range(first, first + 240)) == [otp.time_step(now, 30) for now in moments]


@pytest.mark.usefixtures("berlin")
def test_codes_of_the_hour_that_comes_twice_agree_with_oathtool() -> None:
    start = SUMMER_TIME_ENDS - 1800
    expected = _oathtool("--totp", f"--now=@{start}", "-w119", secret=SECRET)
    step = otp.time_step(start, 30)
    assert expected == [otp.hotp(SECRET, step + n) for n in range(120)]


def test_leading_zeros_are_kept() -> None:
    codes = [otp.hotp(SECRET, counter) for counter in range(100)]
    assert {6} == {len(code) for code in codes}
    assert any(code.startswith("0") for code in codes)


@pytest.mark.parametrize("counter", [-1, 2**64])
def test_a_counter_of_no_64_bits_is_an_error(counter: int) -> None:
    with pytest.raises(OverflowError):
        otp.hotp(SECRET, counter)


def test_an_unknown_algorithm_is_an_error() -> None:
    with pytest.raises(KeyError):
        otp.hotp(SECRET, 0, "MD5")


@each("algorithm", otp.ALGORITHMS)
@each("digits", otp.DIGITS)
def test_a_code_matches_its_own_step_among_others(algorithm: str, digits: int) -> None:
    code = otp.hotp(SECRET, 1000, algorithm, digits)
    assert [1000] == otp.matching_steps(code, SECRET, range(995, 1005), algorithm, digits)


def test_matching_steps_come_oldest_first() -> None:
    first, second = _two_steps_of_one_code()
    steps = (second, first, first + 1)
    assert [first, second] == otp.matching_steps(otp.hotp(SECRET, first), SECRET, steps)


def test_every_step_is_computed_although_the_first_one_matches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    computed: list[int] = []
    hotps, code = otp.hotps, otp.hotp(SECRET, 99)

    def watched(secret: bytes, counters: list[int], *rest: Any) -> list[bytes]:
        computed.extend(counters)
        return hotps(secret, counters, *rest)

    monkeypatch.setattr(otp, "hotps", watched)
    otp.matching_steps(code, SECRET, range(99, 102))
    assert [99, 100, 101] == computed


def test_every_comparison_takes_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def watched(left: bytes, right: bytes) -> bool:
        compared.append(left)
        return left == right

    monkeypatch.setattr(otp, "compare_digest", watched)
    otp.matching_steps("000000", SECRET, range(3))
    assert [b"755224", b"287082", b"359152"] == compared


def test_steps_before_the_epoch_match_nothing() -> None:
    assert [0] == otp.matching_steps(otp.hotp(SECRET, 0), SECRET, range(-3, 2))


@given(st.text(alphabet="0123456789", max_size=12).filter(lambda code: len(code) != 6))
def test_a_code_of_another_length_matches_nothing(code: str) -> None:
    assert [] == otp.matching_steps(code, SECRET, range(3))


def _pyotp_digest(algorithm: str):
    """Return what pyotp wants: a hash function."""
    import hashlib

    return getattr(hashlib, algorithm.lower())


def _oathtool(*options: str, secret: bytes) -> list[str]:
    """Return the codes that oathtool prints; the secret goes in on standard input."""
    finished = subprocess.run(
        ["oathtool", *options, "-"],
        input=secret.hex(),
        env={"PATH": os.environ["PATH"], "TZ": "UTC"},
        capture_output=True,
        text=True,
        check=True,
    )
    return finished.stdout.split()


def _two_steps_of_one_code() -> tuple[int, int]:
    seen: dict[str, int] = {}
    for step in range(100_000):
        code = otp.hotp(SECRET, step)
        if code in seen:
            return seen[code], step
        seen[code] = step
    raise AssertionError("no two of 100,000 codes of six digits are the same")
