"""The Debian package: what is in it, its lists in step, and two builds of it the same."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

import pam_totp
from pam_totp.store.sqlite import schema
from tests.packaging.debian_package import (
    DEBIAN,
    NAME,
    PAM_FILES,
    build,
    names,
    paragraphs,
    run,
    tracked_files,
)
from tests.support.catalogs import LANGUAGES
from tests.support.package import built
from tests.support.place import ROOT

# What an administrator looks for in the folder that bears the package's name.
LINKS = ("README.md", "CHANGELOG.md", "SECURITY.md", "docs", "examples")
# What the package has beyond "make install": debhelper's, and what only Debian knows.
DEBIANS_OWN = {
    f"/usr/share/doc/{NAME}/changelog.gz",
    f"/usr/share/doc/{NAME}/copyright",
    f"/usr/share/doc/{NAME}/README.Debian",
    *(f"/usr/share/doc/{NAME}/{link}" for link in LINKS),
    f"/usr/share/lintian/overrides/{NAME}",
    "/usr/share/pam-configs/totp",
    f"/usr/share/python3/runtime.d/{NAME}.rtupdate",
}
INSTALLED_FROM_C = "/usr/lib/x86_64-linux-gnu/security/pam_totp.so"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("deb") / f"{NAME}_{pam_totp.__version__}_amd64.deb"
    path.write_bytes(built())
    return path


@pytest.fixture(scope="module")
def content(package: Path) -> dict[str, tuple[str, str]]:
    """Mode and owner of each file and link of the package, by its path."""
    listing = run("dpkg-deb", "--contents", package, check=True).stdout
    found = {}
    for line in listing.splitlines():
        mode, owner, _, _, _, path = line.split(None, 5)
        if not mode.startswith("d"):
            found[path.split(" -> ")[0].removeprefix(".")] = (mode, owner)
    return found


@pytest.fixture(scope="module")
def control(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the package's scripts and lists."""
    folder = tmp_path_factory.mktemp("control")
    run("dpkg-deb", "--control", package, folder, check=True)
    return folder


def shell_list(file: str, name: str) -> set[str]:
    found = re.search(rf'^{name}="(.*?)"', (ROOT / file).read_text(encoding="utf-8"), re.M | re.S)
    assert found
    return set(found[1].split())


def test_version_is_the_same_everywhere() -> None:
    parsed = run("dpkg-parsechangelog", "-l", DEBIAN / "changelog", "-S", "Version", check=True)
    assert (f"{pam_totp.__version__}\n", "") == (parsed.stdout, parsed.stderr)


def test_package_depends_on_what_install_sh_installs() -> None:
    wanted = shell_list("install.sh", "PACKAGES")
    assert wanted == {n for n in names(paragraphs()[1]["Pre-Depends"]) if n != "libpam-runtime"}


def test_package_that_could_not_be_configured_is_not_unpacked() -> None:
    """dpkg would remove it without prerm, which refuses while a login asks for codes."""
    assert set() == names(paragraphs()[1]["Depends"])


def test_package_is_built_with_what_install_sh_installs_for_that() -> None:
    wanted = names(paragraphs()[0]["Build-Depends"])
    wanted = wanted - {"debhelper-compat", "dh-sequence-python3", "python3"}
    wanted |= {"debhelper", "dh-python", "gcc", "libc6-dev", "make"}
    assert wanted == shell_list("install.sh", "BUILDING")


def test_template_of_translations_is_in_step(tmp_path: Path) -> None:
    shutil.copytree(DEBIAN, tmp_path / "debian")
    run("debconf-updatepo", "--podir=debian/po", cwd=tmp_path, check=True)
    texts = [
        re.sub(r'"(POT-Creation-Date|Report-Msgid-Bugs-To):.*\n', "", path.read_text("utf-8"))
        for path in (folder / "po/templates.pot" for folder in (DEBIAN, tmp_path / "debian"))
    ]
    assert texts[0] == texts[1]


def test_package_holds_what_make_install_places(
    content: dict[str, tuple[str, str]], tmp_path: Path
) -> None:
    module = tmp_path / "pam_totp.so"
    module.touch()
    place = ["make", "-s", "install", f"MODULE={module}", f"DESTDIR={tmp_path}/root"]
    module_folder = f"PAMDIR={os.path.dirname(INSTALLED_FROM_C)}"
    run(*place, module_folder, "BYTECODE=no", cwd=ROOT, check=True)
    placed = set()
    for path in (tmp_path / "root").rglob("*"):
        if path.is_symlink() or not path.is_dir():
            name = f"/{path.relative_to(tmp_path / 'root')}"
            placed.add(f"{name}.gz" if name.startswith("/usr/share/man/") else name)
    assert sorted(placed | DEBIANS_OWN) == sorted(content)
    catalogs = {f"/usr/share/locale/{name}/LC_MESSAGES/pam_totp.mo" for name in LANGUAGES}
    assert {content[catalog] for catalog in catalogs} == {("-rw-r--r--", "root/root")}


