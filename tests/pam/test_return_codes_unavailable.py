"""What an application gets where store, key, conversation or installation fail."""

from __future__ import annotations

import os
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from pam_totp.store import sealing
from pam_totp.system.reinstalling import missing_module_hint
from tests.support import hosts
from tests.support.installation import Installation
from tests.support.logs import LogSocket, fields
from tests.support.pam_stack import (
    ME,
    PAM_AUTHINFO_UNAVAIL,
    PAM_CONV_ERR,
    PAM_SERVICE_ERR,
    PAM_SUCCESS,
    Stack,
)
from tests.support.place import Place, code_now, wrong_code


def remove_store(place: Place) -> str:
    place.store_path.unlink()
    return str(place.store_path)


def open_store_to_others(place: Place) -> str:
    place.store_path.chmod(0o666)
    return f"chmod go-w {place.store_path}"


def open_store_folder_to_others(place: Place) -> str:
    place.store_path.parent.chmod(0o777)
    return f"chmod go-w {place.store_path.parent}"


def link_store(place: Place) -> str:
    place.store_path.rename(place.folder / "elsewhere.db")
    place.store_path.symlink_to(place.folder / "elsewhere.db")
    return f"{place.store_path}: is a symbolic link"


def fill_store_with_junk(place: Place) -> str:
    place.store_path.write_bytes(b"junk" * 4096)
    return f"restore {place.store_path} from a backup"


def cut_off_store(place: Place) -> str:
    os.truncate(place.store_path, place.store_path.stat().st_size // 2)
    return f"{place.store_path}: is cut off"


def overwrite_a_page_of_the_store(place: Place) -> str:
    with place.store_path.open("r+b") as file:
        file.seek(4096)
        file.write(b"junk" * 1024)
    return f"{place.store_path}: is damaged or not a store"


def empty_store(place: Place) -> str:
    place.store_path.write_bytes(b"")
    return f"{place.store_path}: is empty"


def remove_key(place: Place) -> str:
    place.key_path.unlink()
    return f"{place.key_path}: there is no sealing key"


def show_key_to_others(place: Place) -> str:
    place.key_path.chmod(0o644)
    return f"chmod 0600 {place.key_path}"


def fill_key_with_junk(place: Place) -> str:
    place.key_path.write_bytes(b"not a key\n")
    return f"{place.key_path}: is not a sealing key"


def exchange_key(place: Place) -> str:
    place.key_path.write_bytes(sealing.generate_key_file())
    return f"{place.key_path}: is key "


def open_configuration_to_others(place: Place) -> str:
    place.config_path.chmod(0o666)
    return f"chmod go-w {place.config_path}"


def replace_configuration_by_a_fifo(place: Place) -> str:
    place.config_path.unlink()
    os.mkfifo(place.config_path)
    return f"{place.config_path}: is not a regular file"


DAMAGE = {
    damage.__name__: damage
    for damage in (
        remove_store,
        open_store_to_others,
        open_store_folder_to_others,
        link_store,
        fill_store_with_junk,
        cut_off_store,
        overwrite_a_page_of_the_store,
        empty_store,
        remove_key,
        show_key_to_others,
        fill_key_with_junk,
        exchange_key,
        open_configuration_to_others,
        replace_configuration_by_a_fifo,
    )
}


@hosts.mostly_service("damage", DAMAGE)
@pytest.mark.parametrize("argument", ["", "nullok"])
def test_store_that_cannot_be_believed_is_authinfo_unavail_and_the_log_names_it(
    stack: Stack, place: Place, log: LogSocket, damage, argument: str
) -> None:
    stack.probe(argument)
    place.enrol(ME)
    expected = damage(place)
    result = stack.authenticate(code_now())
    assert (PAM_AUTHINFO_UNAVAIL, 0) == (result.code, result.prompts)
    assert ["error"] == log.events()
    assert expected in log.text()
    assert fields(log.lines()[0])["hint"]


def test_person_is_told_that_codes_cannot_be_checked_but_not_why(
    stack: Stack, place: Place
) -> None:
    remove_store(place)
    shown = stack.authenticate(code_now()).shown
    assert "Verification codes cannot be checked right now." in shown
    assert str(place.folder) not in shown


@contextmanager
def long_log(place: Place) -> Iterator[int]:
    """Let the store's write-ahead log be longer than the yielded size, in bytes."""
    with closing(sqlite3.connect(place.store_path, isolation_level=None)) as other:
        other.execute("PRAGMA wal_autocheckpoint = 0")
        other.execute("CREATE TABLE filler (value BLOB)")
        other.execute("INSERT INTO filler VALUES (zeroblob(262144))")
        yield 131072


# A worker of the login's own lifts every limit, see below: tests/faults fills a real disk.
@hosts.only(hosts.PAM_PYTHON, hosts.SERVICE)
def test_state_that_cannot_be_written_is_authinfo_unavail_and_the_code_stays_good(
    stack: Stack, place: Place, log: LogSocket, host: str, installed: Installation
) -> None:
    place.enrol(ME)
    code = code_now(+1)
    with long_log(place) as size:
        if host == hosts.PAM_PYTHON:
            refused = stack.authenticate(code, file_size_limit=size)
        else:
            pid = installed.service_pid()
            soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))
            refused = stack.authenticate(code)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
    assert PAM_AUTHINFO_UNAVAIL == refused.code
    assert ["error"] == log.events()
    assert str(place.store_path) in log.text()
    assert -1 == place.record(ME).authenticators[0].last_accepted_step
    assert PAM_SUCCESS == stack.authenticate(code).code


