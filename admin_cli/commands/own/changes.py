"""The commands that change one's own enrollment."""

from __future__ import annotations

import click

from pam_totp.core import enrollment, own_changes


def _label(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str:
    if value is None:
        return ""
    if not enrollment.is_label(value):
        raise click.BadParameter(f"1 to {enrollment.MOST_LABEL} printable characters")
    return value.strip()


_label_argument = click.argument("label", callback=_label)


def _change(kind: str, label: str = "") -> None:
    from . import talking

    talking.ask(kind, label)


@click.command("new-phone")
@click.argument("label", required=False, callback=_label)
def new_phone(label: str) -> None:
    """Give your authenticator a new secret: the old one is void.

    LABEL says which one, if you have several. Nothing is saved until the new phone shows its
    codes. Your recovery codes stay as they are.
    """
    _change(own_changes.NEW_PHONE, label)


@click.command("recovery-codes")
def recovery_codes() -> None:
    """Get new recovery codes; the old ones are void."""
    _change(own_changes.RECOVERY_CODES)


@click.command()
@_label_argument
def add(label: str) -> None:
    """Add a second device, with LABEL as its name."""
    _change(own_changes.ADD, label)


@click.command()
@_label_argument
def remove(label: str) -> None:
    """Remove the authenticator LABEL, unless it is the only one."""
    _change(own_changes.REMOVE, label)
