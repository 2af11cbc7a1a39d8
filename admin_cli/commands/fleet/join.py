"""join: its arguments. What it does is loaded when it runs."""

from __future__ import annotations

from typing import BinaryIO

import click

from ...session import Session, pass_session
from ..arguments import yes_option

MAX_CHARACTERS = 64 * 1024


@click.command()
@click.argument("token", type=click.File("rb"))
@yes_option
@pass_session
def join(session: Session, token: BinaryIO, yes: bool) -> None:
    """Let the fleet judge the codes of this machine.

    TOKEN is a file, or - for standard input, with what "totpctl fleet add" printed on an
    administrator's machine. Writes this host's identity and the name of the store into its
    configuration, proves both, and undoes all of it where that fails. The store that this machine
    had stays, and counts first for the people in it.
    """
    from . import join_host

    join_host.join(session, token.read(MAX_CHARACTERS), yes=yes)