@hosts.only(*hosts.NATIVE)  # in the application, its limits are the hook's
def test_limits_of_the_application_are_not_the_workers(stack: Stack, place: Place) -> None:
    place.enrol(ME)
    with long_log(place) as size:
        assert PAM_SUCCESS == stack.authenticate(code_now(), file_size_limit=size).code


def test_end_of_input_is_conv_err(stack: Stack, place: Place, log: LogSocket) -> None:
    place.enrol(ME)
    result = stack.authenticate()
    assert (PAM_CONV_ERR, 1) == (result.code, result.prompts)
    assert ["aborted"] == log.events()
    assert fields(log.lines()[0])["reason"].startswith("conversation: ")


def test_closed_input_is_conv_err(stack: Stack, place: Place) -> None:
    place.enrol(ME)
    assert PAM_CONV_ERR == stack.authenticate(closed=True).code


def test_end_of_input_after_a_wrong_code_is_conv_err_and_the_guess_counts(
    stack: Stack, place: Place, log: LogSocket
) -> None:
    place.enrol(ME)
    result = stack.authenticate(wrong_code())
    assert (PAM_CONV_ERR, 2) == (result.code, result.prompts)
    assert ["rejected", "aborted"] == log.events()
    assert 1 == place.record(ME).failures


def leave_out_nacl(installation: Installation) -> None:
    (installation.folder / "nacl.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'nacl'\", name='nacl')\n", encoding="ascii"
    )


def leave_out_verifier(installation: Installation) -> None:
    (installation.folder / "pam_totp" / "core" / "verifier.py").unlink()
    for cached in installation.folder.rglob("verifier.*.pyc"):
        cached.unlink()


INCOMPLETE = pytest.mark.parametrize(
    ("leave_out", "name"),
    [(leave_out_nacl, "nacl"), (leave_out_verifier, "pam_totp.core.verifier")],
)


@hosts.only(hosts.PAM_PYTHON, hosts.SPAWNED)  # a service does not start then, see below
@INCOMPLETE
def test_incomplete_installation_denies_and_the_log_names_what_is_missing(
    tmp_path: Path, broken: Installation, host: str, place: Place, log: LogSocket, leave_out, name
) -> None:
    place.enrol(ME)
    leave_out(broken)
    stack = Stack(tmp_path / "pam.d", broken.module(host), place.config_path)
    result = stack.authenticate(code_now())
    # A worker that ends before its first word is to the module as none at all.
    expected = PAM_AUTHINFO_UNAVAIL if result.module_log else PAM_SERVICE_ERR
    assert (expected, 0) == (result.code, result.prompts)
    line = fields(log.lines()[0])
    assert ("error", fix(name)) == (line["event"], line["hint"])


def fix(name: str) -> str:
    """Say what the log advises where the module ``name`` is missing."""
    return missing_module_hint(name)


@INCOMPLETE
def test_service_of_an_incomplete_installation_does_not_start_and_the_log_says_why(
    broken: Installation, log: LogSocket, leave_out, name: str
) -> None:
    leave_out(broken)
    service = broken.start_service()
    service.communicate(timeout=20)
    assert 1 == service.returncode
    line = fields(log.lines()[0])
    assert ("error", fix(name)) == (line["event"], line["hint"])
    assert not (broken.folder / "service").exists()


@pytest.mark.parametrize(
    "body",
    [
        "raise RuntimeError('secret-value')",
        "raise SystemExit(0)",
        "raise KeyboardInterrupt",
        "return False",
        "return True",
        "return None",
        "return 0.0",
        "return 24",
    ],
)
def test_anything_unexpected_is_service_err_and_logged_without_values(
    tmp_path: Path, broken: Installation, host: str, place: Place, log: LogSocket, body: str
) -> None:
    with (broken.folder / "pam_totp" / "login" / "flow.py").open("a", encoding="utf-8") as source:
        source.write(f"\n\ndef authenticate(request, driver):\n    {body}\n")
        source.write(f"\n\ndef login(request):\n    {body}\n    yield\n")  # what the service drives
    stack = Stack(tmp_path / "pam.d", broken.module(host), place.config_path)
    result = stack.authenticate(code_now())
    assert (PAM_SERVICE_ERR, []) == (result.code, result.module_log)
    assert ["error"] == log.events()
    assert fields(log.lines()[0])["reason"].startswith("unexpected ")
    last_line = {hosts.PAM_PYTHON: "hook.py:", hosts.SERVICE: "loop.py:"}.get(host, "worker.py:")
    assert last_line in fields(log.lines()[0])["at"]
    assert "secret-value" not in log.text()
