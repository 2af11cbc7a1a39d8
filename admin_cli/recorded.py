"""Everybody who may log in on this machine, as its stores know them; nothing is changed.

A host of a fleet may ask the database about one name at a time, as a login does: about each
account of the machine, then. Users in its local store are judged there, and are seen from there.
"""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from pam_totp import store
from pam_totp.core.admission import GroupRule
from pam_totp.core.users import UserRecord

from .host import accounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pam_totp.core.verifier import Policy
    from pam_totp.store import Known
    from pam_totp.system.config import Config


class Recorded(NamedTuple):
    """Records without secrets, by name; ``policy`` counts at a login.

    ``local``: those of this machine's own store, which are bound to uids. ``is_whole``: with
    recovery codes, of which hosts are not told, and with users who have no account here.
    """

    records: tuple[UserRecord, ...]
    group_rules: tuple[GroupRule, ...]
    policy: Policy
    local: tuple[UserRecord, ...] = ()
    is_whole: bool = True

    def settings(self, given: Config) -> Config:
        """Return the configuration with what the policy says in its place."""
        return given._replace(window=self.policy.window, max_failures=self.policy.max_failures)


def read(settings: Config) -> Recorded:
    """Return what is known of everybody. Raises Unavailable."""
    if not settings.is_fleet:
        everybody = _read(store.open_on_disk(settings), settings)
        return everybody._replace(local=everybody.records)
    if administers(settings):
        everybody = _read(store.open_for_administrator(settings), settings)
        if os.path.lexists(settings.fleet_host):
            everybody = _without_people_of_other_hosts(everybody, settings)
    else:
        everybody = _as_host(settings)
    if store.is_missing(settings.local_store):
        return everybody
    local = _read(store.open_on_disk(settings), settings)
    by_name = {record.name: record for record in (*everybody.records, *local.records)}
    records = tuple(by_name[name] for name in sorted(by_name))
    return everybody._replace(records=records, local=local.records)


def stores(settings: Config) -> list[Callable[[], store.RecordStore]]:
    """Return what opens each store that can be looked at as a whole from here."""
    found: list[Callable[[], store.RecordStore]] = []
    if not settings.is_fleet or not store.is_missing(settings.local_store):
        found.append(lambda: store.open_on_disk(settings))
    if settings.is_fleet and administers(settings):
        found.append(lambda: store.open_for_administrator(settings))
    return found


def problems(settings: Config) -> list[str]:
    """Return what is wrong with these stores. Raises Unavailable."""
    found: list[str] = []
    for open_one in stores(settings):
        with open_one() as opened:
            found += opened.check()
    return found


def ask_as_host(settings: Config, names: Iterable[str] = ("root",)) -> list[Known]:
    """Return what the database tells this host of ``names``. Raises Unavailable."""
    from pam_totp.login import fleet  # with the client of PostgreSQL
    from pam_totp.store.postgresql.client import Client
    from pam_totp.store.postgresql.host_store import HostStore

    with closing(Client(settings.store, fleet.identity(settings))) as client:
        return [HostStore(client).admission(name) for name in names]


def administers(settings: Config) -> bool:
    """Return whether this is a machine of the fleet's administrators, and not a mere host."""
    return os.path.lexists(settings.fleet_admin)


def _read(opened: store.RecordStore, settings: Config) -> Recorded:
    with opened:
        policy = opened.policy() or settings.policy()
        return Recorded(tuple(opened.records()), opened.group_rules(), policy)


def _without_people_of_other_hosts(everybody: Recorded, settings: Config) -> Recorded:
    """Leave out whoever has an account here, but may log in on other hosts of the fleet alone."""
    names = _accounts()
    known = zip(names, ask_as_host(settings, names), strict=True)
    elsewhere = {name for name, told in known if told.record is None}
    return everybody._replace(
        records=tuple(record for record in everybody.records if record.name not in elsewhere)
    )


def _accounts() -> list[str]:
    """Return the names of root and of all accounts with a shell."""
    people = {n for n, entry in accounts.everybody().items() if accounts.has_shell(entry)}
    return sorted({"root", *people})


def _as_host(settings: Config) -> Recorded:
    known = ask_as_host(settings, _accounts())
    records = tuple(one.record for one in known if one.record is not None)
    policy = known[0].policy or settings.policy()
    return Recorded(records, known[0].rules, policy, is_whole=False)
