"""The pages know totpctl: its exit codes, and no command that it does not have.

Commands, options and defaults are generated: see test_generated_docs.py.
"""

from __future__ import annotations

import re

from admin_cli import errors
from admin_cli.main import totpctl
from tests.unit.pages import PAGES, man_section, read, rows, section


def test_both_pages_list_every_exit_code() -> None:
    in_code = [
        value for name, value in vars(errors).items() if name.isupper() and type(value) is int
    ]
    expected = [str(code) for code in sorted(in_code)]
    text = section(read("docs/reference/totpctl.md"), "## Exit codes")
    assert [row[0] for row in rows(text)] == expected
    assert (
        re.findall(r"^\.It (\d+)$", man_section("totpctl.8", "EXIT STATUS"), flags=re.M) == expected
    )


def test_commands_on_the_pages_exist() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = "".join(re.findall(r"```sh\n(.*?)```", text, flags=re.S))
        used = re.findall(r"(?:^|sudo |`)totpctl ([a-z][a-z-]*)", blocks + text, flags=re.M)
        assert set(used) <= set(totpctl.commands), page.name
