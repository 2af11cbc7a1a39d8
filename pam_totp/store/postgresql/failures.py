"""What a failure of the database means: whether asking again may help, and what to raise at last.

PostgreSQL names each error by an SQLSTATE, five characters: see Appendix A of its manual. TP001 to
TP006 are raised by our functions. What libpq itself finds has none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...system.errors import (
    SealingError,
    StoreBusy,
    StoreRefused,
    StoreUnavailable,
    StoreUnreachable,
)

if TYPE_CHECKING:
    from ...system.errors import Unavailable

READ_ONLY = "25006"

# What passes: another server may answer, or the same one in a moment. By SQLSTATE, or its class.
_PASSING: dict[str, type[Unavailable]] = {
    "08": StoreUnreachable,  # connection
    "08P01": StoreUnavailable,  # what pgbouncer says whatever is wrong: see _POOLER
    READ_ONLY: StoreUnavailable,  # a standby is found out by connecting again
    "40": StoreBusy,  # deadlock
    "53": StoreUnavailable,  # too many connections, no memory, disk full
    "55P03": StoreBusy,  # a lock was not to be had
    "57014": StoreBusy,  # cancelled by hand, or by a timeout of the server's
    "57P01": StoreUnreachable,  # sessions are ended: a restart
    "57P02": StoreUnreachable,  # the server recovers from a crash
    "57P03": StoreUnreachable,  # it starts, or stops
    "57P05": StoreUnavailable,  # idle for longer than a limit, which any host can set
    "58": StoreUnavailable,  # its disk fails
    "XX": StoreUnavailable,  # internal error
}
# pgbouncer's words for 08P01, of which one word tells.
_POOLER: dict[str, type[Unavailable]] = {
    "no such": StoreRefused,
    "not allowed": StoreRefused,
    "auth": StoreRefused,
    "query_wait_timeout": StoreUnreachable,
    "server login has been failing": StoreUnreachable,
    "server conn crashed": StoreUnreachable,
    "cannot connect": StoreUnreachable,
}
_LOOK = "look at the log of the server"
_WORDS = {
    "TP001": "this host has not joined the fleet, or it was removed",
    "TP002": "the policy requires a synchronous standby, and there is none",
    "TP003": "a sealed secret does not open",
    "TP004": "the policy of the fleet does not allow this",
    "TP005": "the token was used, has expired, or was replaced by a newer one",
    "TP006": "somebody else has added this host at the same time, and holds its token",
    "28": "it refuses the login",
    "28P01": "password authentication failed",
    "3D": "there is no such database",
    "3F": "the schema is not there",
    "42": "the schema does not fit this release, or rights are missing",
}
_HINTS = {
    "TP001": "run on an administrator's machine: totpctl fleet add HOST",
    "TP002": (
        "look at pg_stat_replication on the server that writes; where codes have to be checked "
        "without one meanwhile: totpctl fleet policy require_standby=no"
    ),
    "TP003": "enroll this user again: totpctl reset USER",
    "TP004": "look at: totpctl fleet policy, on an administrator's machine",
    "TP005": "run on an administrator's machine: totpctl fleet add HOST",
    "TP006": "let the host join with that; or run it again, which makes that token void",
    "28": "let pg_hba.conf on the server admit this role, to this database and from this address",
    "28P01": "was it changed? compare it with that in pam_totp.fleet or pam_totp.fleet-admin",
    "3D": "create it on the server, or compare its name with the setting store",
    "3F": "run on an administrator's machine: totpctl fleet migrate",
    "42": "compare releases of pam_totp; then run: totpctl fleet migrate",
}
# How libpq and OpenSSL say that the network, or the other side, has ended a connection on the way;
# in English: see environment.py. Whatever else they find is a refusal, theirs or the server's.
_CUT = (
    "server closed the connection unexpectedly",
    "could not receive data from server",
    "could not send data to server",
    "could not send startup packet",
    "could not send SSL negotiation packet",
    "SSL SYSCALL error",
    "SSL connection has been closed unexpectedly",
    "unexpected eof while reading",
    "lost synchronization with server",
)
# What fixes a refusal of libpq's own, by its words.
_FIXES = {
    "does not support SSL": "set ssl = on, ssl_cert_file and ssl_key_file on the server",
    "does not match host name": "name the server as its certificate does",
    "requirepeer": "is it the server's own folder? it must belong to the account that serves it",
}
_COMPARE = "compare identity and store with the CA; has a certificate expired?"
# Verbose: after a severity, which is in the language of the server.
_SQLSTATE = re.compile(r":  ([0-9A-Z]{5}): ")
_STANDBY = "server is in hot standby mode"


class CallFailed(Exception):
    """A connection or a statement failed. ``kind``: what to raise where that is the end of it.

    ``may_pass``: asking again may help. ``was_sent``: the server may have done it all the same.
    ``is_usable``: the connection can go on. ``sqlstate``: where the server has said it.
    """

    def __init__(
        self, kind: type[Unavailable], problem: str, hint: str = _LOOK, *, may_pass: bool = True
    ) -> None:
        super().__init__(problem)
        self.kind = kind
        self.problem = problem
        self.hint = hint
        self.may_pass = may_pass
        self.was_sent = False
        self.is_usable = False
        self.sqlstate = ""

    def at(self, server: str) -> CallFailed:
        """Say which server it was."""
        self.problem = f"{server}: {self.problem}"
        return self


def unreachable(problem: str) -> CallFailed:
    """The network, or the clock, has the last word."""
    return CallFailed(StoreUnreachable, problem, "look at the network, and whether servers run")


def refused(problem: str, hint: str = _LOOK) -> CallFailed:
    return CallFailed(StoreRefused, problem, hint, may_pass=False)


def does_not_let_write() -> CallFailed:
    """It is no standby, but a setting makes its sessions read-only."""
    hint = "look at default_transaction_read_only, of the server and in pg_db_role_setting"
    return CallFailed(StoreUnavailable, "does not let us write", hint)


def not_durable() -> CallFailed:
    """It is written, but what was to make it durable was cancelled."""
    failure = CallFailed(StoreUnavailable, "a write does not wait for its standby", _HINTS["TP002"])
    failure.was_sent = failure.is_usable = True
    return failure


def worst(failed: list[CallFailed]) -> CallFailed:
    """Return what all ``failed`` servers come to: a refusal of any of them counts before all."""

    def badness(failure: CallFailed) -> tuple[bool, bool]:
        return not failure.may_pass, failure.kind is not StoreUnreachable

    found = max(failed, key=badness)
    found.problem = "; ".join(failure.problem for failure in failed)
    return found


def by_sqlstate(sqlstate: str, text: str = "") -> CallFailed:
    """Return what an error of the server means; one that is not known here is a refusal.

    Of its ``text`` nothing is told: it may quote arguments.
    """
    for code in (sqlstate, sqlstate[:2]):
        if code in _PASSING:
            kind = _PASSING[code]
            if sqlstate == "08P01":
                kind = next((_POOLER[word] for word in _POOLER if word in text), kind)
            problem = f"the server fails with SQLSTATE {sqlstate}"
            failure = CallFailed(kind, problem, may_pass=kind is not StoreRefused)
            failure.sqlstate = sqlstate
            return failure
    code = sqlstate if sqlstate in _WORDS else sqlstate[:2]
    problem = _WORDS.get(code, "it refuses")
    if not sqlstate.startswith("TP"):
        problem += f" (SQLSTATE {sqlstate})"
    kind = SealingError if sqlstate == "TP003" else StoreRefused
    failure = CallFailed(kind, problem, _HINTS.get(code, _LOOK), may_pass=False)
    failure.sqlstate = sqlstate
    return failure


def of_connecting(text: str, *, was_reached: bool) -> CallFailed:
    """Return what libpq's ``text`` about a connection that it could not make means.

    ``was_reached``: there was a server at the other end. A refusal of that has an SQLSTATE.
    """
    told = _SQLSTATE.search(text)
    if told:
        return by_sqlstate(told[1], text)
    # Without "connection to server at ... failed: " before it.
    said = text.strip().split("\n", 1)[0].rpartition(" failed: ")[2]
    if _STANDBY in said:
        return unreachable("does not write")
    if any(words in said for words in _CUT):
        return unreachable("the connection was cut")
    if not was_reached and "requirepeer" not in said:
        return unreachable(said)
    return refused(said, next((_FIXES[word] for word in _FIXES if word in said), _COMPARE))
