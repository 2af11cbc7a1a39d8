"""The exception tree. Exceptions carry data; login/ and admin_cli turn it into words.

No message ever contains a secret, a code, a password or a key: the texts go to logs.
"""

from __future__ import annotations

import os


class PamTotpError(Exception):
    """Something is wrong with ``subject``: ``problem`` says what, ``hint`` how to fix it."""

    def __init__(self, subject: str, problem: str, hint: str = "") -> None:
        super().__init__(subject, problem, hint)
        self.subject = subject
        self.problem = problem
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.subject}: {self.problem}"


class Unavailable(PamTotpError):
    """Codes cannot be verified now: every login that needs one is denied."""


class InsecureFile(Unavailable):
    """A file or folder is not trusted: somebody else could have written, or read, it."""


class StoreMissing(Unavailable):
    """There is no store yet."""


class StoreUnavailable(Unavailable):
    """The store cannot be read or written: disk full, read-only, locked for too long."""


class StoreBusy(StoreUnavailable):
    """Another process was writing to the store for longer than this connection waits.

    Nothing was changed: the same question may be asked again.
    """


class StoreUnreachable(StoreUnavailable):
    """No server of the store could be reached, or answered in time, or none of them writes.

    The only kind of trouble in which a host may answer by what it keeps for an outage.
    """


class StoreRefused(Unavailable):
    """The store's server refuses us, or is not the one that we trust: never a reason to go offline.

    Password, certificate, TLS, rights, database, membership, schema, or a standby that is missing.
    """


class StoreCorrupt(Unavailable):
    """The store is not what this program wrote."""


class SchemaTooNew(Unavailable):
    """The store was written by a newer release than this one."""


class SealingError(Unavailable):
    """The sealing key is missing or malformed, or it does not open what the store holds."""


class ConversationFailed(PamTotpError):
    """The application could not, or would not, ask the person."""


class LoginAborted(ConversationFailed):
    """A prompt came back without an answer: Ctrl-C, a closed window, nobody there. No fault."""


def places(error: BaseException) -> list[str]:
    """Return file and line of each call on the way to ``error``, the one that raised it last."""
    found = []
    traceback = error.__traceback__
    while traceback is not None:
        name = os.path.basename(traceback.tb_frame.f_code.co_filename)
        if name != "steps.py":  # between any two places of a login
            found.append(f"{name}:{traceback.tb_lineno}")
        traceback = traceback.tb_next
    return found
