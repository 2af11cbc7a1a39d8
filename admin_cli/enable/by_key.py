"""Let accounts in by a key alone, as a trial; and let sshd ask PAM about them again, at once.

Such a login never gets as far as PAM, so nothing that the store says denies it: whoever is no
longer exempt must be out of key_only.FILE before the store says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from .. import output
from ..errors import CommandFailed
from ..host import files, key_only, sshd
from ..host.key_only import KeyOnly
from ..host.signals import interruptible, uninterrupted
from ..host.sshd import key_only_state
from ..session import Session
from . import automatic_undo, exempted, sshd_files, switch, trial, trial_record
from .trial import Change
from .trial_record import Trial

PATIENCE = 30.0  # seconds for another totpctl


def exempt(
    session: Session,
    accounts: Sequence[KeyOnly],
    change: Change,
    seconds: int,
    before: Mapping[str, str],
    exempt_all: Callable[[], None],
) -> tuple[Trial, list[str]]:
    """Carry out ``change`` as a trial after ``exempt_all``; return it with what to warn of.

    ``before``: of each account, what its record said. Any failure, also Ctrl-C, undoes everything.
    Raises CommandFailed then.
    """
    with interruptible():
        new = trial.begin([change], (), None, seconds, exempted=before)
        with switch.undone_if_it_fails(new, partial(exempted.forget, session, new)):
            warnings = automatic_undo.arrange(new)
            exempt_all()
            trial.carry_out(new, [change])
            sshd.check()
            check_in_force(accounts)
            sshd.reload()
        return new, warnings


def check_in_force(accounts: Sequence[KeyOnly]) -> None:
    """Raise CommandFailed where sshd does not do for ``accounts`` what their file says."""
    problems = key_only_state.problems(accounts)
    if problems:
        raise CommandFailed("; ".join(problems), "fix it there, then run this again")


@contextmanager
def ended_first(session: Session, names: Sequence[str]) -> Iterator[list[str]]:
    """Let sshd ask PAM about ``names`` before what is done inside; yield whom that concerns.

    What is done inside is done in any case. Raises CommandFailed, after it, where that failed.
    """
    failure: CommandFailed | None = None
    gone: list[str] = []
    try:
        gone = end(session, names)
    except CommandFailed as error:
        failure = error
    yield gone
    if failure is not None:
        raise CommandFailed(
            f"sshd may still let in by a key alone: {', '.join(names)}: {failure}", failure.hint
        )


def end(session: Session, names: Sequence[str]) -> list[str]:
    """Let sshd ask PAM again about those of ``names`` whom it lets in by a key alone; return them.

    A trial that waits, and is about the same file, is undone before. Raises CommandFailed.
    """
    content = files.read(key_only.FILE)
    if content is None or not key_only.named(files.text_of(content), names):
        return []
    with trial.changing(wait=PATIENCE):
        waiting = trial_record.pending()
        if waiting is not None and key_only.FILE in [file.path for file in waiting.files]:
            switch.revert(session, waiting)
            content = files.read(key_only.FILE) or b""
        text = files.text_of(content)
        gone = key_only.named(text, names)
        left = key_only.without(text, names)
        if key_only.named(left, names):
            raise CommandFailed(
                f"{key_only.FILE} is not what totpctl wrote",
                f"take {', '.join(gone)} out of it with an editor; then: sshd -t, and reload sshd",
            )
        with uninterrupted():
            if left.strip():
                files.replace(key_only.FILE, files.bytes_of(left))
            else:
                files.remove(key_only.FILE)
                files.remove_spare(key_only.FILE)
                files.sync_folder(key_only.FILE)
            sshd_files.load_it(f"{', '.join(gone)} can still log in with a key alone")
    output.message(f"a key alone is no longer enough for {', '.join(gone)}")
    return gone