def test_folder_of_the_package_leads_to_the_pages(package: Path, tmp_path: Path) -> None:
    run("dpkg-deb", "--extract", package, tmp_path, check=True)
    folder = tmp_path / "usr/share/doc" / NAME
    for link in LINKS:
        assert (folder / link).resolve() == tmp_path / "usr/share/doc/pam_totp" / link
        assert (folder / link).exists()
    named = re.findall(
        rf"/usr/share/doc/{NAME}/(\S+)", (folder / "README.Debian").read_text("utf-8")
    )
    assert 4 == len(named)
    assert [] == [path for path in named if not (folder / path).exists()]


def test_everything_is_roots_and_nobody_elses_to_write(
    content: dict[str, tuple[str, str]],
) -> None:
    wrong = {
        path: (mode, owner)
        for path, (mode, owner) in content.items()
        if owner != "root/root" or mode not in ("-rw-r--r--", "-rwxr-xr-x", "lrwxrwxrwx")
    }
    assert {} == wrong


def test_bytecode_is_left_to_the_machine(content: dict[str, tuple[str, str]]) -> None:
    assert [] == [path for path in content if "__pycache__" in path or path.endswith(".pyc")]
    assert f"/usr/share/python3/runtime.d/{NAME}.rtupdate" in content


def test_what_people_edit_is_kept(content: dict[str, tuple[str, str]], control: Path) -> None:
    conffiles = (control / "conffiles").read_text(encoding="utf-8").split()
    assert "/etc/security/pam_totp.conf" in conffiles
    assert sorted(path for path in content if path.startswith("/etc/")) == sorted(conffiles)


def test_socket_is_enabled_and_stays_over_an_upgrade(control: Path) -> None:
    """Debian 12's debhelper looks for units in /lib alone, and would say nothing of it."""
    scripts = {
        name: (control / name).read_text(encoding="utf-8")
        for name in ("preinst", "postinst", "prerm", "postrm")
    }
    assert "deb-systemd-helper enable 'pam_totp.socket'" in scripts["postinst"]
    assert "deb-systemd-invoke start 'pam_totp.socket'" in scripts["postinst"]
    assert "deb-systemd-invoke try-restart 'pam_totp.service'" in scripts["postinst"]
    assert "deb-systemd-helper enable 'pam_totp.service'" not in scripts["postinst"]
    assert "deb-systemd-helper enable 'pam_totp-doctor.timer'" in scripts["postinst"]
    assert "deb-systemd-invoke stop" not in scripts["preinst"]
    assert "deb-systemd-helper enable 'pam_totp-worker.socket'" not in scripts["postinst"]
    stopping = re.findall(
        r'\[ "\$1" = remove \].*\n\s*deb-systemd-invoke stop (.*)', scripts["prerm"]
    )
    for unit in ("pam_totp.socket", "pam_totp-worker.socket", "pam_totp-doctor.timer"):
        assert f"'{unit}'" in " ".join(stopping)


@pytest.mark.parametrize("name", ["prerm", "postrm"])
def test_search_for_the_module_in_pam_files_is_written_into_it(control: Path, name: str) -> None:
    script = (control / name).read_text(encoding="utf-8")
    assert 1 == script.count(PAM_FILES.read_text(encoding="utf-8"))
    assert "#PAM_FILES#" not in script


def test_next_steps_are_written_into_it(control: Path) -> None:
    script = (control / "postinst").read_text(encoding="utf-8")
    assert 1 == script.count((ROOT / "packaging/next-steps").read_text(encoding="utf-8"))
    assert "#NEXT_STEPS#" not in script


def test_schema_that_it_reads_is_written_into_it(control: Path) -> None:
    known = re.search(r"^KNOWN=(\S+)", (control / "preinst").read_text(encoding="utf-8"), re.M)
    assert known
    assert str(len(schema.MIGRATIONS)) == known[1]


