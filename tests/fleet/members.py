"""A host of the fleet as a login finds it: configuration, identity and local store in a folder."""

from __future__ import annotations

from pathlib import Path

from pam_totp.system import fleet_file
from tests.fleet.hosts import identity_of, url_of
from tests.support.place import Place
from tests.support.postgres import Database


class Member:
    """The host ``name``, with ``place`` for what it has of its own; ``identity`` is a path."""

    def __init__(self, place: Place, database: Database, name: str = "a") -> None:
        self.place = place
        self.identity = place.folder / "fleet"
        self._database = database
        said = fleet_file.content(identity_of(database, place.folder, name))
        self.identity.touch(mode=0o600)
        self.identity.write_bytes(said)
        self.configure()

    def configure(self, *ports: int, **settings: object) -> None:
        """Write the configuration; the database is reached by ``ports``, or its own one."""
        self.place.configure(
            store=url_of(self._database, *ports),
            local_store=self.place.store_path,
            fleet_host=self.identity,
            **settings,
        )

    @property
    def config_path(self) -> Path:
        return self.place.config_path
