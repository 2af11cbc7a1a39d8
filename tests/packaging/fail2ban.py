"""The real fail2ban-regex, without fail2ban: its package starts a daemon where it is installed.

Debian's package is fetched and unpacked into the folder PAM_TOTP_BASES, or a temporary one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.booted_base import kept
from tests.support.place import ROOT

FILTER = ROOT / "packaging" / "fail2ban" / "pam_totp.conf"
# Entries of the journal turned into lines, by the code of fail2ban that does so, on one that a
# program of systemd's would have read.
_AS_JOURNAL = """
import json, sys, types
systemd, journal = types.ModuleType("systemd"), types.ModuleType("systemd.journal")
systemd.journal = journal
journal.Reader = type("Reader", (), {"__version__": "234"})
journal.__version__ = "234"
sys.modules |= {"systemd": systemd, "systemd.journal": journal}
from fail2ban.server.filtersystemd import FilterSystemd
class Filter(FilterSystemd):
    jailName = "pam_totp"
    def __init__(self): pass
    def getLogEncoding(self): return "UTF-8"
    def getJrnEntTime(self, entry): return ("2026-11-23T01:00:00.000000", 0)
for entry in json.load(sys.stdin):
    (before, date, rest), _ = Filter().formatJournalEntry(entry)
    print(before + date + rest)
"""


def unpacked(scratch: Path) -> Path:
    """Return the root of Debian's fail2ban, unpacked."""
    folder = Path(os.environ.get("PAM_TOTP_BASES") or scratch)
    with kept(folder, f"fail2ban-{sys.version_info.major}.{sys.version_info.minor}") as tree:
        if not tree.is_dir():
            unfinished = Path(tempfile.mkdtemp(prefix="fail2ban.new.", dir=folder))
            try:
                for command in ("apt-get -q download fail2ban", "dpkg -x fail2ban_*.deb tree"):
                    subprocess.run(
                        ["sh", "-c", command], cwd=unfinished, check=True, stdout=subprocess.DEVNULL
                    )
                (unfinished / "tree").rename(tree)
            finally:
                shutil.rmtree(unfinished)
    return tree


class Fail2ban:
    """fail2ban's programs, and in ``folder`` its configuration with our filter in it."""

    def __init__(self, tree: Path, folder: Path) -> None:
        self._tree = tree
        self._folder = folder
        self.configuration = folder / "fail2ban"
        shutil.copytree(tree / "etc/fail2ban", self.configuration)
        shutil.copy(FILTER, self.configuration / "filter.d")

    def addresses(self, lines: list[str], name: str = "pam_totp") -> list[str]:
        """Return whom the filter ``name`` finds in a log of ``lines``, one for each that counts."""
        log = self._folder / "log"
        log.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        program = self._tree / "usr/bin/fail2ban-regex"
        options = ["-c", str(self.configuration), "-o", "ip"]
        done = self.run(str(program), *options, str(log), name)
        return done.splitlines()

    def as_journal(self, entries: str) -> list[str]:
        """Return what the systemd backend makes of ``entries``, a JSON list."""
        return self.run("-c", _AS_JOURNAL, given=entries).splitlines()

    def in_force(self) -> str:
        """Return what fail2ban would tell its daemon; fails where it would not start."""
        program = self._tree / "usr/bin/fail2ban-client"
        return self.run(str(program), "-c", str(self.configuration), "-d")

    def run(self, *words: str, given: str = "") -> str:
        done = subprocess.run(
            ["/usr/bin/python3", "-B", *words],
            input=given,
            capture_output=True,
            env={
                "PYTHONPATH": str(self._tree / "usr/lib/python3/dist-packages"),
                "PATH": "/usr/bin:/bin",
                "LC_ALL": "C.UTF-8",
            },
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        assert 0 == done.returncode, done.stdout + done.stderr
        return done.stdout
