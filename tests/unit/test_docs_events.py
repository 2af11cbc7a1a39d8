"""The pages have every audit event, field and PAM code of the code, and no other."""

from __future__ import annotations

import ast
import functools
import re

from pam_totp.core import verifier
from pam_totp.login import flow
from pam_totp.system import audit
from tests.support.place import ROOT
from tests.unit.pages import (
    PAGES,
    codes,
    first_column,
    man_items,
    man_section,
    read,
    rows,
    section,
)


@functools.cache
def calls() -> list[tuple[str, ast.Call]]:
    """Return every call that may write an event, with the folder of its file."""
    found = []
    for folder in ("pam_totp", "admin_cli"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                name = getattr(getattr(node, "func", None), "attr", "")
                if isinstance(node, ast.Call) and name in ("record", "log", "_log"):
                    found.append((folder, node))
    return found


@functools.cache
def emitted_events() -> dict[str, str]:
    """Return each event and its level: literal ones, and the outcomes that a login reports."""
    events = {
        node.args[0].value
        for _, node in calls()
        if node.args and isinstance(node.args[0], ast.Constant)
    }
    events |= set(flow._PAM_CODES) - {verifier.PASSWORD}  # reported as malformed
    names = {audit.ERROR: "error", audit.WARNING: "warning", audit.NOTICE: "notice"}
    names |= {audit.INFO: "info", audit.DEBUG: "debug"}
    return {event: names[audit._LEVELS.get(event, audit.INFO)] for event in sorted(events)}


@functools.cache
def emitted_fields() -> set[str]:
    fields = {keyword.arg for _, node in calls() for keyword in node.keywords if keyword.arg}
    for node in ast.walk(ast.parse(read("pam_totp/service/worker.py"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "log_error":
            fields |= {keyword.arg for keyword in node.keywords if keyword.arg}
    report = ast.parse(read("pam_totp/login/flow.py"))
    for node in ast.walk(report):
        if isinstance(node, ast.Subscript) and getattr(node.value, "id", "") == "fields":
            fields.add(ast.literal_eval(node.slice))
        if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "fields":
            fields |= {ast.literal_eval(key) for key in getattr(node.value, "keys", [])}
    return fields | (set(audit.Source._fields) - {"module"}) | {"event"}


def test_every_level_belongs_to_an_event_that_is_emitted() -> None:
    assert set(audit._LEVELS) - set(emitted_events()) == set()


def test_reference_lists_every_event_with_its_level() -> None:
    text = read("docs/reference/audit-events.md")
    table = rows(section(text, "## Events of a login")) + rows(
        section(text, "## Events of totpctl")
    )
    assert {codes(row[0])[0]: row[1] for row in table} == emitted_events()


def test_reference_lists_every_field() -> None:
    text = read("docs/reference/audit-events.md")
    assert set(first_column(section(text, "## Fields"))) == emitted_fields()
    for heading in ("## Events of a login", "## Events of totpctl"):
        for row in rows(section(text, heading)):
            named = set(codes(re.sub(r"\([^)]*\)", "", row[3])))
            assert named <= emitted_fields(), row[0]


def test_events_of_totpctl_stand_in_its_man_page() -> None:
    from_totpctl = {
        node.args[0].value
        for folder, node in calls()
        if folder == "admin_cli" and isinstance(node.args[0], ast.Constant)
    }
    of_totpctl = man_section("totpctl.8", "DIAGNOSTICS").split(":\n.Cm", 1)[1]
    assert set(re.findall(r"^\.Cm (\w+)", ".Cm" + of_totpctl, flags=re.M)) == from_totpctl
    diagnostics = man_section("pam_totp.8", "DIAGNOSTICS")
    of_a_login, others = diagnostics.split(".Xr totpctl 8\n")
    assert set(re.findall(r"^\.Cm (\w+)", others, flags=re.M)) == from_totpctl
    events = set(emitted_events()) - from_totpctl
    assert set(man_items(of_a_login, "Cm")) == events


def test_every_event_that_a_page_shows_exists() -> None:
    for page in PAGES:
        shown = re.findall(r"\bevent=(\w+)", page.read_text(encoding="utf-8"))
        assert set(shown) <= set(emitted_events()), page.name


PAM_CODES = {
    name: value
    for name, value in vars(flow).items()
    if name.startswith("PAM_") and value in flow.CODES and name != "PAM_SILENT"
}


def test_reference_lists_every_pam_code_with_its_number() -> None:
    table = rows(section(read("docs/reference/audit-events.md"), "## PAM codes"))
    assert {codes(row[0])[0]: int(row[1]) for row in table} == PAM_CODES
    assert set(PAM_CODES.values()) == flow.CODES


def test_man_page_lists_every_pam_code() -> None:
    items = man_items(man_section("pam_totp.8", "RETURN VALUES"), "Dv")
    assert sorted(items) == sorted(PAM_CODES)
