"""The modules that are measured side by side: a PAM line each, and how its code is made unused."""

from __future__ import annotations

import base64
import os
import sqlite3
from pathlib import Path
from typing import Protocol

from pam_totp import sealing, store
from pam_totp.verifier import Authenticator, UserRecord
from tests.support.place import SECRET

USER = "bench"
FOLDER = Path("/var/lib/bench")  # on a real disk: an fsync must cost what it costs
HOOK = "/usr/lib/pam_totp/hook.py"


class Peer(Protocol):
    name: str
    line: str

    def refresh(self) -> None:
        """Make the current code of USER unused again, as a first login would find it."""


class PasswordOnly:
    name = "password only"
    line = ""

    def refresh(self) -> None: ...


class Floor:
    """The least that a pam_python hook can do: ask, and answer PAM_SUCCESS."""

    name = "a one-line pam_python hook"

    def __init__(self) -> None:
        hook = FOLDER / "floor.py"
        hook.write_text(
            "def pam_sm_authenticate(pamh, flags, argv):\n"
            "    pamh.conversation(pamh.Message(pamh.PAM_PROMPT_ECHO_OFF, 'Verification code: '))\n"
            "    return pamh.PAM_SUCCESS\n"
            "def pam_sm_setcred(pamh, flags, argv):\n"
            "    return pamh.PAM_SUCCESS\n"
        )
        self.line = f"auth required pam_python.so {hook}"

    def refresh(self) -> None: ...


class Ours:
    """pam_totp with ``users`` people enrolled, one of them USER."""

    def __init__(self, users: int = 10) -> None:
        self.name = "pam_totp"
        folder = FOLDER / f"pam_totp-{users}"
        folder.mkdir(mode=0o700)
        key, self._store = folder / "key", folder / "store.db"
        descriptor = os.open(key, os.O_CREAT | os.O_WRONLY, 0o600)
        os.write(descriptor, sealing.generate_key_file())
        os.close(descriptor)
        sealer = sealing.read_sealer(str(key))
        store.create_store(str(self._store), sealer)
        authenticator = Authenticator(os.urandom(16).hex(), "phone", SECRET)
        with store.open_store(str(self._store), sealer) as opened, opened.transaction(USER) as own:
            own.save(UserRecord(USER, authenticators=(authenticator,)))
        self._fill(users - 1)
        self.line = f"auth required pam_python.so {HOOK} store={self._store} sealing_key={key}"

    def _fill(self, users: int) -> None:
        connection = sqlite3.connect(self._store)
        with connection:
            (row,) = connection.execute("SELECT * FROM authenticators").fetchall()
            people = [f"user{number:06d}" for number in range(users)]
            connection.executemany(
                "INSERT INTO users VALUES (?, 'active', 0, 0, NULL, 0, 0)", ((p,) for p in people)
            )
            connection.executemany(
                f"INSERT INTO authenticators VALUES ({', '.join('?' * len(row))})",
                ((os.urandom(16).hex(), person, *row[2:]) for person in people),
            )
        connection.close()

    def refresh(self) -> None:
        connection = sqlite3.connect(self._store)
        with connection:
            connection.execute(
                "UPDATE authenticators SET last_accepted_step = -1 WHERE user = ?", (USER,)
            )
        connection.close()


class GoogleAuthenticator:
    """With what its own set-up recommends: no reuse, a rate limit, a window of 3."""

    name = "google-authenticator"

    def __init__(self) -> None:
        self._file = FOLDER / "google_authenticator"
        self.line = f"auth required pam_google_authenticator.so secret={self._file} user=root"

    def refresh(self) -> None:
        secret = base64.b32encode(SECRET).decode("ascii")
        options = ("RATE_LIMIT 3 30", "WINDOW_SIZE 3", "DISALLOW_REUSE", "TOTP_AUTH")
        scratch_codes = "".join(f"{12345670 + number}\n" for number in range(5))
        self._file.unlink(missing_ok=True)
        self._file.write_text(
            f"{secret}\n" + "".join(f'" {option}\n' for option in options) + scratch_codes
        )
        self._file.chmod(0o400)


class Oath:
    """pam_oath with ``users`` lines in its file, USER's in the middle."""

    def __init__(self, users: int = 10) -> None:
        self.name = "pam_oath"
        self._file = FOLDER / f"users-{users}.oath"
        lines = [
            f"HOTP/T30/6 user{number:06d} - {os.urandom(20).hex()}\n" for number in range(users - 1)
        ]
        lines.insert(len(lines) // 2, f"HOTP/T30/6 {USER} - {SECRET.hex()}\n")
        self._text = "".join(lines)
        self.line = f"auth required pam_oath.so usersfile={self._file} window=3 digits=6"

    def refresh(self) -> None:
        self._file.write_text(self._text)
        self._file.chmod(0o600)
