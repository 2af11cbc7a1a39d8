"""Which PAM files keep the Debian package from being removed; no root."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.packaging.debian_package import Scripts


@pytest.fixture
def scripts(tmp_path: Path) -> Scripts:
    return Scripts(tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        "auth required pam_totp.so\n",
        "auth required pam_python.so /usr/lib/pam_totp/hook.py\n",
        "@include pam_totp-lines\n",
    ],
)
def test_removal_is_refused_while_a_pam_file_names_the_module(scripts: Scripts, line: str) -> None:
    path = scripts.pam_file("su", "auth required pam_unix.so\n" + line)
    done = scripts.run("prerm", "remove")
    assert 1 == done.returncode
    assert f"error: still in use by: {path}" in done.stderr
    assert f"hint: take the lines with pam_totp out of {path}: " in done.stderr
    assert "totpctl disable" not in done.stderr  # which takes out what enable wrote, and no more
    assert [] == scripts.calls()


def test_each_file_is_named_with_what_takes_the_lines_out_of_it(scripts: Scripts) -> None:
    block = "# BEGIN pam_totp (written by totpctl enable)\nauth required pam_totp.so\n"
    for name in ("sshd", "sudo"):
        scripts.pam_file(name, f"{block}# END pam_totp\n")
    by_hand = scripts.pam_file("su", "auth required pam_totp.so\n")
    elsewhere = scripts.pam_file("../../elsewhere", block).resolve()
    scripts.pam_file("login", f"@include {elsewhere}\n")
    profile = scripts.pam_file(
        "common-auth",
        '# here are the per-package modules (the "Primary" block)\n'
        "auth required pam_totp.so window=0\n",
    )
    done = scripts.run("prerm", "remove")
    _, first, *others = done.stderr.splitlines()
    assert "hint: run: totpctl disable sshd sudo" == first
    update = "run: pam-auth-update --disable totp; if"
    assert {
        f"hint: {update} {profile} names it still, take that line out",
        f"hint: take the lines with pam_totp out of {by_hand}: every login there would be denied",
        f"hint: take the lines with pam_totp out of {elsewhere}: every login there would be denied",
    } == {*others}


def test_pam_file_elsewhere_is_read_where_a_link_or_a_line_leads_there(scripts: Scripts) -> None:
    elsewhere = scripts.pam_file("../../elsewhere", "auth required pam_totp.so\n")
    between = scripts.pam_file("../../between", f"auth include {elsewhere}\n@include {elsewhere}\n")
    for words in (
        f"@include {elsewhere}",
        f"auth  substack\t{elsewhere}",
        f"-auth INCLUDE [{elsewhere}]",
        f"auth [include] \\\n  {elsewhere}",
        "auth include ../../elsewhere",
        f"@include {between}",
    ):
        service = scripts.pam_file("su", f"@include /nowhere\n{words} # x\n")
        done = scripts.run("prerm", "remove")
        assert (1, True) == (done.returncode, "elsewhere" in done.stderr), words
        service.unlink()
    service.symlink_to(elsewhere)
    assert 1 == scripts.run("prerm", "remove").returncode


def test_comments_and_hidden_copies_do_not_count(scripts: Scripts) -> None:
    scripts.pam_file("su", "# auth required pam_totp.so\nauth required pam_unix.so # pam_totp\n")
    for name in (".pam_totp-before.su", "su.dpkg-old", "su.ucf-dist", "su~"):
        scripts.pam_file(name, "auth required pam_totp.so\n")
    done = scripts.run("prerm", "remove")
    assert (0, "") == (done.returncode, done.stderr)
