"""totpctl init while somebody without rights holds whatever they can lock."""

from __future__ import annotations

import fcntl
import os

from tests.cli.command import Totpctl, is_in_order
from tests.support.place import Place


def test_who_can_read_the_folders_cannot_keep_it_waiting(totpctl: Totpctl, bare: Place) -> None:
    bare.store_path.parent.mkdir(mode=0o755)
    folders = [bare.key_path.parent, bare.store_path.parent]
    descriptors = [os.open(folder, os.O_RDONLY | os.O_DIRECTORY) for folder in folders]
    try:
        for descriptor in descriptors:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        totpctl.done("init")
        totpctl.done("init")  # the second finds both
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    assert is_in_order(bare)
    assert [] == [path for folder in folders for path in folder.glob("*.lock")]
