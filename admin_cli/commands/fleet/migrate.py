"""migrate: the schema of this release."""

from __future__ import annotations

import click

from ... import output
from ...errors import CommandFailed
from ...session import Session, pass_session
from . import superuser
from .superuser import as_option, socket_option


@click.command()
@as_option
@socket_option
@pass_session
def migrate(session: Session, role: str, socket: str | None) -> None:
    """Bring the fleet's database to the schema of this release.

    Applies what is missing in one transaction. Logins wait for it. Update the hosts afterwards.
    """
    from pam_totp.store.postgresql import migrations

    from . import administrator

    reached = administrator.read(session)
    with superuser.connected(reached.url, role, socket or "", reached.identity.ca) as opened:
        before = migrations.version(opened)
        if not before:
            raise CommandFailed(
                f"there is no fleet in {reached.url}", f"run: totpctl fleet init {reached.url}"
            )
        migrations.prepare(opened)
        migrations.migrate(opened)
        after = migrations.version(opened)
    if before == after:
        output.message(f"the schema is of this release already: {after}")
        return
    session.log("fleet_migrated", "", detail=f"schema {after}")
    output.message(f"the schema is now {after}; it was {before}")
