"""The file a host loads: a real PAM code comes out, whatever happens inside."""

from __future__ import annotations

import enum
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pam_totp import hook
from pam_totp.login import in_process
from pam_totp.system.reinstalling import missing_module_hint
from tests.support.logs import LogSocket
from tests.support.place import ROOT, code_now, wrong_code
from tests.unit.door import NAMES, Door
from tests.unit.fake_pam import CONSTANTS, FakePam, PamException
from tests.unit.logfmt import read

HOOK = ROOT / "pam_totp" / "hook.py"
SERVICE_ERR = CONSTANTS["PAM_SERVICE_ERR"]
Hook = dict[str, Any]


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Hook:
    """The hook's globals, made as pam_python makes them: exec with __file__ and no name."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    return load(str(HOOK))


def load(path: str) -> Hook:
    namespace: Hook = {"__file__": path}
    exec(compile(Path(path).read_text(encoding="utf-8"), path, "exec"), namespace)
    return namespace


def after_ident(line: str) -> str:
    return line[line.index("pam_totp(") :]


def run(
    loaded: Hook,
    monkeypatch: pytest.MonkeyPatch,
    authenticate: Callable[..., object],
    pamh: object = None,
) -> object:
    monkeypatch.setattr(in_process, "authenticate", authenticate)
    return loaded["pam_sm_authenticate"](pamh or FakePam(), 0, [str(HOOK), "debug"])


def test_the_hook_s_codes_are_those_of_the_header() -> None:
    names = ("PAM_SUCCESS", "PAM_SERVICE_ERR", "PAM_AUTH_ERR", "PAM_IGNORE")
    assert [CONSTANTS[name] for name in names] == [getattr(hook, name) for name in names]


def test_the_login_is_called_without_the_path_of_the_script(
    loaded: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    pamh, calls = FakePam(), []

    def authenticate(*arguments: object) -> int:
        calls.append(arguments)
        return 0

    monkeypatch.setattr(in_process, "authenticate", authenticate)
    loaded["pam_sm_authenticate"](pamh, 0x8000, [str(HOOK), "debug", "nullok"])
    assert [(pamh, 0x8000, ["debug", "nullok"], [])] == calls


@pytest.mark.parametrize("code", sorted(NAMES), ids=lambda code: NAMES[code])
def test_every_code_of_the_table_is_passed_on(
    loaded: Hook, monkeypatch: pytest.MonkeyPatch, log: LogSocket, code: int
) -> None:
    assert code == run(loaded, monkeypatch, lambda *_: code)
    assert [] == log.lines()


class Code(enum.IntEnum):
    SUCCESS = 0


@pytest.mark.parametrize(
    "result", [False, True, None, 4711, -1, 1, 6, 0.0, "0", b"0", [], Code.SUCCESS, 2**70]
)
def test_anything_but_a_code_of_the_table_is_a_service_error(
    loaded: Hook, monkeypatch: pytest.MonkeyPatch, log: LogSocket, result: object
) -> None:
    code = run(loaded, monkeypatch, lambda *_: result)
    assert (int, SERVICE_ERR) == (type(code), code)
    assert ["error"] == log.events()
    assert 'reason="unexpected TypeError"' in log.lines()[0]


AUTH_ERR = CONSTANTS["PAM_AUTH_ERR"]


@pytest.mark.parametrize("result", [ValueError("hunter2"), SystemExit(0), False, SERVICE_ERR])
def test_an_error_after_a_right_password_looks_like_a_wrong_one(
    loaded: Hook, monkeypatch: pytest.MonkeyPatch, log: LogSocket, result: object
) -> None:
    """Where the code came with the password; as pam_totp.so has it. And the code is gone."""

    def fail(*_: object) -> object:
        if isinstance(result, BaseException):
            raise result
        return result

    loaded["_kept"].append("123456")
    assert AUTH_ERR == run(loaded, monkeypatch, fail)
    assert [] == loaded["_kept"]
    assert SERVICE_ERR == run(loaded, monkeypatch, fail)
    assert "hunter2" not in log.text()


ERRORS = [
    Exception("hunter2"),
    ValueError("hunter2"),
    KeyError("hunter2"),
    SystemExit("hunter2"),
    SystemExit(0),
    KeyboardInterrupt("hunter2"),
    GeneratorExit("hunter2"),
    RecursionError("hunter2"),
    MemoryError("hunter2"),
    UnicodeDecodeError("utf-8", b"hunter2", 0, 1, "hunter2"),
    OSError(28, "hunter2", "hunter2"),
    PamException("hunter2"),
    ExceptionGroup("hunter2", [ValueError("hunter2")]),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_exception_is_a_service_error_logged_without_its_text(
    loaded: Hook, monkeypatch: pytest.MonkeyPatch, log: LogSocket, error: BaseException
) -> None:
    def authenticate(*_: object) -> int:
        hunter2 = "hunter2"  # the values of local variables are not logged either
        assert hunter2
        raise error

    code = run(loaded, monkeypatch, authenticate)
    assert (int, SERVICE_ERR) == (type(code), code)
    (line,) = log.lines()
    pairs = read(after_ident(line))
    assert ("error", f"unexpected {type(error).__name__}") == (pairs["event"], pairs["reason"])
    assert "hunter2" not in line
    assert "please report this" == pairs["hint"]


def test_the_log_tells_the_places_and_nothing_else(
    loaded: Hook, monkeypatch: pytest.MonkeyPatch, log: LogSocket
) -> None:
    def authenticate(*_: object) -> int:
        raise ValueError

    run(loaded, monkeypatch, authenticate)
    pairs = read(after_ident(log.lines()[0]))
    files = [place.split(":")[0] for place in pairs["at"].split()]
    assert ["hook.py", "test_hook.py"] == files
    lines = [int(place.split(":")[1]) for place in pairs["at"].split()]
    source = HOOK.read_text(encoding="utf-8").splitlines()
    assert (
        "code = in_process.authenticate(pamh, flags, argv[1:], _kept)"
        == source[lines[0] - 1].strip()
    )


def test_a_missing_module_is_named_with_the_mend(
    loaded: Hook, monkeypatch: pytest.MonkeyPatch, log: LogSocket
) -> None:
    def authenticate(*_: object) -> int:
        raise ModuleNotFoundError("No module named 'nacl'", name="nacl")

    assert SERVICE_ERR == run(loaded, monkeypatch, authenticate)
    assert f'hint="{missing_module_hint("nacl")}"' in log.lines()[0]


def test_a_recursion_without_end_is_a_service_error(
    loaded: Hook, monkeypatch: pytest.MonkeyPatch, log: LogSocket
) -> None:
    def authenticate(*arguments: object) -> int:
        return authenticate(*arguments)

    assert SERVICE_ERR == run(loaded, monkeypatch, authenticate)
    assert "unexpected RecursionError" in log.text()


class Hostile:
    """A handle whose every item raises."""

    def __getattr__(self, name: str) -> object:
        raise SystemExit(name)


def test_a_handle_that_cannot_even_be_logged_is_a_service_error(
    loaded: Hook, log: LogSocket
) -> None:
    assert SERVICE_ERR == loaded["pam_sm_authenticate"](Hostile(), 0, [str(HOOK)])
    assert SERVICE_ERR == loaded["pam_sm_authenticate"](None, 0, [])
    assert SERVICE_ERR == loaded["pam_sm_authenticate"](FakePam(), 0, None)


def test_a_service_whose_name_is_not_text_is_denied_with_a_line_in_the_log(
    loaded: Hook, log: LogSocket
) -> None:
    class Unreadable(FakePam):
        @property
        def service(self) -> str:
            return b"\xff".decode("utf-8")

        @service.setter
        def service(self, value: object) -> None: ...

    assert SERVICE_ERR == loaded["pam_sm_authenticate"](Unreadable(), 0, [str(HOOK)])
    assert "service: its name is not text" in log.text()


def test_a_dead_logger_does_not_turn_an_error_into_success(
    loaded: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise SystemExit(0)

    monkeypatch.setattr("pam_totp.system.audit.record", broken)
    assert SERVICE_ERR == run(loaded, monkeypatch, broken)


# pam_sm_setcred


def test_credentials_are_set_after_success_and_ignored_after_a_skip(
    loaded: Hook, monkeypatch: pytest.MonkeyPatch, log: LogSocket
) -> None:
    results = []
    for code in (0, 25, 7, 25, 0, False):
        run(loaded, monkeypatch, lambda *_, code=code: code)
        results.append(loaded["pam_sm_setcred"](FakePam(), 0, [str(HOOK)]))
    assert [0, 25, 0, 25, 0, 0] == results
    assert {int} == set(map(type, results))


def test_a_line_that_jumps_for_a_key_never_leaves_it_to_others(
    loaded: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Upstream libpam would hand its PAM_IGNORE to sshd, which then refuses the login."""
    run(loaded, monkeypatch, lambda *_: 25)
    assert 0 == loaded["pam_sm_setcred"](FakePam(), 0, [str(HOOK), "first_factor=key"])


