"""Records and the accounts they were made for: who is gone, and who has a name of somebody else."""

from __future__ import annotations

import pwd
from collections.abc import Collection, Iterator

from pam_totp.core.users import Account, UserRecord
from pam_totp.login import identity

from ..host import accounts, birth, directory
from ..output import some_of
from .facts import Facts
from .finding import NOTE, WRONG, Found, check

_INHERITED = "a new account of the same name would be asked for the old phone"


@check("gone-accounts", NOTE, _INHERITED)
def gone_accounts(facts: Facts) -> Iterator[Found]:
    known = {record.name for record in facts.recorded.local}
    for record in facts.recorded.local:
        if directory.person(record.name) is None and not directory.problem():
            yield (
                f"there is a record of {record.name}, but no such account",
                _renamed_or_gone(record, known),
            )


@check(
    "other-account", WRONG, "the account is denied: an old phone must not work for a new account"
)
def other_account(facts: Facts) -> Iterator[Found]:
    for record, _, account in _with_accounts(facts):
        if record.is_of_another_account(account):
            yield _another_uid(record, account), _what_to_do(record)


@check(
    "renumbered", NOTE, "if the account was recreated for someone else, the old phone still works"
)
def renumbered(facts: Facts) -> Iterator[Found]:
    for record, _, account in _with_accounts(facts):
        if account.is_local or not record.grants_something():
            continue
        if record.has_another_uid(account):
            yield (
                f"{_another_uid(record, account)}, according to the directory",
                _what_to_do(record),
            )


@check(
    "made-again", NOTE, "if the account was recreated for someone else, the old phone still works"
)
def made_again(facts: Facts) -> Iterator[Found]:
    """Find accounts that got the uid of before: Debian gives the last one out again."""
    shadow = accounts.read_shadow()
    for record, entry, account in _with_accounts(facts):
        same = account.is_local and record.uid in (None, account.uid)
        since = record.created_at if record.uid is None else record.bound_at
        if not same or not record.grants_something():
            continue
        if birth.is_younger(entry, shadow.get(entry.pw_name), since):
            yield (
                f"home folder and password of {record.name} are newer than the enrollment",
                _what_to_do(record),
            )


@check("unbound", NOTE, "if such an account is recreated, the old phone still works for it")
def unbound(facts: Facts) -> Iterator[Found]:
    """Find records from before uids were kept. A login that accepts a code notes the uid, too.

    Nothing else does: the account may have been made again before, and nobody could tell.
    """
    names = [
        record.name
        for record, _, account in _with_accounts(facts)
        if record.uid is None and account.is_local and record.grants_something()
    ]
    if names:
        number = "1 record is" if len(names) == 1 else f"{len(names)} records are"
        yield (
            f"{number} not bound to the uid of an account: {some_of(names)}",
            "if these accounts still belong to the people who enrolled, run: "
            f"totpctl rebind {' '.join(names)}",
        )


def _with_accounts(facts: Facts) -> Iterator[tuple[UserRecord, pwd.struct_passwd, Account]]:
    for record in facts.recorded.local:
        entry = directory.person(record.name)
        if entry is not None:
            yield record, entry, identity.account(entry)


def _another_uid(record: UserRecord, account: Account) -> str:
    return f"{record.name} was enrolled as uid {record.uid}, and now has uid {account.uid}"


def _what_to_do(record: UserRecord) -> str:
    name = record.name
    return f"if it is the same person, run: totpctl rebind {name}; else: totpctl reset {name}"


def _renamed_or_gone(record: UserRecord, known: Collection[str]) -> str:
    """Return what to do for a record without an account; its uid may have another name now."""
    gone = f"if it is gone for good, run: totpctl remove {record.name}"
    now_named = directory.person_of_uid(record.uid) if record.uid else None
    if now_named is None or now_named.pw_name in known:
        return gone
    new = now_named.pw_name
    return f"if it was renamed to {new}, run: totpctl rename {record.name} {new}; {gone}"


CHECKS = (gone_accounts, other_account, renumbered, made_again, unbound)
