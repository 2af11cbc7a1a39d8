"""Which services enable has switched on, so that doctor notices a line that somebody took out.

A package update may rewrite a PAM file; the file itself then no longer tells that a code was
asked for. /var/lib/pam_totp/enabled.json: {"sshd": "code", "sudo": null}, what enable was told
about keys, or null; "one-prompt" for one that takes password and code in one answer.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable

from pam_totp.system import trusted_files
from pam_totp.system.errors import PamTotpError

from ..host import files, pam_blocks

PATH = "/var/lib/pam_totp/enabled.json"
MAX_BYTES = 64 * 1024
SPARE_SIZE = MAX_BYTES // 16


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
        known = (None, *pam_blocks.MODES)
        if all(isinstance(name, str) and mode in known for name, mode in services.items()):
            return dict(services)
    except (ValueError, AttributeError, RecursionError):
        pass
    raise NotOurs(
        PATH,
        "is not what totpctl wrote",
        f"run: rm {PATH}; then run, for each service that should ask for a code: "
        "totpctl enable SERVICE",
    )


def is_away() -> bool:
    """Return whether nothing at all lies where the list is: its disk is not mounted, it seems."""
    try:
        return not os.listdir(os.path.dirname(PATH))
    except OSError:
        return True


def services() -> set[str]:
    """Return the recorded services; none where the file is not trusted."""
    return set(_known())


def remember(services: Iterable[str], keys: str | None, one_prompt: Iterable[str] = ()) -> None:
    """Add ``services``, durably; ``keys`` is for sshd. Replaces a list that is not trusted.

    ``one_prompt``: which of them take password and code in one answer.
    """
    known, both = _known(), set(one_prompt)
    for service in services:
        mode = pam_blocks.ONE_PROMPT if service in both else None
        known[service] = keys if service == "sshd" else mode
    files.write_own(PATH, known)


def keep_spare() -> None:
    """Keep room for what remember and forget write, where the folder is there. Raises OSError."""
    if os.path.isdir(os.path.dirname(PATH)):
        for which in (0, 1):
            files.keep_spare(PATH, SPARE_SIZE, which)


def replenish_spare() -> None:
    """Keep room for forget, after remember may have used one of the spares."""
    first, second = files.spares(PATH)
    if os.path.lexists(second) and not os.path.lexists(first):
        os.rename(second, first)
    else:
        files.remove(second)


def remove_spares() -> None:
    files.remove_spare(PATH)


def forget(services: Iterable[str]) -> None:
    """Take ``services`` out, durably; those that are not in it are no error."""
    gone = set(services)
    known = _known()
    left = {service: keys for service, keys in known.items() if service not in gone}
    if left != known:
        files.write_own(PATH, left)


def _known() -> dict[str, str | None]:
    try:
        return remembered()
    except PamTotpError:
        return {}
