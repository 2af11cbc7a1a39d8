"""The modules that are measured side by side: a PAM line each, and people who can log in with it.

Everybody has the same secret. Each login of a series is one of somebody else, so that no code has
to be made unused in between.
"""

from __future__ import annotations

import base64
import itertools
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from pam_totp import store
from pam_totp.core.users import Authenticator, UserRecord
from pam_totp.store import sealing
from tests.support.place import SECRET

from .many_users import fill_store
from .people import FOLDER, PEOPLE, names, settle

HOOK = "/usr/lib/pam_totp/hook.py"
SERVICE = "pam_totp on the service"
SPAWNED = "pam_totp, a worker each"
PAM_PYTHON = "pam_totp in pam_python"
GOOGLE = "google-authenticator"
OATH = "pam_oath"


class Peer:
    """A module: ``line`` is what it has in a PAM file, "" for none."""

    def __init__(self, name: str, line: str) -> None:
        self.name = name
        self.line = line
        self._fresh = iter(names(PEOPLE))

    def forget(self) -> None:
        """Make everybody's code unused again."""

    def start_over(self) -> None:
        """Have nobody logged in yet."""
        self.forget()
        self._fresh = iter(names(PEOPLE))

    def take(self, count: int) -> list[str]:
        """Return ``count`` people who have not logged in yet."""
        taken = list(itertools.islice(self._fresh, count))
        assert len(taken) == count, "PEOPLE are too few"
        return taken


def nothing() -> Peer:
    """The host alone: libpam and a module that says yes."""
    return Peer("libpam alone (pam_permit)", "auth required pam_permit.so")


def password_only() -> Peer:
    return Peer("password only", "")


def one_line_hook() -> Peer:
    """The least that a pam_python hook can do: ask, and answer PAM_SUCCESS."""
    hook = FOLDER / "one_line.py"
    hook.write_text(
        "def pam_sm_authenticate(pamh, flags, argv):\n"
        "    pamh.conversation(pamh.Message(pamh.PAM_PROMPT_ECHO_OFF, 'Verification code: '))\n"
        "    return pamh.PAM_SUCCESS\n"
        "def pam_sm_setcred(pamh, flags, argv):\n"
        "    return pamh.PAM_SUCCESS\n"
    )
    return Peer("a one-line pam_python hook", f"auth required pam_python.so {hook}")


class Ours(Peer):
    """pam_totp on a store of its own with ``users`` people; ``module`` is what the line loads."""

    def __init__(self, name: str, module: str, users: int = PEOPLE) -> None:
        folder = FOLDER / f"store-{len(list(FOLDER.glob('store-*')))}"
        folder.mkdir(mode=0o700)
        key, self._store = folder / "key", folder / "store.db"
        descriptor = os.open(key, os.O_CREAT | os.O_WRONLY, 0o600)
        os.write(descriptor, sealing.generate_key_file())
        os.close(descriptor)
        sealer = sealing.read_sealer(str(key))
        store.create_store(str(self._store), sealer)
        self._fill(sealer, users)
        self.arguments = [f"store={self._store}", f"sealing_key={key}"]
        super().__init__(name, f"auth required {module} {' '.join(self.arguments)}")

    def _fill(self, sealer: sealing.Sealer, users: int) -> None:
        """Enroll the first of them as totpctl does, and give the others rows like these."""
        first, *others = names(users)
        self._enroll(sealer, first)
        fill_store(self._store, sealer, first, others)
        self._enroll(sealer, first)  # reserves the room that logins need, as after any enrollment

    def _enroll(self, sealer: sealing.Sealer, person: str) -> None:
        phone = Authenticator(f"phone of {person}", "phone", SECRET)
        with (
            store.open_store(str(self._store), sealer) as opened,
            opened.transaction(person) as transaction,
        ):
            transaction.save(UserRecord(person, authenticators=(phone,)))

    def forget(self) -> None:
        connection = sqlite3.connect(self._store, timeout=30)
        with connection:
            connection.execute(
                "UPDATE authenticators SET last_accepted_step = -1 WHERE last_accepted_step >= 0"
            )
        connection.close()


class GoogleAuthenticator(Peer):
    """With what its own set-up recommends: no reuse, a rate limit, a window of 3."""

    def __init__(self) -> None:
        self._folder = FOLDER / "google_authenticator"
        self._folder.mkdir(mode=0o700)
        self.forget()
        line = (
            f"auth required pam_google_authenticator.so secret={self._folder}/${{USER}} user=root"
        )
        super().__init__(GOOGLE, line)

    def forget(self) -> None:
        secret = base64.b32encode(SECRET).decode("ascii")
        options = ("RATE_LIMIT 3 30", "WINDOW_SIZE 3", "DISALLOW_REUSE", "TOTP_AUTH")
        scratch_codes = "".join(f"{12345670 + number}\n" for number in range(5))
        for person in names(PEOPLE):
            file = self._folder / person
            file.unlink(missing_ok=True)
            file.write_text(
                f"{secret}\n" + "".join(f'" {option}\n' for option in options) + scratch_codes
            )
            file.chmod(0o400)


class Oath(Peer):
    """pam_oath with ``users`` people in its file."""

    def __init__(self, users: int = PEOPLE) -> None:
        self._file = FOLDER / f"users-{users}.oath"
        self._people = names(users)
        self.forget()
        super().__init__(
            OATH, f"auth required pam_oath.so usersfile={self._file} window=3 digits=6"
        )

    def forget(self) -> None:
        self._file.write_text(
            "".join(f"HOTP/T30/6 {person} - {SECRET.hex()}\n" for person in self._people)
        )
        self._file.chmod(0o600)


def start_over(peers: Sequence[Peer]) -> None:
    """Have nobody logged in yet with any of them, and that on the disk."""
    for peer in peers:
        peer.start_over()
    settle()


def service_file(name: str, peer: Peer | str) -> None:
    """Write /etc/pam.d/``name``: the peer's line, and nothing else that takes time."""
    auth = peer if isinstance(peer, str) else peer.line
    Path(f"/etc/pam.d/{name}").write_text(
        f"{auth}\naccount required pam_permit.so\nsession required pam_permit.so\n"
    )
