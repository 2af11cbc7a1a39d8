"""In which programs the hook may serve, and what it leaves in the log when it fails."""

from __future__ import annotations

import io
import os
import sys

import pytest

from pam_totp.system import embedding
from pam_totp.system.embedding import UnsafeHost, make_safe
from pam_totp.system.errors import StoreCorrupt, places
from pam_totp.system.reinstalling import missing_module_hint
from tests.support.logs import LogSocket
from tests.unit.logfmt import read

WORD = 8 if sys.maxsize > 2**32 else 4
AT_NULL, AT_UID, AT_SECURE = 0, 11, 23


def auxiliary_vector(*entries: tuple[int, int]) -> bytes:
    numbers = [number for entry in (*entries, (AT_NULL, 0)) for number in entry]
    return b"".join(number.to_bytes(WORD, sys.byteorder) for number in numbers)


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(os, "__file__", "/usr/lib/python3.11/os.py")


def in_a_program_with(vector: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(path: str, mode: str) -> io.BytesIO:
        assert ("/proc/self/auxv", "rb") == (path, mode)
        return io.BytesIO(vector)

    monkeypatch.setattr(embedding, "_vector", b"")
    monkeypatch.setattr("builtins.open", opened)


@pytest.mark.parametrize("service", ["sshd", "login", "gdm-password", "sudo", "sudo-i"])
def test_a_program_without_more_rights_than_its_caller_is_served(
    monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    in_a_program_with(auxiliary_vector((AT_UID, 0), (AT_SECURE, 0)), monkeypatch)
    make_safe(service, "/usr/lib/pam_totp")
    assert "/usr/lib/pam_totp" == sys.path[0]


@pytest.mark.parametrize("service", ["su", "su-l", "passwd", "sshd", "", "sudoedit", "SUDO"])
def test_a_setuid_program_is_not_served(monkeypatch: pytest.MonkeyPatch, service: str) -> None:
    in_a_program_with(auxiliary_vector((AT_UID, 1000), (AT_SECURE, 1)), monkeypatch)
    before = list(sys.path)
    with pytest.raises(UnsafeHost) as caught:
        make_safe(service, "/usr/lib/pam_totp")
    assert service == caught.value.subject
    assert f"take pam_totp out of /etc/pam.d/{service}" in caught.value.hint
    assert before == sys.path


@pytest.mark.parametrize("service", ["sudo", "sudo-i"])
def test_sudo_is_served_although_it_is_setuid(
    monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    """It puts a PATH of its own in the caller's place."""
    in_a_program_with(auxiliary_vector((AT_SECURE, 1)), monkeypatch)
    make_safe(service, "/usr/lib/pam_totp")


@pytest.mark.parametrize("vector", [b"", auxiliary_vector(), auxiliary_vector((AT_UID, 0))])
def test_a_kernel_that_does_not_tell_is_taken_for_setuid(
    monkeypatch: pytest.MonkeyPatch, vector: bytes
) -> None:
    in_a_program_with(vector, monkeypatch)
    with pytest.raises(UnsafeHost):
        make_safe("sshd", "/usr/lib/pam_totp")


def test_a_value_that_looks_like_the_key_is_not_taken_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    in_a_program_with(auxiliary_vector((AT_UID, AT_SECURE), (AT_SECURE, 0)), monkeypatch)
    make_safe("sshd", "/usr/lib/pam_totp")


def test_the_constant_is_the_one_of_the_header() -> None:
    assert AT_SECURE == embedding.AT_SECURE


def test_the_program_that_runs_the_tests_is_served() -> None:
    make_safe("sshd", "/usr/lib/pam_totp")


@pytest.mark.parametrize("service", ["sshd", "sudo"])
@pytest.mark.parametrize(
    "library",
    ["/home/alice/lib/python3.11/os.py", "/usr/local/lib/python3.11/os.py", "/usr/library/os.py"],
)
def test_an_interpreter_with_a_library_of_elsewhere_does_not_serve(
    monkeypatch: pytest.MonkeyPatch, service: str, library: str
) -> None:
    monkeypatch.setattr(os, "__file__", library)
    with pytest.raises(UnsafeHost) as caught:
        make_safe(service, "/usr/lib/pam_totp")
    assert f"PATH led the interpreter to {library}" == caught.value.problem
    assert "secure_path" in caught.value.hint


def test_an_interpreter_that_does_not_know_its_library_does_not_serve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "__file__")
    with pytest.raises(UnsafeHost, match="to nowhere"):
        make_safe("sshd", "/usr/lib/pam_totp")


def reported(log: LogSocket, error: BaseException) -> dict[str, str]:
    embedding.report("sshd", error)
    (line,) = log.lines()
    return read(line[line.index("pam_totp(sshd:auth): ") :])


def test_an_error_of_ours_is_reported_with_its_words_and_the_mend(log: LogSocket) -> None:
    pairs = reported(log, StoreCorrupt("/store.db", "is damaged", "restore it"))
    expected = {"event": "error", "reason": "/store.db: is damaged", "hint": "restore it"}
    assert expected == pairs


def test_another_error_is_reported_without_its_words(log: LogSocket) -> None:
    pairs = reported(log, ValueError("hunter2"))
    expected = {
        "event": "error",
        "reason": "unexpected ValueError",
        "hint": "please report this",
    }
    assert expected == pairs


def test_a_missing_module_is_reported_by_name(log: LogSocket) -> None:
    pairs = reported(log, ModuleNotFoundError("no", name="nacl"))
    assert missing_module_hint("nacl") == pairs["hint"]


def test_the_place_that_raised_is_named_however_deep_it_lies(log: LogSocket) -> None:
    def fall(depth: int) -> None:
        if depth:
            fall(depth - 1)
        raise ValueError

    try:
        fall(100)
    except ValueError as error:
        pairs = reported(log, error)
        innermost = places(error)[-1]
    assert innermost == pairs["at"].split()[-1]
