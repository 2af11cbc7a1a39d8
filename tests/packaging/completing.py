"""A shell with totpctl's completion, on a terminal, and a store of its own behind it.

The command that the shell runs is a function that tells its arguments; the program that the
completion asks is the real one, but for where it finds configuration, accounts and PAM files.
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
import sys
from pathlib import Path
from typing import Any

import pexpect

from tests.support.place import ROOT, Place

COMPLETIONS = ROOT / "packaging" / "completions"
PROGRAM = "/usr/sbin/totpctl"  # as the completions call it
ACCOUNTS = ("alice", "bob", "root")
_TAB, _END_OF_LINE, _WIPE_OUT = "\t", "\r", "\x15"
_FAKE = """#!{python}
import os, pwd, sys
sys.dont_write_bytecode = True
sys.path.insert(0, {root!r})
from pam_totp.stack import pam_stack
from pam_totp.system import audit, config
audit.SYSLOG_SOCKET = {log!r}
config.DEFAULT_PATH = {config!r}
pam_stack.PAM_FOLDERS = ({pam!r},)
os.geteuid = lambda: {euid}
from admin_cli.host import directory
directory.people = lambda: [
    pwd.struct_passwd((name, "x", 4000, 4000, "", "/", "/bin/sh")) for name in {accounts!r}
] + [pwd.struct_passwd(("daemon", "x", 1, 1, "", "/", "/usr/sbin/nologin"))]
from admin_cli.main import totpctl
next(p for p in totpctl.params if p.name == "config_path").default = {config!r}
from admin_cli.__main__ import run
run()
"""
_SET_UP = {
    "bash": """
unset HISTFILE
totpctl() {{ printf '%s\\0' "$@" >{told}; }}
sudo() {{ "$@"; }}
source /usr/share/bash-completion/bash_completion
source {folder}/totpctl.bash
bind 'set bell-style none'
bind 'set enable-bracketed-paste off'
cd {empty}
PS1='ready''> '
""",
    "zsh": """
totpctl() {{ printf '%s\\0' "$@" >{told}; }}
sudo() {{ "$@"; }}
fpath=({folder} $fpath)
autoload -Uz compinit && compinit -u -D
unsetopt beep prompt_cr zle_bracketed_paste 2>/dev/null; unset zle_bracketed_paste
bindkey '^I' complete-word # expand-or-complete, its default, executes what was typed
cd {empty}
PS1='ready''> '
""",
}


class Shelf:
    """The completions in ``folder``, and the program that they ask."""

    def __init__(self, place: Place, folder: Path, *, root: bool = True) -> None:
        self.place = place
        self.folder = folder / "completions"
        self.empty = folder / "empty"
        self.home = folder / "home"
        self.told = folder / "told"
        self.program = folder / "program"
        self.pam = folder / "pam.d"
        for made in (self.folder, self.empty, self.home, self.pam):
            made.mkdir()
        for service in ("sshd", "sudo", "common-auth", "sshd.dpkg-old", "x$(touch x)"):
            (self.pam / service).write_text("auth required pam_unix.so\n", encoding="utf-8")
        self.program.write_text(
            _FAKE.format(
                python=sys.executable,
                root=str(ROOT),
                log=str(folder / "log"),
                config=str(place.config_path),
                pam=str(self.pam),
                euid=0 if root else 4000,
                accounts=ACCOUNTS,
            ),
            encoding="utf-8",
        )
        self.program.chmod(self.program.stat().st_mode | stat.S_IXUSR)
        for path in COMPLETIONS.iterdir():
            text = path.read_text(encoding="utf-8")
            assert 1 == text.count(PROGRAM), path.name
            (self.folder / path.name).write_text(text.replace(PROGRAM, str(self.program)))


class Shell:
    """An interactive shell; see the module's docstring."""

    def __init__(self, name: str, shelf: Shelf) -> None:
        self._shelf = shelf
        program = shutil.which(name)
        assert program, f"there is no {name}"
        options = {"bash": ["--norc", "--noprofile", "-i"], "zsh": ["-f", "-i"]}[name]
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(shelf.home),
            "ZDOTDIR": str(shelf.home),
            "LC_ALL": "C.UTF-8",
            "TERM": "dumb",
        }
        self._child: Any = pexpect.spawn(
            program, options, env=environment, encoding="utf-8", timeout=30, dimensions=(50, 200)
        )
        self._child.delaybeforesend = None
        set_up = shelf.folder.parent / f"set-up.{name}"
        set_up.write_text(
            _SET_UP[name].format(told=shelf.told, folder=shelf.folder, empty=shelf.empty),
            encoding="utf-8",
        )
        self._child.sendline(f". {set_up}")
        self._child.expect_exact("ready> ")

    def complete(self, line: str, then: str = "") -> list[str]:
        """Return the arguments of totpctl after ``line``, Tab, ``then`` and Enter."""
        self._shelf.told.unlink(missing_ok=True)
        self._child.send(line + _TAB + then + _END_OF_LINE)
        self._child.expect_exact("ready> ")
        assert self._shelf.told.exists(), self._child.before
        return self._shelf.told.read_text(encoding="utf-8").split("\0")[:-1]

    def list(self, line: str) -> set[str]:
        """Return the words of what two Tabs list after ``line``, which is then wiped out."""
        self._child.send(line + _TAB + _TAB + _WIPE_OUT + "echo o''ver" + _END_OF_LINE)
        self._child.expect_exact("over\r")
        shown = set(self._child.before.split())
        self._child.expect_exact("ready> ")
        return shown

    def close(self) -> None:
        if self._child.isalive():
            os.kill(self._child.pid, signal.SIGKILL)
        self._child.close()
