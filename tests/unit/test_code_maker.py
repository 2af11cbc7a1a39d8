"""Recovery codes made several at once: each set is as one that was made alone."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from admin_cli.commands.enrollment import hashing
from admin_cli.commands.enrollment.hashing import CodeMaker
from pam_totp.core import recovery


def test_each_set_has_ten_codes_and_their_digests_with_a_salt_of_its_own() -> None:
    with CodeMaker() as maker:
        sets = [wait() for wait in [maker.begin(), maker.begin()]]
    for made in sets:
        kept = {recovery.digest(recovery.normalise(code) or "", made.salt) for code in made.codes}
        assert 10 == len(made.codes)
        assert kept == made.digests
    assert 20 == len({code for made in sets for code in made.codes})
    assert 2 == len({made.salt for made in sets})


def test_as_many_hash_at_once_as_there_are_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "threads", lambda: 3)
    meet = threading.Barrier(3)

    def digest(code: str, salt: bytes) -> bytes:
        if code.startswith("meet"):
            meet.wait(60)  # broken, unless three are here together
        return code.encode()

    monkeypatch.setattr("pam_totp.core.recovery.digest", digest)
    codes = [f"meet {number}" for number in range(3)]
    monkeypatch.setattr("pam_totp.system.issuing.new_recovery_codes", lambda: codes)
    assert {code.encode() for code in codes} == hashing.new_recovery_codes().digests


def test_there_are_no_more_threads_than_memory_for_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "meminfo"
    monkeypatch.setattr(hashing, "_MEMORY_FILE", str(file))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    monkeypatch.setattr(recovery, "ARGON2_MEMORY_BYTES", 19 * 1024 * 1024)
    for available, expected in ((0, 1), (4 * 19 * 1024 * 5, 5), (10**9, 64)):
        file.write_text(f"MemTotal: 99 kB\nMemAvailable:  {available} kB\n")
        assert expected == hashing.threads()
    file.unlink()
    assert 1 == hashing.threads()


def test_what_has_not_begun_is_given_up_by_whoever_is_interrupted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, go = [], threading.Event()
    shut_down = ThreadPoolExecutor.shutdown

    def digest(code: str, salt: bytes) -> bytes:
        begun.append(code)
        assert go.wait(60)
        return b""

    def let_go_then_wait(threads: ThreadPoolExecutor, *, cancel_futures: bool) -> None:
        shut_down(threads, wait=False, cancel_futures=cancel_futures)
        go.set()
        shut_down(threads)

    monkeypatch.setattr(hashing, "threads", lambda: 1)
    monkeypatch.setattr("pam_totp.core.recovery.digest", digest)
    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", let_go_then_wait)
    with pytest.raises(KeyboardInterrupt), CodeMaker() as maker:  # noqa: PT012
        maker.begin()
        raise KeyboardInterrupt
    assert len(begun) <= 1


def test_codes_that_are_handed_out_are_in_no_text_of_the_set() -> None:
    made = hashing.NewCodes(["0123-4567-89AB-CDEF"], b"", frozenset())
    assert "0123" not in f"{made!r}"
