"""What imports what, and what a login loads into somebody's sshd: checked in fresh interpreters."""

from __future__ import annotations

import ast
import functools
import subprocess
from collections.abc import Iterator, Set
from pathlib import Path

import pytest

from tests.support import thorough
from tests.support.each import each
from tests.support.logs import LogSocket
from tests.support.place import ROOT, Place, code_now, wrong_code
from tests.unit.fake_pam import CONSTANTS

INTERPRETER = "/usr/bin/python3"
PACKAGE = ROOT / "pam_totp"
MODULES_OF_A_LOGIN = ROOT / "tests" / "vectors" / "login_modules.txt"

# From the bottom up. A module may import those of its own layer and of those below it.
LAYERS = {
    "pam_totp": ("core", "system", "stack", "store", "login", "hook", "service"),
    "admin_cli": (
        "errors",
        "prose",
        "output",
        "verbs",
        "host",
        "libraries",
        "exporting",
        "importing",
        "session",
        "recorded",
        "policy",
        "selftest",
        "access",
        "enable",
        "doctor",
        "completion",
        "commands",
        "running",
        "main",
        "__main__",
    ),
}
FORBIDDEN = {"admin_cli", "click", "segno", "pyotp", "setuptools", "pkg_resources"}

# A worker for one login may take 1.5 times the 26 ms that it took before typing and nacl.bindings
# came in, and pam_python 2.2 times its bare floor: they take 1.45 and 2.2, so nothing is left. Each
# of these would add: hashlib and hmac, which load OpenSSL, 3.3 ms; socket 2.3; signal 1.2;
# threading 1.2. A class of NamedTuple costs 0.3 ms. And syslog changes the name under which the
# application logs.
BANNED = FORBIDDEN | {
    "_hashlib",
    "_ssl",
    "argparse",
    "asyncio",
    "ctypes",
    "dataclasses",
    "hashlib",
    "hmac",
    "inspect",
    "json",
    "logging",
    "pathlib",
    "random",
    "secrets",
    "signal",
    "socket",
    "ssl",
    "subprocess",
    "syslog",
    "tempfile",
    "threading",
    "traceback",
    "unicodedata",
}


