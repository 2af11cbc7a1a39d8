"""States, rules, words and log lines, for the tests of require and exempt."""

from __future__ import annotations

import grp
import pwd

from pam_totp.core.admission import GroupRule
from pam_totp.core.users import UserRecord
from tests.cli.command import ME, Result
from tests.support.logs import LogSocket, fields
from tests.support.place import Place

UNTIL = "2099-01-31"


AFTER = 4_073_587_200  # the first second of 2099-02-01


OVER = 1_599_955_200  # the first second of 2020-09-13


MY_GROUP = grp.getgrgid(pwd.getpwnam(ME).pw_gid).gr_name


ANOTHER = next(group.gr_name for group in grp.getgrall() if group.gr_name != MY_GROUP)


def put(place: Place, user: str, status: str, until: int = 0) -> None:
    with place.open() as store, store.transaction(user) as transaction:
        before = transaction.record or UserRecord(user)
        transaction.save(before._replace(status=status, exempt_until=until))


def put_rule(place: Place, kind: str, until: int = 0, name: str = MY_GROUP) -> None:
    with place.open() as store:
        store.save_group_rule(GroupRule(name, kind, until))


def state(place: Place, user: str) -> tuple[str, int] | None:
    with place.open() as store:
        record = store.load(user)
    return None if record is None else (record.status, record.exempt_until)


def logged(log: LogSocket) -> list[dict[str, str]]:
    return [
        {key: value for key, value in fields(line).items() if key not in ("by", "module")}
        for line in log.lines()
    ]


def said(result: Result) -> list[str]:
    assert "" == result.out
    return result.err.splitlines()
