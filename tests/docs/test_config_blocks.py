"""What a page has somebody put into a file is understood by whom the file is for."""

from __future__ import annotations

import configparser
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from admin_cli.main import totpctl
from pam_totp.stack import pam_stack
from pam_totp.system import config
from tests.docs.blocks import Block, all_blocks
from tests.unit import logfmt
from tests.unit.pages import read, rows
from tests.unit.pam_files import distribution

INCLUDE = "@include common-auth\n"
TIMES = r"(?:[\d*/,-]+ ){5}"


def every(kind: str) -> pytest.MarkDecorator:
    """Of what is not run, too: this needs none of the programs that a block is for."""
    blocks = [block for block in all_blocks() if block.kind == kind]
    return pytest.mark.parametrize("block", blocks, ids=str)


@every("pam_totp.conf")
def test_lines_of_the_configuration_are_understood(block: Block) -> None:
    assert config.parse(block.text.encode()).problems == ()


@every("pam")
def test_pam_lines_let_nobody_in_without_the_code(block: Block) -> None:
    """In the place of the password step, if that is what the page says; else after it."""
    lines = block.text.replace("pam_python.so /usr/lib/pam_totp/hook.py", "pam_totp.so")
    alone = "code in place of the password" in " ".join(block.above.split())
    if not alone and INCLUDE not in lines and "first_factor=key" not in lines:
        lines = INCLUDE + lines
    service = "sshd" if "first_factor=key" in lines else "sudo"
    text = f"{lines}account required pam_permit.so\n"
    stack = pam_stack.auth_stack(service, distribution("debian-13", **{service: text}))
    judged = pam_stack.judge(stack, alternatives=alternatives_of(block.page))
    assert judged.asks
    assert () == judged.bypasses + judged.after_wrong_password
    if not alone:
        assert () == judged.before_password + judged.without_password
        assert judged.can_succeed
        assert judged.lets_exempt_in


def alternatives_of(page: str) -> frozenset[str]:
    """Return the modules that the page calls a second factor."""
    blocks = [b for b in all_blocks() if b.page == page and b.kind == "pam_totp.conf"]
    return frozenset(
        name for b in blocks for name in config.parse(b.text.encode()).config.alternative
    )


@every("ssh_config")
def test_client_takes_its_settings(block: Block, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(block.text)
    host, *settings = (line.split(maxsplit=1) for line in block.text.splitlines())
    command = ["ssh", "-G", "-F", tmp_path / "config", host[1]]
    holds = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for keyword, _ in settings:
        assert re.search(rf"^{keyword.lower()} (?!no$|none$)", holds, flags=re.M), keyword


@every("cron")
def test_line_for_cron_runs_a_command_that_is_there(block: Block) -> None:
    line = re.fullmatch(rf"{TIMES}root /usr/sbin/totpctl (.+)\n", block.text)
    assert line is not None
    name, *options = shlex.split(line[1])
    assert {o for p in totpctl.commands[name].params for o in p.opts} >= set(options)


@every("log")
def test_line_of_the_log_is_one_that_is_written(block: Block) -> None:
    known = {row[0].strip("`") for row in rows(read("docs/reference/audit-events.md"))}
    for line in block.text.splitlines():
        named = logfmt.read(line[line.index("pam_totp(") :].replace("…", "..."))
        assert named["event"] in known
        assert set(named) - {"peer_uid", "peer_pid"} <= known | {"peer_uid", "peer_pid"}


@every("ini")
def test_sections_and_their_values_can_be_read(block: Block) -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(block.text)
    assert parser.sections()
