"""New recovery codes, to be handed out by an administrator: a file a person, for root alone."""

from __future__ import annotations

import os

from ...host.secret_folder import SecretFolder
from ..enrollment import issuing


class CodeFolder:
    """A folder of root's; it is made when the first file is."""

    def __init__(self, path: str) -> None:
        self.names: list[str] = []
        self._folder = SecretFolder(path, "--recovery-codes")

    @property
    def path(self) -> str:
        return self._folder.path

    def check(self) -> None:
        """Raise CommandFailed where others could read or change what lies there."""
        self._folder.check()

    def issue(self, name: str) -> tuple[bytes, frozenset[bytes]]:
        """Write new codes of ``name``, durably, and return their salt and digests."""
        new = issuing.new_recovery_codes()
        self._folder.make()
        lines = [
            f"Recovery codes of {name} on {os.uname().nodename},",
            "each good for one login without the phone:",
            "",
            *new.codes,
            "",
            "Keep them away from the phone.",
            "",
        ]
        self._folder.write({f"{name}.txt": "\n".join(lines).encode("utf-8")})
        self.names.append(name)
        return new.salt, new.digests
