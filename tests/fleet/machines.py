"""Machines of a fleet for tests of its commands: each is a place of its own."""

from __future__ import annotations

import re
from pathlib import Path

from tests.cli.command import Result, Totpctl
from tests.support.place import Place
from tests.support.postgres import Cluster

DATABASE = "fleet_of_these_tests"
ROLES = ("totp_administrator", "totp_login", "totp_host", "totp_admin", "totp_helpdesk",
         "totp_auditor", "totp_owner")  # fmt: skip


_places: dict[Path, Place] = {}


class FleetMachine:
    """One machine: its configuration, identities and local store, and a totpctl that uses them."""

    def __init__(self, folder: Path, log_path: Path) -> None:
        """``folder`` may hold one that an earlier test has made."""
        self.host_path = folder / "pam_totp.fleet"
        self.admin_path = folder / "pam_totp.fleet-admin"
        if folder.exists():
            self.place = _places[folder]
        else:
            folder.mkdir()
            self.place = _places[folder] = Place(folder, in_use=True)
            self.place.configure(fleet_host=self.host_path, fleet_admin=self.admin_path)
        self.totpctl = Totpctl(self.place, log_path)

    def fleet(self, *words: str, answers: str = "") -> Result:
        return self.totpctl("fleet", *words, answers=answers)

    def done(self, *words: str, answers: str = "") -> Result:
        """Run a command of fleet that must succeed."""
        return self.totpctl.done("fleet", *words, answers=answers)

    def found(self, cluster: Cluster, url: str) -> Result:
        """Make the fleet of ``url``; this machine is its administrator's."""
        return self.done("init", url, "--socket", str(cluster.folder), "--ca", str(cluster.ca))

    def token(self, host: str, *options: str) -> str:
        """Let ``host`` join; return the token."""
        line = self.done("add", host, *options).out
        found = re.fullmatch(r"printf %s '([\w=-]+)' \| totpctl fleet join -\n", line)
        assert found is not None, line
        return found[1]

    def settings(self) -> str:
        return self.place.config_path.read_text("utf-8")


def url_of(cluster: Cluster, database: str) -> str:
    return f"postgresql://localhost:{cluster.port}/{database}"


def drop(cluster: Cluster, database: str) -> None:
    """Take a database away, and the roles that init has made."""
    with cluster.connect() as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
        for role in ROLES:
            connection.execute(f"DROP ROLE IF EXISTS {role}")