@pytest.mark.parametrize("worktree", [True, False], ids=lambda is_one: f"worktree={is_one}")
@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.night)])
def test_nothing_that_a_checkout_names_for_git_is_run(
    package: Path, tmp_path: Path, worktree: bool, whole: bool
) -> None:
    """Root builds it; whoever owns it wrote its .git/config, which is tracked nowhere.

    By day that is asked of what build_deb.sh does with git; the rest is done in a copy without it.
    """
    tree = tmp_path / "tree"
    tree.mkdir()
    tracked_files(tree)
    marker, program = tmp_path / "was-run", tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch '{marker}'\n")
    program.chmod(0o755)
    git = ["git", "-C", tree, "-c", "user.name=x", "-c", "user.email=x@localhost"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", "--all", "--force"], check=True)
    subprocess.run([*git, "commit", "--quiet", "-m", "x"], check=True)
    if worktree:
        subprocess.run([*git, "worktree", "add", "--quiet", tmp_path / "other"], check=True)
    for name in (
        "core.fsmonitor",
        "core.sshCommand",
        "core.pager",
        "core.editor",
        "alias.ls-files",
    ):
        subprocess.run([*git, "config", name, program], check=True)
    for name in ("clean", "smudge", "process"):
        subprocess.run([*git, "config", f"filter.x.{name}", program], check=True)
    (tree / ".git" / "info" / "attributes").write_text("* filter=x\n")
    subprocess.run([*git, "config", "core.hooksPath", tmp_path], check=True)
    built_in = tmp_path / "other" if worktree else tree
    if whole:
        again = build(tmp_path / "out", built_in / "packaging" / "build_deb.sh")
        assert package.read_bytes() == again.read_bytes()
    else:
        script = ". packaging/tracked_files.sh; tracked_files"
        names = run("sh", "-euc", script, cwd=built_in, check=True).stdout.split("\0")
        assert "packaging/tracked_files.sh" in names
        assert sorted(names) == sorted({*files_in(tree), ""})
    assert not marker.exists()


def files_in(tree: Path) -> list[str]:
    return [
        str(path.relative_to(tree))
        for path in tree.rglob("*")
        if (path.is_symlink() or not path.is_dir()) and tree / ".git" not in path.parents
    ]


def index_of(listed: list[bytes], blob: bytes) -> bytes:
    """Make an index by hand, as git would not: gitformat-index(5), version 2."""
    entries = b""
    for name in sorted(listed):
        entry = struct.pack(">10I", *[0] * 6, 0o100644, 0, 0, 1) + blob
        entry += struct.pack(">H", len(name)) + name
        entries += entry + b"\0" * (8 - len(entry) % 8)
    content = struct.pack(">4sII", b"DIRC", 2, len(listed)) + entries
    return content + hashlib.sha1(content, usedforsecurity=False).digest()


@pytest.mark.parametrize(
    "name", ["", "/etc/hostname", "../outside", "a/../../outside", "link/file"]
)
def test_index_made_by_hand_leads_nobody_out_of_the_checkout(tmp_path: Path, name: str) -> None:
    """Root's tar would take what it names into the package."""
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tmp_path / "outside").write_text("of root's\n")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("of root's\n")
    (tree / "link").symlink_to(tmp_path / "elsewhere")
    (tree / "a" / "b" / "..file").write_text("x\n")
    git = ["git", "-C", tree]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", "a"], check=True)
    written = subprocess.run(
        [*git, "hash-object", "-w", "a/b/..file"], capture_output=True, check=True
    )
    blob = bytes.fromhex(written.stdout.decode("ascii"))
    listed = [b"a/b/..file", *([name.encode()] if name else [])]
    (tree / ".git" / "index").write_bytes(index_of(listed, blob))
    script = f". '{ROOT}/packaging/tracked_files.sh'; tracked_files"
    done = subprocess.run(["sh", "-euc", script], cwd=tree, capture_output=True)
    if not name:
        assert (0, b"a/b/..file\0") == (done.returncode, done.stdout)
        return
    assert (True, b"") == (done.returncode != 0, done.stdout)
    assert (name if name[0] != "l" else "link").encode() in done.stderr


def test_scripts_that_root_runs_start_git_in_one_place_only() -> None:
    for script in (ROOT / "install.sh", *(ROOT / "packaging").rglob("*.sh")):
        if script.name in ("tracked_files.sh", "release.sh"):  # the latter is the maintainer's
            continue
        text = script.read_text(encoding="utf-8")
        assert [] == re.findall(r"^\s*(?:\w+=\S+ )*git [^;]*$", text, flags=re.M), script


@pytest.mark.night
def test_two_builds_are_the_same_byte_by_byte(package: Path, tmp_path: Path) -> None:
    """Elsewhere, without git, later, in another time zone, language, home and umask."""
    tree = tmp_path / "another tree"
    tree.mkdir()
    tracked_files(tree)
    for path in tree.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
        path.chmod(path.stat().st_mode & 0o700)
    other = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "USER": "somebody",
        "TMPDIR": str(tmp_path),
        "TZ": "Pacific/Kiritimati",
        "LC_ALL": "C",
        "CFLAGS": "-O0",
    }
    again = build(tmp_path / "out", tree / "packaging" / "build_deb.sh", env=other, umask=0o077)
    assert package.name == again.name
    assert package.read_bytes() == again.read_bytes()
