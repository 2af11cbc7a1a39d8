"""What imports what, and what a login loads into somebody's sshd: checked in fresh interpreters."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.logs import LogSocket
from tests.support.place import ROOT, Place, code_now, wrong_code
from tests.unit.fake_pam import CONSTANTS

INTERPRETER = "/usr/bin/python3"
PACKAGE = ROOT / "pam_totp"
MODULES_OF_A_LOGIN = ROOT / "tests" / "vectors" / "login_modules.txt"

# A module, and what it may import of this package, directly.
MAY_IMPORT = {
    "errors": set(),
    "records": set(),
    "hashes": set(),
    "otp": {"hashes"},
    "recovery": {"hashes"},
    "pasted": set(),
    "clock_skew": {"otp", "verifier"},
    "verifier": {"clock_skew", "otp", "pasted", "recovery", "hashes", "records"},
    "dates": set(),
    "messages": {"dates", "verifier"},
    "admission": {"messages", "records", "verifier"},
    "audit": {"records"},
    "conversation": {"errors"},
    "trusted_files": {"disks", "errors"},
    "lock_file": {"disks", "errors"},
    "sealing": {"errors", "hashes", "trusted_files"},
    "config": {"config_values", "errors", "records", "trusted_files", "verifier"},
    "config_values": {"dates"},
    "disks": {"records"},
    "reinstalling": set(),
    "embedding": {"audit", "errors", "reinstalling"},
    "store": {"admission", "config_values", "sealing", "store.pool", "store.sqlite"},
    "store.schema": {"errors"},
    "store.creation": {
        "errors",
        "lock_file",
        "sealing",
        "store.database",
        "store.lasting_files",
        "trusted_files",
    },
    "store.database": {
        "disks",
        "errors",
        "store.lasting_files",
        "store.reserve",
        "store.schema",
        "trusted_files",
    },
    "store.lasting_files": set(),
    "store.reserve": {"errors", "records", "store.lasting_files"},
    "store.pool": {"errors", "store.database", "store.reserve", "store.schema"},
    "store.rows": {"admission", "otp", "verifier"},
    "store.sqlite": {
        "errors",
        "sealing",
        "store.creation",
        "store.database",
        "store.resealing",
        "store.rows",
        "store.transactions",
    },
    "store.glance": {
        "config_values",
        "records",
        "store.database",
        "store.lasting_files",
        "trusted_files",
    },
    "store.resealing": {
        "disks",
        "errors",
        "sealing",
        "store.database",
        "store.reserve",
        "store.rows",
        "store.transactions",
        "verifier",
    },
    "store.transactions": {"store.reserve", "store.rows", "verifier"},
    "uninterrupted": set(),
    "identity": {"admission", "errors"},
    "membership": {"admission"},
    "decision": {
        "admission",
        "errors",
        "recovery",
        "sealing",
        "store",
        "uninterrupted",
        "verifier",
    },
    "core_files": set(),
    "issuing": {"recovery", "verifier"},
    "picture": set(),
    "control_group": {"errors"},
    "prompts": {"records"},
    "sandbox": {"config", "config_values", "disks", "errors"},
    "first_login": {
        "admission",
        "clock_skew",
        "decision",
        "errors",
        "identity",
        "issuing",
        "messages",
        "pam_stack",
        "picture",
        "uninterrupted",
        "verifier",
    },
    "login": {
        "admission",
        "audit",
        "clock_skew",
        "config",
        "conversation",
        "decision",
        "core_files",
        "disks",
        "errors",
        "first_login",
        "identity",
        "membership",
        "messages",
        "otp",
        "store",
        "uninterrupted",
        "verifier",
    },
    "hook": {"embedding", "login"},
    "pam_lines": {"errors", "records"},
    "pam_dispatch": {"pam_lines", "records"},
    "pam_ways": {"pam_dispatch", "pam_lines", "records"},
    "pam_stack": {"pam_dispatch", "pam_lines", "pam_ways", "records"},
    "wire": {"errors", "records"},
    "handle": {"errors", "wire"},
    "worker": {
        "audit",
        "config",
        "control_group",
        "embedding",
        "errors",
        "handle",
        "hook",
        "identity",
        "listening",
        "records",
        "sandbox",
        "wire",
    },
    "listening": {"sandbox", "service"},
    "service": {"embedding", "errors", "login", "prompts", "store", "worker"},
}
PURE = (
    "clock_skew",
    "otp",
    "pasted",
    "recovery",
    "verifier",
    "messages",
    "hashes",
    "errors",
    "records",
    "wire",
    "dates",
    "admission",
)
FORBIDDEN = {"admin_cli", "click", "segno", "pyotp", "setuptools", "pkg_resources"}

# Slow to import, or (syslog) changing under which name the host logs.
BANNED = FORBIDDEN | {
    "_hashlib",
    "_ssl",
    "argparse",
    "asyncio",
    "contextlib",
    "ctypes",
    "dataclasses",
    "enum",
    "hashlib",
    "hmac",
    "inspect",
    "json",
    "logging",
    "nacl.bindings",
    "pathlib",
    "random",
    "re",
    "secrets",
    "socket",
    "ssl",
    "subprocess",
    "syslog",
    "tempfile",
    "threading",
    "traceback",
    "typing",
    "unicodedata",
}


def sources() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        yield name.removesuffix(".__init__").replace("__init__", ""), path


def name_of(value: object) -> str:
    return "" if isinstance(value, Path) else str(value or "pam_totp")


def imported(name: str, path: Path) -> set[str]:
    """Return the full names of all that ``path`` imports at run time, wherever in the file."""
    parts = ["pam_totp", *name.split(".")] if name else ["pam_totp"]
    package = parts if path.name == "__init__.py" else parts[:-1]
    found = set()
    for node in walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            members = {f"{module}.{alias.name}" for alias in node.names}
            modules = {member for member in members if is_module(member)}
            found |= modules or {module}
    return found


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """Yield ``node`` and all below it, but not what only a type checker reads."""
    yield node
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        children: list[ast.AST] = list(node.orelse)
    else:
        children = list(ast.iter_child_nodes(node))
    for child in children:
        yield from walk(child)


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def run(script: str, *arguments: str) -> str:
    finished = subprocess.run(
        [INTERPRETER, "-I", "-S", "-B", "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "") == (finished.returncode, finished.stderr)
    return finished.stdout


def folder_of_nacl() -> str:
    script = "import nacl; print(nacl.__path__[0].rpartition('/')[0])"
    command = [INTERPRETER, "-I", "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def preamble() -> str:
    """Begin a script that finds nacl, but runs no .pth file that would load modules itself."""
    return f"import sys; sys.path.append({folder_of_nacl()!r}); import site; "


# Directions


def test_every_module_has_its_place_in_the_layering() -> None:
    assert set(MAY_IMPORT) == {name for name, _ in sources() if name}


@pytest.mark.parametrize(("name", "path"), sources(), ids=name_of)
def test_a_module_imports_no_other_than_those_below_it(name: str, path: Path) -> None:
    ours = {
        module.removeprefix("pam_totp.")
        for module in imported(name, path)
        if module.startswith("pam_totp.")
    }
    assert ours <= MAY_IMPORT.get(name, set())


@pytest.mark.parametrize(("name", "path"), sources(), ids=name_of)
def test_nothing_of_the_command_is_imported(name: str, path: Path) -> None:
    assert set() == FORBIDDEN & {module.split(".")[0] for module in imported(name, path)}


@pytest.mark.parametrize("name", PURE)
def test_the_pure_core_imports_nothing_that_acts(name: str) -> None:
    """No clock, no randomness, no files: what otp, recovery and verifier need comes in."""
    path = PACKAGE / f"{name}.py"
    allowed = {"__future__", "collections", "pam_totp", "nacl", "typing", "hashlib", "_operator"}
    allowed |= {"_blake2", "_sha1", "_sha2", "_sha256", "_sha512", "unicodedata"}
    assert set() == {module.split(".")[0] for module in imported(name, path)} - allowed


def closure(name: str) -> set[str]:
    """Return ``name`` and all that may be loaded with it; store.x brings store with it."""
    reached, todo = set(), {name}
    while todo:
        module = todo.pop()
        reached.add(module)
        todo |= (MAY_IMPORT[module] | {module.split(".")[0]}) - reached
    return reached


@pytest.mark.parametrize("name", sorted(MAY_IMPORT))
def test_a_fresh_interpreter_loads_no_more_for_a_module_than_what_is_below_it(
    name: str, preamble: str
) -> None:
    script = (
        f"{preamble}sys.path.insert(0, {str(ROOT)!r}); import pam_totp.{name}\n"
        "print(*sorted(sys.modules))"
    )
    loaded = set(run(script).split())
    ours = {m.removeprefix("pam_totp.") for m in loaded if m.startswith("pam_totp.")}
    assert name in ours
    assert ours <= closure(name)
    assert set() == FORBIDDEN & loaded


def test_the_command_may_be_absent(preamble: str) -> None:
    """A login works where only the package is installed."""
    script = (
        f"{preamble}sys.path.insert(0, {str(ROOT)!r})\n"
        f"for name in {sorted(FORBIDDEN)!r}: sys.modules[name] = None\n"
        "import pam_totp.login; print('ok')"
    )
    assert "ok\n" == run(script)


# The import budget

LOGIN = """
before = set(sys.modules)

