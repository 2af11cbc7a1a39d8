"""What the page for who is locked out has somebody type at night does what it says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from admin_cli.host import pam_blocks, pam_file, sshd
from pam_totp.stack import pam_stack, pam_ways
from tests.support.each import each
from tests.unit.pages import read, section

PARTS = {
    "common-account": "account required pam_unix.so\n",
    "common-auth": (
        "auth\t[success=1 default=ignore]\tpam_unix.so nullok\n"
        "auth\trequisite\tpam_deny.so\n"
        "auth\trequired\tpam_permit.so\n"
    ),
    "password-auth": (
        "auth        required      pam_env.so\n"
        "auth        sufficient    pam_unix.so nullok\n"
        "auth        required      pam_deny.so\n"
    ),
}
FILES = {
    "sudo": "#%PAM-1.0\n@include common-auth\n@include common-account\n",
    "su": "auth sufficient pam_rootok.so\nauth required pam_unix.so\n@include common-account\n",
    "vsftpd": "auth       substack     password-auth\naccount    include      password-auth\n",
}


def enabled(service: str, keys: str | None) -> tuple[str, str]:
    """Return a PAM file as it was, and as enable leaves it."""
    before = FILES.get(service, FILES["sudo"])
    files = {**PARTS, **FILES, service: before}
    return before, pam_file.enabled(service, before, keys=keys, read=files.get)


def take_out(pam_folder: Path, drop_in: Path) -> None:
    """Run the page's lines on other files than this machine's, and leave its sshd alone."""
    page = section(read("docs/howto/locked-out.md"), "### When totpctl does not work")
    (script,) = (b for b in re.findall(r"```sh\n(.*?)```", page, flags=re.S) if "BEGIN" in b)
    script = script.replace("/etc/pam.d", str(pam_folder)).replace(sshd.DROP_IN, str(drop_in))
    script, sshd_line = script.rstrip("\n").rsplit("\n", 1)
    assert sshd_line == "sshd -t && systemctl try-reload-or-restart ssh"
    assert "/etc/" not in script
    subprocess.run(["/bin/sh", "-euc", script], check=True)


@pytest.mark.parametrize(
    ("service", "keys"),
    [("sudo", None), ("su", None), ("vsftpd", None), *(("sshd", keys) for keys in pam_blocks.KEYS)],
)
def test_lines_of_the_page_take_out_what_enable_put_in(
    tmp_path: Path, service: str, keys: str | None
) -> None:
    before, after = enabled(service, keys)
    assert pam_file.is_managed(after)
    (tmp_path / service).write_text(f"# edited since\n{after}session optional pam_motd.so\n")
    (tmp_path / "login").write_text(FILES["sudo"])
    drop_in = tmp_path / "00-pam_totp.conf"
    drop_in.write_text(sshd.drop_in("code"))

    take_out(tmp_path, drop_in)

    left = (tmp_path / service).read_text()
    assert f"# edited since\n{before}session optional pam_motd.so\n" == left
    assert (tmp_path / "login").read_text() == FILES["sudo"]
    assert not drop_in.exists()


@each("word", ["pam_totp", "pam_totp.so"])
@each(
    ("service", "keys"),
    [("sudo", None), ("vsftpd", None), *(("sshd", keys) for keys in pam_blocks.KEYS)],
)
def test_whoever_deletes_our_lines_in_a_hurry_leaves_no_open_door(
    service: str, keys: str | None, word: str
) -> None:
    """As ``sed /pam_totp/d`` does: nobody gets in without the password then, nor with a key."""
    _, after = enabled(service, keys)
    left = "".join(line for line in after.splitlines(keepends=True) if word not in line)
    files = {**PARTS, service: left}
    _, granted = pam_ways.walk(pam_stack.auth_stack(service, files.get))
    assert [] == [facts for facts in granted if not facts.passed and not facts.key]


def test_page_names_the_marks_of_the_code() -> None:
    page = section(read("docs/howto/locked-out.md"), "### When totpctl does not work")
    for mark in (pam_blocks.BEGIN[:16], pam_blocks.END, pam_blocks.REPLACED):
        assert f"`{mark}`" in page
    assert f"without these {['', 'eleven'][len(pam_blocks.REPLACED) == 11]} characters" in page
    assert sshd.DROP_IN in page
