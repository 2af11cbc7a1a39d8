"""What no release is made of: each refusal, and that it leaves neither a tag nor files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.packaging.releasing import BUILD, NEXT, TAG, Clone, checked


@pytest.mark.parametrize("what", ["lint", "tests"])
def test_what_lint_or_a_test_finds_ends_it(clone: Clone, what: str) -> None:
    clone.script(clone.tree / "tests/run", f'[ "${{1:-tests}}" != {what} ]')
    clone.commit("Fail")
    expected = {"lint": "lint found something", "tests": "a test failed"}[what]
    assert f"error: {expected}" in clone.refused(NEXT)


def test_files_that_change_while_tests_run_end_it(clone: Clone) -> None:
    clone.script(clone.tree / "tests/run", "echo >>README.md")
    clone.commit("Change")
    assert " M README.md" in clone.refused(NEXT).splitlines()


def test_a_commit_that_comes_while_tests_run_ends_it(clone: Clone) -> None:
    clone.script(clone.tree / "tests/run", "git commit --quiet --allow-empty -m later")
    clone.commit("Commit")
    assert "another commit was checked out meanwhile" in clone.refused(NEXT)


def test_a_change_that_is_not_committed_is_refused(clone: Clone) -> None:
    clone.edit("README.md", "\n", "\n\n")
    for option in ("--skip-tests", "--bump"):
        assert " M README.md" in clone.refused(option, NEXT).splitlines()


def test_a_file_that_git_does_not_know_is_refused(clone: Clone) -> None:
    (clone.tree / "forgotten.py").touch()
    assert "?? forgotten.py" in clone.refused("--skip-tests", NEXT).splitlines()


def test_a_tag_that_is_there_is_refused(clone: Clone) -> None:
    clone.git("tag", TAG)
    for option in ("--skip-tests", "--bump"):
        assert f"error: there is a tag {TAG} already" in clone.refused(option, NEXT)


PLACES = (
    "pam_totp/__init__.py",
    "packaging/debian/changelog",
    "packaging/rpm/pam_totp.spec",
    "docs/man/pam_totp.8",
    "docs/man/pam_totp.conf.5",
    "docs/man/totpctl.8",
    "docs/howto/ansible.md",
    "docs/howto/fedora.md",
    "docs/reference/installation.md",
    "CHANGELOG.md",
)


def test_a_file_of_another_version_is_refused_by_name(clone: Clone) -> None:
    """Each of them, by the program that release.sh asks; one by release.sh itself."""
    for path in PLACES:
        clone.edit(path, NEXT, "1.2.3")
        assert [f"{path}: says 1.2.3, not {NEXT}"] == checked(clone.tree, NEXT)
        clone.edit(path, "1.2.3", NEXT)
    assert [] == checked(clone.tree, NEXT)
    clone.edit(path, NEXT, "1.2.3")
    clone.commit("Forget one")
    assert f"{path}: says 1.2.3, not {NEXT}" in clone.refused("--skip-tests", NEXT).splitlines()


def test_a_history_of_the_rpm_without_the_release_is_refused(clone: Clone) -> None:
    clone.edit("packaging/rpm/pam_totp.spec", f" - {NEXT}-1", " - 1.2.3-1")
    clone.commit("Forget the history")
    assert "spec: says 1.2.3" in clone.refused("--skip-tests", NEXT)


def test_a_setup_cfg_with_a_version_of_its_own_is_refused(clone: Clone) -> None:
    clone.edit("setup.cfg", "attr: pam_totp.__version__", NEXT)
    clone.commit("Say it twice")
    assert "setup.cfg: does not take the version" in clone.refused("--skip-tests", NEXT)


def test_an_entry_that_came_after_the_bump_is_refused(clone: Clone) -> None:
    clone.edit("CHANGELOG.md", "## [Unreleased]\n", "## [Unreleased]\n\n### Fixed\n\n- One more.\n")
    clone.commit("Fix one more")
    assert "CHANGELOG.md: tells under Unreleased" in clone.refused("--skip-tests", NEXT)


def test_what_is_no_version_is_refused(clone: Clone) -> None:
    before = clone.git("rev-parse", "HEAD")
    for version in ("1.2", "v1.2.3", "1.2.3rc1", "1.02.3", "../1.2.3", ""):
        for option in ("--skip-tests", "--bump"):
            assert "version" in clone.refused(option, version), (option, version)
    assert (before, "") == (clone.git("rev-parse", "HEAD"), clone.git("status", "--porcelain"))


def test_a_bump_that_makes_no_sense_changes_nothing(clone: Clone) -> None:
    for version, why in (
        ("1.2.3", "1.2.3: older than"),
        (NEXT, "has a release 98.7.6 already"),
        ("99.0.0", "has nothing under Unreleased"),
    ):
        assert why in clone.refused("--bump", version)
        assert "" == clone.git("status", "--porcelain")


def test_two_builds_that_differ_end_it(clone: Clone) -> None:
    clone.script(
        clone.tree / "packaging/build_deb.sh",
        BUILD.format(version=NEXT).replace("the same", "$PWD $0"),
    )
    clone.commit("Say where it was built")
    assert "two builds are not the same" in clone.refused("--skip-tests", NEXT)


@pytest.mark.parametrize("alone", ["with git", "without git"])
def test_a_package_that_one_build_lacks_ends_it(clone: Clone, alone: str) -> None:
    no_other = {"with git": "! -e", "without git": "-e"}[alone]
    body = (
        BUILD.format(version=NEXT) + f'\n[ {no_other} "${{0%/*}}/../.git" ] || touch "$1/more.deb"'
    )
    clone.script(clone.tree / "packaging/build_deb.sh", body)
    clone.commit(f"Build more {alone}")
    assert "two builds are not the same: more.deb" in clone.refused("--skip-tests", NEXT)


def test_a_build_that_fails_ends_it(clone: Clone) -> None:
    clone.script(clone.tree / "packaging/build_deb.sh", "exit 1")
    clone.commit("Fail to build")
    assert "the package cannot be built" in clone.refused("--skip-tests", NEXT)


def test_a_key_that_cannot_sign_leaves_no_tag(clone: Clone, tmp_path: Path) -> None:
    """git 2.39 makes a tag without a signature then, and says that all is well."""
    clone.git("config", "gpg.format", "ssh")
    clone.git("config", "user.signingkey", str(tmp_path / "none"))
    done = clone.release("--skip-tests", NEXT)
    assert done.returncode == 1
    assert "error: the tag cannot be signed" in done.stderr
    assert "" == clone.git("tag")