class Pamh:
    PAM_PROMPT_ECHO_OFF, PAM_PROMPT_ECHO_ON, PAM_ERROR_MSG, PAM_TEXT_INFO = {styles}
    service, rhost, ruser, tty, authtok, env = "sshd", "::1", None, "ssh", "hunter2", dict()
    exception = type("PamException", (Exception,), dict())

    class Message:
        def __init__(self, style, text):
            self.style, self.text = style, text

    def get_user(self, prompt):
        return "root"

    def conversation(self, message):
        response = self.Message(0, "")
        response.resp = {answer!r} if message.style == self.PAM_PROMPT_ECHO_OFF else None
        return response

namespace = dict(__file__={hook!r})
with open({hook!r}, encoding="utf-8") as file:
    exec(compile(file.read(), {hook!r}, "exec"), namespace)
from pam_totp import audit
audit.SYSLOG_SOCKET = {socket!r}
argv = [{hook!r}, "config=" + {config!r}]
calls = namespace["pam_sm_authenticate"], namespace["pam_sm_setcred"]
result = tuple(call(Pamh(), 0, argv) for call in calls)
if result != {expected!r}:
    raise SystemExit(repr(result))
print(*sorted(set(sys.modules) - before))
"""


def modules_of_a_login(
    preamble: str, place: Place, log: LogSocket, answer: str, expected: tuple[int, int]
) -> list[str]:
    styles = [
        CONSTANTS[name]
        for name in (
            "PAM_PROMPT_ECHO_OFF",
            "PAM_PROMPT_ECHO_ON",
            "PAM_ERROR_MSG",
            "PAM_TEXT_INFO",
        )
    ]
    script = preamble + f"sys.path.insert(0, {str(ROOT)!r})\n"
    script += LOGIN.format(
        styles=styles,
        answer=answer,
        hook=str(PACKAGE / "hook.py"),
        socket=str(log.path),
        config=str(place.config_path),
        expected=expected,
    )
    return run(script).split()


def interpreter_version() -> tuple[int, ...]:
    script = "import sys; print(*sys.version_info[:2])"
    return tuple(map(int, run(script).split()))


def expected_modules(version: tuple[int, ...], path: Path = MODULES_OF_A_LOGIN) -> list[str]:
    """Read the list: a name a line, with ``>=3.13`` or ``<3.12`` where not every Python has it."""
    names = []
    for line in path.read_text(encoding="utf-8").splitlines():
        name, *conditions = line.partition("#")[0].split() or [""]
        if name and all(holds(condition, version) for condition in conditions):
            names.append(name)
    return sorted(names)


def holds(condition: str, version: tuple[int, ...]) -> bool:
    bound = tuple(map(int, condition.lstrip("<>=").split(".")))
    return version >= bound if condition.startswith(">=") else version < bound


def test_a_login_loads_exactly_the_modules_of_the_list(
    preamble: str, place: Place, log: LogSocket
) -> None:
    place.enrol("root")
    loaded = modules_of_a_login(preamble, place, log, code_now(), (0, 0))
    assert expected_modules(interpreter_version()) == loaded
    assert ["accepted"] == log.events()


def test_a_refusal_loads_no_more_than_a_success(
    preamble: str, place: Place, log: LogSocket
) -> None:
    place.configure(attempts=1)
    place.enrol("root")
    loaded = modules_of_a_login(preamble, place, log, wrong_code(), (7, 0))
    assert expected_modules(interpreter_version()) == loaded


@pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 13)], ids=str)
def test_nothing_slow_and_nothing_that_changes_the_host_is_on_the_list(
    version: tuple[int, ...],
) -> None:
    assert set() == BANNED & set(expected_modules(version))


def test_the_list_is_in_order_and_names_every_module_once() -> None:
    names = [line.split()[0] for line in MODULES_OF_A_LOGIN.read_text("utf-8").splitlines()]
    names = [name for name in names if name != "#"]
    assert sorted(set(names)) == names
