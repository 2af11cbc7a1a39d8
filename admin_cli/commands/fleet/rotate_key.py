"""rotate-key: a new data key for every secret."""

from __future__ import annotations

import os

import click

from ... import output
from ...session import Session, pass_session
from ..arguments import yes_option

_KEY_BYTES = 32


@click.command("rotate-key")
@yes_option
@pass_session
def rotate_key(session: Session, yes: bool) -> None:
    """Replace the data key, and reseal every secret of the fleet.

    One transaction, while people log in; no host has to do anything. A copy of a host's key and an
    old dump then open nothing new. Nobody has to enroll again.
    """
    from . import administrator

    with administrator.read(session).administration() as fleet:
        output.confirm("Reseal every secret of the fleet with a new data key?", yes=yes)
        secrets = fleet.rotate_key(os.urandom(_KEY_BYTES))
        hosts = len(fleet.hosts())
    session.log("key_rotated", "", count=secrets)
    output.message(f"{secrets} secrets are sealed with a new data key, wrapped for {hosts} hosts")
    output.message("dumps made before can be opened only with keys that were good then")
