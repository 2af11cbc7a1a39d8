"""What a transaction of several users takes, in every store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.users import authenticator_changes

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ..core.users import UserRecord


def check_rename(
    old: str, new: str, names: Collection[str], known: Mapping[str, UserRecord], *, may: bool
) -> None:
    """Raise ValueError unless ``known`` has ``old`` alone of these ``names``.

    ``may``: with secrets, which are sealed for the name of their user.
    """
    if not {old, new} <= set(names) or old not in known or new in known:
        raise ValueError("a user is renamed whom the store knows, to a name that it does not")
    if not may:
        raise ValueError("a user cannot be renamed without the secrets")


def check(
    record: UserRecord,
    names: Collection[str],
    known: Mapping[str, UserRecord],
    *,
    may_change: bool,
) -> None:
    """Raise ValueError unless ``record`` is of one of ``names``, and adds authenticators at most.

    ``known``: what the store holds of ``names``; ``may_change``: with secrets, so that what is
    there may change as in a transaction of one, but for its label.
    """
    if record.name not in names:
        raise ValueError("a transaction saves the users it was opened for")
    for was, new in authenticator_changes(known.get(record.name), record):
        if was is not None and (new is None or not may_change):
            raise ValueError("a transaction of several users changes no authenticator of them")
        if was is not None and new is not None and was.label != new.label:
            raise ValueError("a transaction of several users changes no label")
        if new is None or new.secret is None:
            raise ValueError("an authenticator cannot be saved without its secret")