def test_credentials_can_be_set_before_anything_else(loaded: Hook) -> None:
    assert 0 == loaded["pam_sm_setcred"](FakePam(), 0, [str(HOOK)])


def test_two_handles_do_not_share_a_skip(loaded: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    run(loaded, monkeypatch, lambda *_: 25)
    assert 0 == load(str(HOOK))["pam_sm_setcred"](FakePam(), 0, [str(HOOK)])


# A whole login


def test_a_login_through_the_hook_succeeds_once(loaded: Hook, door: Door) -> None:
    argv = [str(HOOK), f"config={door.place.config_path}", "attempts=1"]
    code = code_now()
    results = [loaded["pam_sm_authenticate"](FakePam(answers=[code]), 0, argv) for _ in range(2)]
    assert [CONSTANTS["PAM_SUCCESS"], CONSTANTS["PAM_AUTH_ERR"]] == results


def test_an_unexpected_error_deep_inside_is_a_service_error(loaded: Hook, door: Door) -> None:
    argv = [str(HOOK), f"config={door.place.config_path}"]
    secret = wrong_code()
    pamh = FakePam(answers=[ZeroDivisionError(secret)])
    assert SERVICE_ERR == loaded["pam_sm_authenticate"](pamh, 0, argv)
    assert "unexpected ZeroDivisionError" in door.log.text()
    assert "conversation.py:" in door.log.text()
    assert secret not in door.log.text()


# Where modules come from


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("known", [[], [str(ROOT)]])
def test_only_this_package_and_the_distribution_s_modules_are_on_the_path(
    loaded: Hook, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, linked: bool, known: list[str]
) -> None:
    path = HOOK
    if linked:
        path = tmp_path / "hook.py"
        path.symlink_to(HOOK)
    distribution = [
        "/usr/lib/python3.11",
        "/usr/lib64/python3.11",
        "/usr/lib/python3/dist-packages",
    ]
    untrusted = [
        "",
        ".",
        "/",
        "/tmp",
        "/usr/lib",
        "/usr/library",
        "/usr/local/lib/python3.11/dist-packages",
        "/home/alice/.local/lib/python3.11/site-packages",
        "usr/lib/python3",
    ]
    monkeypatch.setattr(sys, "path", [*untrusted, *distribution, *known])
    the_list = sys.path
    namespace = load(str(path))
    for _ in range(2):
        assert 0 == run(namespace, monkeypatch, lambda *_: 0)
        assert [str(ROOT), *distribution] == sys.path
    assert the_list is sys.path


def test_a_module_of_the_caller_s_folder_is_not_loaded(tmp_path: Path) -> None:
    """The interpreter of a host may have the current folder on its path."""
    for name in ("pwd", "resource", "sqlite3", "nacl", "pam_totp"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('loaded')\n", encoding="utf-8")
    script = f"""
import sys
sys.path.insert(0, "")
namespace = dict(__file__={str(HOOK)!r})
with open(namespace["__file__"], encoding="utf-8") as file:
    exec(file.read(), namespace)
class Pamh:
    service = "sshd"
print(namespace["pam_sm_authenticate"](Pamh(), 0, []), sys.modules["pam_totp.login.flow"].__file__)
"""
    finished = subprocess.run(
        ["/usr/bin/python3", "-B", "-c", script],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    expected = f"{SERVICE_ERR} {ROOT}/pam_totp/login/flow.py\n"
    assert (expected, "") == (finished.stdout, finished.stderr)
