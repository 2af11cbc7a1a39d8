"""A checkout to make releases in, with packaging/release.sh."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

NEXT = "98.7.6"
TAG = f"v{NEXT}"
WARNING = "warning: lint and tests were skipped, as --skip-tests asks"
BUILD = 'mkdir -p "$1"; echo the same >"$1/libpam-totp_{version}_amd64.deb"'


class Clone:
    """A checkout with one commit, and nothing of the settings that git has on this machine."""

    def __init__(self, folder: Path) -> None:
        self.tree = folder / "clone"
        self.tree.mkdir(parents=True)
        self.programs = folder / "programs"
        self.programs.mkdir()
        settings = folder / "gitconfig"
        settings.write_text("[user]\n\tname = Nobody\n\temail = nobody@localhost\n", "utf-8")
        self.environment = {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "HOME": str(folder),
            "GIT_CONFIG_GLOBAL": str(settings),
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        self.script(self.programs / "sudo", 'exec "$@"')

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.tree,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def git(self, *arguments: str) -> str:
        done = self.run("git", *arguments)
        assert (0, "") == (done.returncode, done.stderr)
        return done.stdout.strip()

    def commit(self, what: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", what)

    def release(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("packaging/release.sh", *arguments)

    def refused(self, *arguments: str) -> str:
        """Return why; nothing is tagged, and nothing of a release is left."""
        tags = self.git("tag")
        done = self.release(*arguments)
        assert done.returncode == 1, done.stdout
        assert tags == self.git("tag")
        assert not (self.tree / "dist" / NEXT).exists()
        return done.stderr

    def script(self, path: Path, body: str) -> None:
        path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        path.chmod(0o755)

    def edit(self, path: str, old: str, new: str) -> None:
        text = (self.tree / path).read_text(encoding="utf-8")
        assert old in text
        (self.tree / path).write_text(text.replace(old, new, 1), encoding="utf-8")


def checked(tree: Path, version: str) -> list[str]:
    """Return the lines about files of another version."""
    command = ("/usr/bin/python3", "-B", tree / "packaging/version.py", "check", version)
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr.splitlines()
