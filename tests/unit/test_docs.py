"""Blocks, links, paths and numbers of the pages are those of the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from pam_totp.login import flow
from pam_totp.store.sqlite.reading import DECOY_BUCKETS
from pam_totp.store.sqlite.schema import MIGRATIONS
from pam_totp.system import config
from tests.support.each import each
from tests.support.place import ROOT
from tests.unit.pages import (
    DOCS,
    PAGES,
    first_column,
    read,
    section,
)

PACKAGED = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("pam.d", "sshd_config.d")
    for path in (ROOT / "packaging" / folder).iterdir()
)

PACKAGES = sorted(
    path.parent
    for package in ("pam_totp", "admin_cli")
    for path in (ROOT / package).rglob("__init__.py")
)

NATIVE, PAM_PYTHON, HOOK = "pam_totp.so", "pam_python.so", "/usr/lib/pam_totp/hook.py"


def shown_files(page: Path) -> dict[str, str]:
    """Return the packaged files that ``page`` links to in front of a block, with the block."""
    text = page.read_text(encoding="utf-8")
    pattern = r"\]\((?:\.\./)*(packaging/[^)]+)\)\):\n\n```\w+\n(.*?)```\n"
    return dict(re.findall(pattern, text, flags=re.S))


def test_blocks_are_equal_to_the_packaged_files() -> None:
    for page in PAGES:
        for path, block in shown_files(page).items():
            assert block == read(path), f"{page.name}: {path}"


def test_every_packaged_example_is_shown_on_the_page_for_doing_it_by_hand() -> None:
    assert sorted(shown_files(DOCS / "howto" / "by-hand.md")) == PACKAGED


def test_every_pam_line_on_a_page_is_one_that_works() -> None:
    packaged = {line for path in PACKAGED for line in read(path).splitlines()}
    for page in (*PAGES, *sorted((DOCS / "man").iterdir())):
        text = page.read_text(encoding="utf-8")
        shown = re.findall(r"^ *(auth .*pam_(?:totp|python)\.so.*)$", text, flags=re.M)
        inserted = re.findall(r"/a (auth [^']*)'", text)
        for line in (*shown, *inserted):
            native = line.replace(f"{PAM_PYTHON} {HOOK}", NATIVE)
            plain, _, arguments = native.partition(f"{NATIVE} ")
            if native not in packaged:
                assert plain + NATIVE in packaged if arguments else False, line
                assert config.parse_arguments(arguments.split()).problems == (), line


def test_only_its_own_pages_use_pam_python() -> None:
    """Elsewhere the module of choice is shown, so that nobody takes the other one by accident."""
    for page in (*PAGES, *sorted((DOCS / "man").iterdir())):
        lines = re.findall(rf"auth .*{PAM_PYTHON} {HOOK}", page.read_text(encoding="utf-8"))
        assert not lines or page.name in ("by-hand.md", "how-a-login-works.md", "pam_totp.8"), (
            page.name
        )
    assert not any(PAM_PYTHON in read(path) for path in PACKAGED)


def test_every_page_that_a_program_or_a_comment_names_is_there() -> None:
    """A hint that leads to no page is worse than none."""
    suffixes = {".py", ".c", ".h", ".sh", ".conf", ".Debian", ".8", ".5", ".elsewhere"}
    folders = ("admin_cli", "pam_totp", "packaging", "docs/man", "tests")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    named = {
        page
        for path in [*files, ROOT / "install.sh"]
        if path.suffix in suffixes
        for page in re.findall(r"\bdocs/[\w/-]+\.md", path.read_text(encoding="utf-8"))
    }
    assert 15 < len(named)
    assert {page for page in named if not (ROOT / page).exists()} == set()


def test_every_folder_of_tests_is_described() -> None:
    described = set(first_column(section(read("CONTRIBUTING.md"), "## Tests")))
    folders = {f"tests/{path.parent.name}" for path in (ROOT / "tests").glob("*/*.py")}
    assert folders - {"tests/support"} == described - {"tests/vectors"}


@each("folder", PACKAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_package_describes_its_files(folder: Path) -> None:
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
    assert text is not None
    listed = set(re.findall(r"\b\w+\.py\b|(?m:^ *)\w+/(?= )", text))
    files = {path.name for path in folder.glob("*.py")} - {"__init__.py", "__main__.py"}
    folders = {f"{path.parent.name}/" for path in folder.glob("*/*.[ch]")}
    folders |= {f"{path.parent.name}/" for path in folder.glob("*/__init__.py")}
    assert files | folders == {name.strip() for name in listed}


def test_numbers_of_the_code_are_those_of_the_reference() -> None:
    store_format = read("docs/internals/store-format.md")
    assert f"| `bucket` | 0 to {DECOY_BUCKETS - 1} |" in store_format
    assert f"one of {DECOY_BUCKETS} rows" in store_format
    assert f"knows {len(MIGRATIONS)}." in store_format
    assert flow._PROBLEMS_LOGGED == 5
    for page in ("docs/reference/configuration.md", "docs/man/pam_totp.8"):
        assert "five such problems at most" in read(page), page


def test_paths_of_the_code_are_those_of_the_reference() -> None:
    files = section(read("docs/reference/installation.md"), "## Files")
    defaults = config.Config()
    for path in (config.DEFAULT_PATH, defaults.store, defaults.sealing_key):
        assert f"`{path}`" in files
