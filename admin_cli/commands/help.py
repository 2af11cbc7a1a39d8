"""totpctl help: the same as --help after a command, for people who type the word first."""

from __future__ import annotations

import click

from ..completion import candidates


@click.command(name="help")
@click.argument("command", nargs=-1, shell_complete=candidates.commands)
@click.pass_context
def show_help(context: click.Context, command: tuple[str, ...]) -> None:
    """Show the help of totpctl, or of COMMAND."""
    root = context.find_root()
    root.command.main([*command, "--help"], root.info_name, standalone_mode=False)
