"""The role that prepares the database: how commands name it, and how it logs in."""

from __future__ import annotations

import getpass
import sys

import click

from pam_totp.system.fleet_file import Identity

as_option = click.option(
    "--as",
    "role",
    default="postgres",
    show_default=True,
    metavar="ROLE",
    help="Database role to connect as; its password is asked for.",
)
socket_option = click.option(
    "--socket",
    type=click.Path(),
    help="Connect through the Unix socket in this folder, as the account named like the role.",
)


def identity(role: str, socket: str, ca: str) -> Identity:
    """Return who prepares the database. Its password is asked for; a Unix socket needs none."""
    if socket:
        return Identity(user=role, ca=ca)
    if sys.stdin.isatty():
        password = getpass.getpass(f"Password of the database role {role}: ", sys.stderr)
    else:
        password = sys.stdin.readline().rstrip("\n")
    return Identity(user=role, password=password, ca=ca)
