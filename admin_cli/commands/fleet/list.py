"""list: the hosts of the fleet."""

from __future__ import annotations

import click

from ... import output
from ...session import Session, pass_session
from ..arguments import json_option


@click.command("list")
@json_option
@pass_session
def list_hosts(session: Session, as_json: bool) -> None:
    """List the hosts of the fleet."""
    from . import administrator

    with administrator.read(session).administration() as fleet:
        hosts = fleet.hosts()
    if as_json:
        output.result_json(
            [
                {
                    "host": host.name,
                    "groups": list(host.groups),
                    "joined_at": output.iso_time(host.joined_at),
                    "last_seen_at": output.iso_time(host.last_seen_at),
                    "join_until": output.iso_time(host.join_until),
                    "offline_people": host.offline_people,
                    "offline_until": output.iso_time(host.offline_until),
                }
                for host in hosts
            ]
        )
        return
    if not hosts:
        output.message("no host has joined; begin with: totpctl fleet add HOST")
        return
    output.result_table(
        ("HOST", "GROUPS", "JOINED", "LAST SEEN", "OFFLINE KIT"),
        [
            (
                host.name,
                ", ".join(host.groups) or "-",
                output.iso_time(host.joined_at) or "not yet",
                output.iso_time(host.last_seen_at) or "never",
                _kit_in_words(host.offline_people, host.offline_until),
            )
            for host in hosts
        ],
    )


def _kit_in_words(people: int, until: int) -> str:
    return f"{people} until {output.iso_time(until)}" if people else "-"
