"""sshd -t and sshd -T: whether sshd accepts its configuration, and what is in force."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from ... import output
from ...errors import CommandFailed
from .. import programs
from . import process as sshd_process
from .process import Options

_HERE = "127.0.0.1"
_SERVER = "laddr=127.0.0.1,lport=22"
_NOBODY = "user=-,host=-,addr=255.255.255.255,laddr=255.255.255.255,lport=65535"
_WANTS_MORE = "not in connection test specification"
TIMEOUT = 30  # seconds; sshd -T takes a hundredth of one, unless a directory does not answer

_answers: dict[tuple[str, ...], str] | None = None


@contextmanager
def ask_once() -> Iterator[None]:
    """Ask sshd each question once: for a command that changes none of its files meanwhile.

    What sshd refuses is asked again.
    """
    global _answers
    _answers = {}
    try:
        yield
    finally:
        _answers = None


def check() -> None:
    """Let sshd read its configuration. Raises CommandFailed with sshd's own words.

    Where it is asked once, by -T: that refuses whatever -t does, and says what is in force as well.
    """
    started = sshd_process.options()
    if _answers is not None:
        with suppress(CommandFailed):
            _sshd(started, "-T")
            return
    _sshd(started, "-t")


def effective(
    user: str | None = None, started: Options | None = None, address: str = _HERE
) -> dict[str, str]:
    """Return what is in force, as sshd -T prints it; what it prints twice is joined by blanks.

    Without ``user`` no Match block counts. With one, those do that match a login from ``address``,
    which is this machine unless said otherwise; a Match block for other addresses is not seen
    here, but by problems(). sshd cannot be asked about a name with a comma in it: none counts for
    that one. ``started``: how the sshd was started that this is about, if not as
    sshd_process.options(). Raises CommandFailed.
    """
    started = started or sshd_process.options()
    settings: dict[str, str] = {}
    for line in _test(user, started, address).splitlines():
        keyword, _, value = line.partition(" ")
        settings[keyword] = f"{settings[keyword]} {value}" if keyword in settings else value
    return settings


def _test(user: str | None, started: Options, address: str) -> str:
    if user is not None and "," not in user:
        host = "localhost" if address == _HERE else address
        return _sshd(started, "-T", "-C", f"user={user},host={host},addr={address},{_SERVER}")
    try:
        return _sshd(started, "-T")
    except CommandFailed as error:
        if _WANTS_MORE not in str(error):
            raise
        return _sshd(started, "-T", "-C", _NOBODY)  # a Match of the port stops -T alone


def _sshd(started: Options, *arguments: str) -> str:
    """Run sshd as a listening one was started, and return what it prints."""
    command = (sshd_process.program(), *started.words(), *arguments)
    if _answers is not None and command in _answers:
        return _answers[command]
    done = _run(command)
    missing = re.search(r"Missing privilege separation directory: (/\S+)", done.stderr)
    if done.returncode != 0 and missing:
        os.makedirs(missing[1], exist_ok=True)
        os.chmod(missing[1], 0o755)  # noqa: S103  # as sshd's unit makes it, whatever the umask
        output.message(f"created {missing[1]}, which sshd needs to check its configuration")
        done = _run(command)
    if done.returncode == 0:
        if _answers is not None:
            _answers[command] = done.stdout
        return done.stdout
    lines = (line.strip() for line in done.stderr.splitlines())
    words = "; ".join(line for line in lines if line) or f"exit status {done.returncode}"
    raise CommandFailed(f"sshd does not accept its configuration: {words}", _fix_of(words))


def _fix_of(words: str) -> str:
    """Return what helps where sshd says ``words``, which mostly name a line."""
    if "no hostkeys" in words:
        return "run: ssh-keygen -A"
    line = re.search(r"(/\S+?):? line (\d+)", words)
    return f"fix line {line[2]} of {line[1]}; then see: sshd -t" if line else "see: sshd -t"


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return programs.run(command, path=programs.PATH_WITH_LOCAL, timeout=TIMEOUT)
    except OSError as error:
        raise CommandFailed(
            f"{command[0]}: {error.strerror}", "install the OpenSSH server"
        ) from None
    except subprocess.TimeoutExpired:
        raise CommandFailed(f"{command[0]} did not answer in {TIMEOUT} seconds") from None
