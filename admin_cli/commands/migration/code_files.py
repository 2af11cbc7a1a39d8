"""New recovery codes, to be handed out by an administrator: a file a person, for root alone."""

from __future__ import annotations

import os
import stat

from pam_totp.system import issuing

from ...errors import CommandFailed
from ...host import files


class CodeFolder:
    """A folder of root's; it is made when the first file is."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.names: list[str] = []

    def check(self) -> None:
        """Raise CommandFailed where others could read or change what lies there."""
        try:
            status = os.lstat(self.path)
        except FileNotFoundError:
            if not os.path.isdir(os.path.dirname(os.path.abspath(self.path))):
                raise CommandFailed(
                    f"there is no folder for {self.path}", "name another: --recovery-codes"
                ) from None
            return
        is_roots = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
        if not is_roots or stat.S_IMODE(status.st_mode) & 0o077:
            raise CommandFailed(
                f"{self.path} is not a folder for root alone", "name another: --recovery-codes"
            )

    def issue(self, name: str) -> tuple[bytes, frozenset[bytes]]:
        """Write new codes of ``name``, durably, and return their salt and digests."""
        codes = issuing.new_recovery_codes()
        os.makedirs(self.path, 0o700, exist_ok=True)
        self.check()  # somebody may have been faster
        lines = [
            f"Recovery codes of {name} on {os.uname().nodename},",
            "each good for one login without the phone:",
            "",
            *codes,
            "",
            "Keep them away from the phone.",
            "",
        ]
        path = os.path.join(os.path.abspath(self.path), f"{name}.txt")
        files.write_for_root(path, "\n".join(lines).encode("utf-8"))
        self.names.append(name)
        return issuing.salt_and_digests(codes)
