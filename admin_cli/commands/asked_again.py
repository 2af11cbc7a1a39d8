"""Whichever command ends an exemption, sshd no longer lets that account in by a key alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..host import key_only
from ..session import Session


@contextmanager
def by_sshd(session: Session, names: Sequence[str]) -> Iterator[list[str]]:
    """Take ``names`` out of those before what is done inside; yield who was among them.

    It is done in any case. Raises CommandFailed, after it, where sshd could not be told.
    """
    if not names or not os.path.lexists(key_only.FILE):
        yield []
        return
    from ..enable import by_key  # with what few commands need

    with by_key.ended_first(session, names) as gone:
        yield gone
