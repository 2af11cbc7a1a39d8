"""Report what applies now, at the end of each command that changes logins, also after errors.

On a full or failing disk a command may have done everything, a part, or nothing, and the error
alone does not tell. So every command that writes files of PAM or sshd is a ChangesLogins of
logins.py, and the files themselves are asked, by the judgement that status gives.
"""

from __future__ import annotations

import math
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping

from pam_totp.stack import pam_stack
from pam_totp.system.errors import PamTotpError

from ..doctor.facts import SSHD, CannotTell, Facts
from ..doctor.service_state import OFF, ON, UNCLEAR, ServiceState, state_of
from ..enable import enabled, trial_record
from ..errors import CommandFailed
from ..host import files, key_only, sshd

ALWAYS = ("sshd", "sudo")
_OF_SSHD = (sshd.DROP_IN, key_only.FILE)


def what_holds(before: Mapping[str, str], facts: Facts) -> list[str]:
    """Say what has changed since ``before`` (digests by path), and what logins ask for. Raises
    nothing: of a part that cannot be told it says that.
    """
    now = digests()
    changed = sorted(path for path in {*before, *now} if before.get(path) != now.get(path))
    lines = [f"changed: {', '.join(changed)}"] if changed else []
    lines += [] if changed else ["now: no file of PAM or sshd was changed"]
    lines += _told(lambda: _who_asks(facts, {os.path.basename(path) for path in changed}))
    return lines + _told(_what_waits)


def _told(part: Callable[[], Iterator[str]]) -> list[str]:
    try:
        return list(part())
    except (OSError, PamTotpError, ValueError, subprocess.SubprocessError) as error:
        return [f"now: it cannot be told, {error}; see: totpctl status"]
    except CannotTell:
        return ["now: it cannot be told; see: totpctl status"]


def digests() -> dict[str, str]:
    """Return the digests of every file that enable could change, by path."""
    folder = pam_stack.PAM_FOLDERS[0]
    try:
        names = [name for name in os.listdir(folder) if trial_record.SERVICE.fullmatch(name)]
    except OSError:
        names = []
    paths = (*(f"{folder}/{name}" for name in names), *_OF_SSHD)
    return {path: files.digest_at(path) for path in paths}


def _who_asks(facts: Facts, changed: set[str]) -> Iterator[str]:
    try:
        waiting = trial_record.pending()
    except PamTotpError:
        waiting = None  # _what_waits says why
    known = {*ALWAYS, *changed, *enabled.services(), *(waiting.services if waiting else ())}
    states: dict[str, list[str]] = {ON: [], OFF: []}
    remarks: list[str] = []
    for name in sorted(known - {os.path.basename(path) for path in _OF_SSHD}):
        service = facts.service(name)
        if not service.text and service.problem is None:
            continue  # it has no file
        found = state_of(facts, service)
        if found.state in states:
            states[found.state].append(name)
        elif found.state == UNCLEAR:
            remarks.append(f"whether {name} asks for a code cannot be told: {found.trouble}")
        else:
            remarks.append(f"{name} may let people in without a code: {found.trouble}")
        if name == SSHD and service.asks:
            remarks += _about_keys(found)
    for state, words in ((ON, "asked for"), (OFF, "not asked for")):
        if states[state]:
            yield f"now: a code is {words} in {', '.join(states[state])}"
    yield from (f"now: {remark}" for remark in remarks)


def _about_keys(found: ServiceState) -> Iterator[str]:
    try:
        sshd.check()
    except CommandFailed as error:
        yield f"what sshd asks key logins for cannot be told: {error}"
    else:
        if found.keys == "skip" and found.state == ON:
            yield "sshd asks key logins for no code"


def _what_waits() -> Iterator[str]:
    waiting = trial_record.pending()
    confirmed = trial_record.confirmed()
    if confirmed is not None:
        yield f"now: {confirmed.subject}: confirmed; to finish that, run: totpctl confirm"
    elif waiting is None:
        yield "now: nothing is waiting to be confirmed"
    elif not trial_record.undo_has_begun(waiting):
        left = math.ceil(waiting.seconds_left())
        yield f"now: {waiting.subject}: undone in {left} s, unless you run: totpctl confirm"
    else:
        finish = trial_record.command_to_finish(waiting)
        what = "undone; it is tried again, or" if finish == "totpctl revert" else "finished;"
        yield f"now: {waiting.subject}: still to be {what} run: {finish}"
