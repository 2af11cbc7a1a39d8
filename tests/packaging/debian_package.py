"""The Debian package as it is built from this tree, and its maintainer scripts in a folder."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

from pam_totp.store.sqlite import schema
from tests.support.place import ROOT

DEBIAN = ROOT / "packaging" / "debian"
BUILD = ROOT / "packaging" / "build_deb.sh"
PAM_FILES = ROOT / "packaging" / "pam_files.sh"
NEXT_STEPS = ROOT / "packaging" / "next-steps"
NAME = "libpam-totp"


def run(*command: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=240, **options)  # type: ignore[call-overload,no-any-return]


def build(output: Path, build_script: Path = BUILD, **options: object) -> Path:
    """Return the package, built without its tests; build_script may be a copy of the tree's."""
    done = run(build_script, output, "--no-tests", **options)
    assert (0, "") == (done.returncode, done.stderr)
    (package,) = output.glob(f"{NAME}_*.deb")
    return package


def paragraphs() -> list[dict[str, str]]:
    """The paragraphs of debian/control, with continuation lines joined."""
    text = re.sub(r"^#.*\n", "", (DEBIAN / "control").read_text(encoding="utf-8"), flags=re.M)
    return [
        {
            field: re.sub(r"\s+", " ", value).strip()
            for field, value in re.findall(r"^(\S+):((?:.*\n)(?:[ \t].*\n)*)", part + "\n", re.M)
        }
        for part in text.strip().split("\n\n")
    ]


def names(relations: str) -> set[str]:
    """The packages of a Depends line, without versions, variables and what is only for tests."""
    found = set()
    for relation in relations.split(","):
        word = re.split(r"[\s:(]", relation.strip())[0]
        if word and not word.startswith("$") and "<!nocheck>" not in relation:
            found.add(word)
    return found


def tracked_files(to: Path) -> None:
    """Copy the files of this tree to the folder ``to``, without what builds and tests leave."""
    if (ROOT / ".git").exists():
        files = subprocess.run(
            ["git", "-c", "safe.directory=*", "ls-files", "-z"], cwd=ROOT, capture_output=True
        ).stdout
        copy = ["xargs", "-0", "cp", "--parents", "--target-directory", to]
        subprocess.run(copy, cwd=ROOT, input=files, check=True)
    else:
        ignored = shutil.ignore_patterns("__pycache__", ".git", ".*_cache", "dist", "build")
        shutil.copytree(ROOT, to, symlinks=True, dirs_exist_ok=True, ignore=ignored)


class Scripts:
    """Runs a maintainer script with every path of the system below a folder."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.programs = folder / "programs"
        for name in ("etc/pam.d", "etc/security", "var/lib/pam_totp", "usr/lib/pam_totp", "run"):
            (self.root / name).mkdir(parents=True)
        self.programs.mkdir()
        self.said = folder / "said"
        for name in ("pam-auth-update", "totpctl"):
            self.program(name, f'echo {name} "$@" >>{self.said}')

    def program(self, name: str, body: str) -> None:
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def calls(self) -> list[str]:
        return self.said.read_text(encoding="utf-8").splitlines() if self.said.exists() else []

    def pam_file(self, name: str, text: str) -> Path:
        path = self.root / "etc/pam.d" / name
        path.write_text(text, encoding="utf-8")
        return path

    def run(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        text = (DEBIAN / f"{NAME}.{script}").read_text(encoding="utf-8")
        text = text.replace("@SCHEMA@", str(len(schema.MIGRATIONS)))
        text = text.replace("#PAM_FILES#", PAM_FILES.read_text(encoding="utf-8"))
        text = text.replace("#NEXT_STEPS#\n", NEXT_STEPS.read_text(encoding="utf-8"))
        text = text.replace("/usr/sbin/totpctl", "totpctl")
        # Also where awk compares the name of a file.
        escaped = str(self.root).replace("/", r"\/")
        text = text.replace(r"/^\/etc\/pam\.d\/", rf"/^{escaped}\/etc\/pam\.d\/")
        text = re.sub(
            r"(?<![\w/])/(etc|var|run|usr/lib|usr/share/debconf)/", rf"{self.root}/\1/", text
        )
        path = self.programs / f"{NAME}.{script}"
        path.write_text(text, encoding="utf-8")
        environment = {**os.environ, "PATH": f"{self.programs}:/usr/sbin:/usr/bin:/sbin:/bin"}
        return run("sh", path, *arguments, env=environment)