def sources(package: str) -> Iterator[tuple[str, Path]]:
    """Yield the full name and the file of every module of ``package``."""
    for path in sorted((ROOT / package).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        yield name.removesuffix(".__init__"), path


MODULES = {name: path for package in LAYERS for name, path in sources(package)}
OF_A_LOGIN = [name for name, _ in sources("pam_totp")]


@functools.cache
def tree_of(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


@functools.cache
def imported(name: str, *, by_types: bool = True) -> frozenset[str]:
    """Return the full names of all that ``name`` imports, wherever in the file.

    ``by_types`` False: without what only a type checker reads.
    """
    package = name.split(".") if MODULES[name].name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in walk(tree_of(name), by_types=by_types):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            for member in (f"{module}.{alias.name}" for alias in node.names):
                found.add(member if member in MODULES else module)
    return frozenset(found - {name})


def walk(node: ast.AST, *, by_types: bool) -> Iterator[ast.AST]:
    """Yield ``node`` and all below it."""
    todo = [node]
    while todo:
        node = todo.pop()
        yield node
        if not by_types and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            todo.extend(node.orelse)
        else:
            todo.extend(ast.iter_child_nodes(node))


def packages_of(name: str) -> set[str]:
    """Return the packages that ``name`` imports from."""
    return {module.split(".")[0] for module in imported(name)}


def ours(names: Set[str]) -> set[str]:
    return {name for name in names if name.split(".")[0] in LAYERS}


def layer(name: str) -> int:
    """Return how high ``name`` is, all of pam_totp below all of admin_cli."""
    package, _, rest = name.partition(".")
    height = sum(len(LAYERS[other]) for other in list(LAYERS)[: list(LAYERS).index(package)])
    return height + LAYERS[package].index(rest.split(".")[0]) if rest else -1


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


def test_a_module_imports_from_its_own_layer_and_those_below_it() -> None:
    assert [] == [
        f"{name} imports {other}"
        for name in MODULES
        for other in ours(imported(name))
        if name in LAYERS or layer(other) > layer(name)
    ]


def test_no_files_import_each_other_in_a_circle() -> None:
    """Nor for their types: whoever reads one of them would have to read all."""
    open_files: list[str] = []
    closed: set[str] = set()

    def visit(name: str) -> None:
        assert name not in open_files, [*open_files[open_files.index(name) :], name]
        if name not in closed:
            open_files.append(name)
            for other in sorted(ours(imported(name))):
                visit(other)
            closed.add(open_files.pop())

    for name in MODULES:
        visit(name)


def test_what_begins_with_an_underscore_is_used_in_its_own_file_alone() -> None:
    assert {} == {name: found for name in MODULES if (found := private_elsewhere(name))}


def private_elsewhere(name: str) -> list[str]:
    """Return what ``name`` uses of other files that is theirs alone."""
    nodes = list(ast.walk(tree_of(name)))
    modules, private = set(), []
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            modules |= {alias.asname or alias.name for alias in node.names}
            if node.level or (node.module or "").split(".")[0] in LAYERS:
                private += [alias.name for alias in node.names if is_private(alias.name)]
    for node in nodes:
        is_attribute = isinstance(node, ast.Attribute) and is_private(node.attr)
        if is_attribute and ast.unparse(node.value) in modules:
            private.append(ast.unparse(node))
    return private


def test_each_class_has_a_name_of_its_own() -> None:
    """Two files that speak of a Policy speak of the same one."""
    places: dict[str, list[str]] = {}
    for name in MODULES:
        for node in tree_of(name).body:
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(name)
    assert {} == {name: found for name, found in places.items() if len(found) > 1}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def test_click_is_for_the_layers_that_commands_are_made_of() -> None:
    below = ("errors", "output", "host", "libraries", "exporting", "importing")
    below += ("policy", "access", "enable", "doctor")
    with_click = [name for name in MODULES if "click" in packages_of(name)]
    assert with_click
    assert [] == [name for name in with_click if name.split(".")[1] in below]


def test_nothing_of_the_command_is_imported() -> None:
    assert {} == {name: bad for name in OF_A_LOGIN if (bad := FORBIDDEN & packages_of(name))}


@each("name", [name for name in MODULES if name.startswith("pam_totp.core.")])
def test_the_core_imports_nothing_that_acts(name: str) -> None:
    """No clock, no randomness, no files: what otp, recovery and verifier need comes in."""
    allowed = {"__future__", "collections", "pam_totp", "nacl", "typing", "hashlib", "_operator"}
    allowed |= {"_sha1", "_sha2", "_sha256", "_sha512", "datetime", "unicodedata", "_socket"}
    assert set() == packages_of(name) - allowed
    # Of sockets, what reads and writes addresses, and is given by name.
    tree = tree_of(name)
    imports = [ast.unparse(node) for node in tree.body if "_socket" in ast.unparse(node)]
    expected = ["from _socket import AF_INET, AF_INET6, inet_ntop, inet_pton"]
    assert imports in ([], expected)
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert set() == {"today", "now", "utcnow", "fromtimestamp"} & used


def closure(name: str) -> set[str]:
    """Return ``name`` and all that may be loaded with it, with the packages around them."""
    reached, todo = set(), {name}
    while todo:
        module = todo.pop()
        reached.add(module)
        around, _, _ = module.rpartition(".")
        todo |= (ours(imported(module, by_types=False)) | {around or module}) - reached
    return reached


# All at once, and then some each alone, in a fork of an interpreter that has loaded as little.
EACH_ALONE = thorough.some(OF_A_LOGIN, 8)
IMPORT_EACH = f"""
import os
sys.path.insert(0, {str(ROOT)!r})
for names in {[OF_A_LOGIN, *([name] for name in EACH_ALONE)]!r}:
    child = os.fork()
    if not child:
        for name in names:
            __import__(name)
        print(*sorted(sys.modules), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_a_fresh_interpreter_loads_no_more_for_a_module_than_what_it_imports(
    preamble: str,
) -> None:
    """By day, some are loaded alone: what any of them imports, the other tests read in its file."""
    loaded_for_all, *loaded = [
        set(line.split()) for line in run(preamble + IMPORT_EACH).splitlines()
    ]
    assert set(OF_A_LOGIN) <= loaded_for_all
    assert set() == FORBIDDEN & loaded_for_all
    wrong = {
        name: more
        for name, modules in zip(EACH_ALONE, loaded, strict=True)
        if (more := ours(modules) - closure(name)) or name not in modules
    }
    assert {} == wrong


def test_the_command_may_be_absent(preamble: str) -> None:
    """A login works where only the package is installed."""
    script = (
        f"{preamble}sys.path.insert(0, {str(ROOT)!r})\n"
        f"for name in {sorted(FORBIDDEN)!r}: sys.modules[name] = None\n"
        "import pam_totp.login.flow; print('ok')"
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
from pam_totp.system import audit
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
