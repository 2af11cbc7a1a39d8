"""The man pages are sound, of this version, and name every file that is installed."""

from __future__ import annotations

import os
import re
import subprocess
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from pam_totp import __version__
from tests.support.place import ROOT
from tests.unit.pages import first_column, man_section, read, section

PAGES = sorted((ROOT / "docs" / "man").iterdir())
NAMES = [path.name for path in PAGES]
# What mandoc says, and why it stays.
_EXCUSED = re.compile(
    r"unexpected section: Sh RETURN VALUES for 2, 3, 9 only|"  # all PAM modules have it, in 8
    r"operating system explicitly specified: Os pam_totp \(NetBSD\)|"  # the footer of others' pages
    r"referenced manual not found: Xr |"  # installed or not: see the test of references
    r"outdated mandoc\.db lacks "
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The files that ``make install`` makes, and that Debian's package adds to them."""
    folder = tmp_path_factory.mktemp("installed")
    where = [f"DESTDIR={folder}/root", f"BUILD={folder}/build", "PAMDIR=/usr/lib/TRIPLET/security"]
    subprocess.run(["make", "-s", "install", "BYTECODE=no", *where], cwd=ROOT, check=True)
    files = [path for path in (folder / "root").rglob("*") if not path.is_dir()]
    by_debian = re.findall(r"install .*\$\(ROOT\)(/\S+)$", read("packaging/debian/rules"), re.M)
    names = {f"/{path.relative_to(folder / 'root')}" for path in files} | set(by_debian)
    return {name.replace("TRIPLET", "<triplet>") for name in names}


def in_man_pages() -> set[str]:
    sections = [man_section(name, "FILES") for name in NAMES]
    return set(re.findall(r"^\.It Pa (\S+)$", "".join(sections), flags=re.M))


def without_those_in(folders: set[str], files: set[str]) -> set[str]:
    """Return ``files`` but for those in a folder that is named as a whole."""
    whole = tuple(name for name in folders if name.endswith("/"))
    return {file for file in files if not file.startswith(whole)}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_mandoc_finds_nothing(page: Path) -> None:
    done = subprocess.run(
        ["mandoc", "-T", "lint", page], capture_output=True, encoding="utf-8", check=False
    )
    said = [line for line in (done.stdout + done.stderr).splitlines() if line]
    assert [] == [line for line in said if not _EXCUSED.search(line)]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_man_has_nothing_to_warn_of(page: Path) -> None:
    done = subprocess.run(
        ["man", "--warnings", "--local-file", "-Tutf8", page],
        env=os.environ | {"LC_ALL": "C.UTF-8"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert "" == done.stderr
    assert f"pam_totp {__version__}" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_pages_have_the_version_and_no_older_date_than_the_release(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"^\.Os (.*)$", text, flags=re.M) == [f"pam_totp {__version__}"]
    (date,) = re.findall(r"^\.Dd (.*)$", text, flags=re.M)
    released = re.findall(r"^ -- .*>  (.*)$", read("packaging/debian/changelog"), flags=re.M)[0]
    released_on = parsedate_to_datetime(released).date()
    assert released_on <= datetime.strptime(f"{date} +0000", "%B %d, %Y %z").date()


def test_references_to_pages_of_ours_lead_to_one() -> None:
    for page in PAGES:
        for name, number in re.findall(r"^\.Xr (\S+) (\d)", page.read_text("utf-8"), flags=re.M):
            if name.startswith(("pam_totp", "totpctl")):
                assert f"{name}.{number}" in NAMES, page.name


def test_sections_of_a_page_of_a_pam_module_are_there() -> None:
    for heading in ("OPTIONS", "MODULE TYPES PROVIDED", "RETURN VALUES", "FILES", "EXAMPLES"):
        assert man_section("pam_totp.8", heading), heading


def test_reference_names_every_installed_file_and_no_other(installed: set[str]) -> None:
    named = set(first_column(section(read("docs/reference/installation.md"), "## Files")))
    assert set() == without_those_in(named, installed) - named
    packaged = {n for n in named if n.startswith("/usr/") and not n.endswith("/")}
    assert set() == packaged - installed


def test_man_pages_name_every_installed_file_and_no_other(installed: set[str]) -> None:
    named = in_man_pages()
    folders = named | {"/usr/share/man/", "/usr/share/doc/pam_totp/", "/usr/lib/pam_totp/pam_totp/"}
    folders |= {"/usr/lib/pam_totp/admin_cli/"}
    assert set() == without_those_in(folders, installed) - named
    packaged = {n for n in named if n.startswith("/usr/") and not n.endswith("/")}
    assert set() == packaged - installed


def test_man_pages_name_no_file_that_the_reference_does_not() -> None:
    named = set(first_column(section(read("docs/reference/installation.md"), "## Files")))
    assert set() == without_those_in(named, in_man_pages()) - named
