"""A release in a clone: what it makes, and that it is the same for everybody.

One is built in earnest; in the others a script stands in for the build.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tarfile
from pathlib import Path

import pytest

import pam_totp
from tests.packaging.releasing import NEXT, TAG, WARNING, Clone, checked
from tests.support.place import ROOT


def test_every_file_of_this_tree_has_its_version_but_for_the_changelog() -> None:
    found = checked(ROOT, pam_totp.__version__)
    assert [] == [line for line in found if not line.startswith("CHANGELOG.md: ")]


def test_no_file_but_the_histories_keeps_the_version_before(bumped: Clone) -> None:
    version = re.escape(pam_totp.__version__)
    whole = rf"(^|[^0-9.]){version}($|[^0-9.]|[.]($|[^0-9]))"  # and no part of an address
    found = bumped.git("grep", "--name-only", "--extended-regexp", whole)
    histories = {"packaging/debian/changelog", "packaging/rpm/pam_totp.spec", "CHANGELOG.md"}
    assert set(found.splitlines()) <= histories


def test_unreleased_entries_become_those_of_the_release(bumped: Clone) -> None:
    before, after = (bumped.git("show", f"{commit}:CHANGELOG.md") for commit in ("HEAD~", "HEAD"))
    assert re.search(rf"^## \[Unreleased\]\n\n## \[{NEXT}\] - \d{{4}}-\d\d-\d\d$", after, re.M)
    entries = [line for line in before.splitlines() if line.startswith(("- ", "### "))]
    assert entries
    assert entries == [line for line in after.splitlines() if line.startswith(("- ", "### "))]


@pytest.mark.night
def test_the_release_of_this_tree_is_built_twice_and_tagged(bumped: Clone, tmp_path: Path) -> None:
    clone = Clone(tmp_path)
    shutil.copytree(bumped.tree, clone.tree, symlinks=True, dirs_exist_ok=True)
    done = clone.release("--skip-tests", NEXT)
    assert done.returncode == 0, done.stderr
    assert [WARNING] * 2 == [line[: len(WARNING)] for line in done.stderr.splitlines()]
    assert f"  git push origin HEAD {TAG}" in done.stdout.splitlines()
    assert f"tag: {TAG} (not signed: git has no user.signingkey)" in done.stdout.splitlines()
    assert "tag" == clone.git("cat-file", "-t", TAG)
    assert clone.git("rev-parse", "HEAD") == clone.git("rev-parse", f"{TAG}^{{commit}}")
    folder = clone.tree / "dist" / NEXT
    sums = dict(line.split("  ")[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    assert sums == {name: digest for name, digest in files.items() if name != "SHA256SUMS"}
    assert {f"libpam-totp_{NEXT}_amd64.deb", f"pam_totp-{NEXT}.tar.gz"} <= set(sums)
    assert "" == clone.git("status", "--porcelain")


def test_source_archive_is_the_same_whatever_the_settings_of_git_are(
    clone: Clone, tmp_path: Path
) -> None:
    other = Clone(tmp_path / "of somebody else")
    other.run("git", "clone", "--quiet", clone.tree, other.tree)
    for setting, value in (("tar.umask", "0077"), ("core.autocrlf", "input")):
        other.git("config", setting, value)
    archives = []
    for each in (clone, other):
        assert each.release("--skip-tests", NEXT).returncode == 0
        archives.append(each.tree / "dist" / NEXT / f"pam_totp-{NEXT}.tar.gz")
    assert archives[0].read_bytes() == archives[1].read_bytes()
    with tarfile.open(archives[0]) as archive:
        modes = {name: archive.getmember(name).mode for name in archive.getnames()}
    tracked = clone.git("ls-files").splitlines()
    assert {f"pam_totp-{NEXT}/{name}" for name in tracked} <= set(modes)
    assert {0o644, 0o755} == set(modes.values())


def test_lint_and_all_tests_run_before_anything_is_built(clone: Clone) -> None:
    done = clone.release(NEXT)
    assert (0, "") == (done.returncode, done.stderr)
    assert ["./tests/run lint", "./tests/run"] == (
        clone.tree.parent / "ran"
    ).read_text().splitlines()


def test_the_same_version_again_gets_the_day_of_its_release(clone: Clone) -> None:
    """As the first release does, which had its version all the time."""
    clone.edit("CHANGELOG.md", f"## [{NEXT}] - ", "## gone ")
    clone.edit(
        "CHANGELOG.md", "## [Unreleased]\n", "## [Unreleased]\n\nTo become this.\n\n- New.\n"
    )
    clone.edit("packaging/debian/changelog", "\n\n -- ", "\n  * More.\n\n -- ")
    text = (clone.tree / "packaging/debian/changelog").read_text("utf-8")
    clone.edit("packaging/debian/changelog", re.findall(r">  (.*)", text)[0], "yesterday")
    clone.commit("Not released yet")
    assert clone.release("--bump", NEXT).returncode == 0
    assert [] == checked(clone.tree, NEXT)
    bumped = (clone.tree / "packaging/debian/changelog").read_text("utf-8")
    assert "yesterday" not in bumped
    assert 1 == bumped.count(f"({NEXT})")


def test_with_a_key_the_tag_is_signed(clone: Clone, tmp_path: Path) -> None:
    key = tmp_path / "key"
    clone.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
    allowed = tmp_path / "allowed"
    allowed.write_text(f"nobody@localhost {key.with_suffix('.pub').read_text()}", encoding="utf-8")
    for setting, value in (
        ("gpg.format", "ssh"),
        ("user.signingkey", key),
        ("gpg.ssh.allowedSignersFile", allowed),
    ):
        clone.git("config", setting, str(value))
    done = clone.release("--skip-tests", NEXT)
    assert f"tag: {TAG} (signed)" in done.stdout.splitlines(), done.stderr
    assert "Good" in clone.run("git", "verify-tag", TAG).stderr


def test_make_release_is_the_same_command(clone: Clone) -> None:
    done = clone.run("make", "-s", "release")
    assert "error: which version?" in done.stderr
    assert clone.run("make", "-s", "release", f"VERSION={NEXT}").returncode == 0
    assert TAG == clone.git("tag")
