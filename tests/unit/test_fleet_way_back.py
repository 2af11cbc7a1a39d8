"""The page about being locked out has a row for each error of a fleet that somebody may read."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from pam_totp.store.postgresql import failures
from tests.support.each import each
from tests.support.place import ROOT
from tests.unit.pages import read, rows, section

RAISED = {"refused", "unreachable", "CallFailed", "_sent"}  # with the problem at first
# With it at second.
TOLD = {"StoreRefused", "StoreUnavailable", "StoreUnreachable", "StoreBusy", "SchemaTooNew"}
SOURCES = (*(ROOT / "pam_totp/store/postgresql").glob("*.py"), ROOT / "pam_totp/login/fleet.py")
# What libpq and OpenSSL 3 say of a certificate, and the system of a server: nothing of ours.
OF_OTHERS = (
    "SSL error: certificate verify failed",
    "SSL error: sslv3 alert certificate expired",
    "SSL error: ssl/tls alert certificate expired",
    "SSL error: tlsv1 alert unknown ca",
    "Connection refused",
    "No such file or directory",
)


def texts(node: ast.expr) -> Iterator[str]:
    """Yield each text that an argument may be, … in the place of what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        yield "".join(map(str, parts))
    elif isinstance(node, ast.IfExp):
        yield from (*texts(node.body), *texts(node.orelse))
    elif isinstance(node, ast.BoolOp):
        yield from (text for value in node.values for text in texts(value))


def of_source(text: str) -> Iterator[str]:
    """Yield the problems that the errors of a module tell, also those that have a name first."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "problem":
            yield from texts(node.value)
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        name = node.func.id if isinstance(node.func, ast.Name) else name
        place = 0 if name in RAISED - {"CallFailed"} else 1 if name in TOLD | {"CallFailed"} else 9
        for argument in node.args[place : place + 1]:
            yield from texts(argument)


def problems() -> set[str]:
    found = {problem for path in SOURCES for problem in of_source(path.read_text("utf-8"))}
    return found | {*failures._WORDS.values(), *failures._FIXES, *OF_OTHERS, "it refuses"}


def patterns() -> list[str]:
    """Return what the rows quote, each as a pattern."""
    table = rows(section(read("docs/howto/locked-out.md"), "## A fleet"))
    quoted = [text for row in table for text in re.findall(r'"([^"`]+)"', row[0])]
    return [".*".join(map(re.escape, text.split("…"))) for text in quoted]


@each("problem", sorted(problems()))
def test_each_error_of_a_fleet_has_a_row_with_the_way_back(problem: str) -> None:
    assert any(re.search(pattern, problem) for pattern in patterns())


def test_no_row_shows_what_nobody_says() -> None:
    known = "\n".join([*problems(), "the server fails with SQLSTATE …"])
    assert [pattern for pattern in patterns() if not re.search(pattern, known)] == []


def test_errors_that_a_condition_chooses_are_found_too() -> None:
    source = """
problem = f"four {y}"
raise failures.unreachable(x or "one" if it else f"two {x}") from StoreRefused("a", "three")
"""
    assert {"one", "two …", "three", "four …"} == {*of_source(source)}
