"""Which services enable has switched on, so that doctor notices a line that somebody took out.

A package update may write a PAM file anew; the file itself then no longer tells that a code was
asked for. /var/lib/pam_totp/enabled.json: {"sshd": "code", "sudo": null}, what enable was told
about keys, or null.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable

from pam_totp import trusted_files
from pam_totp.errors import PamTotpError

PATH = "/var/lib/pam_totp/enabled.json"
MAX_BYTES = 64 * 1024
KEYS = ("code", "password+code", "skip", None)


class NotOurs(PamTotpError):
    """The file is there, but is not what this module writes."""


def remembered() -> dict[str, str | None]:
    """Return the services with the keys each was enabled with. Raises NotOurs, InsecureFile."""
    try:
        content = trusted_files.read_trusted(PATH, MAX_BYTES)
    except FileNotFoundError:
        return {}
    except PamTotpError as error:
        if not os.path.lexists(os.path.dirname(PATH)):
            return {}
        raise error
    try:
        services = json.loads(content)
        if all(isinstance(name, str) and keys in KEYS for name, keys in services.items()):
            return dict(services)
    except (ValueError, AttributeError, RecursionError):
        pass
    raise NotOurs(
        PATH,
        "is not what totpctl wrote",
        f"run: rm {PATH}; then totpctl enable for each service that is to ask for a code",
    )


def remember(services: Iterable[str], keys: str | None) -> None:
    """Add ``services``, durably; ``keys`` counts for sshd. One not to be believed begins anew."""
    known = _known()
    known.update({service: keys if service == "sshd" else None for service in services})
    _write(known)


def forget(services: Iterable[str]) -> None:
    """Take ``services`` out, durably; those that are not in it are no error."""
    gone = set(services)
    known = _known()
    left = {service: keys for service, keys in known.items() if service not in gone}
    if left != known:
        _write(left)


def _known() -> dict[str, str | None]:
    try:
        return remembered()
    except PamTotpError:
        return {}


def _write(services: dict[str, str | None]) -> None:
    folder, unfinished = os.path.dirname(PATH), f"{PATH}.new"
    os.makedirs(folder, mode=0o700, exist_ok=True)
    trusted_files.check_folder(folder)
    try:
        os.unlink(unfinished)
    except FileNotFoundError:
        pass
    descriptor = os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:
        json.dump(services, file, indent=2, sort_keys=True)
        file.write("\n")
        file.flush()
        os.fsync(descriptor)
    os.rename(unfinished, PATH)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
