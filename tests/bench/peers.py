"""The modules that are measured side by side: a PAM line each, and people who can log in with it.

Everybody has the same secret. Each login of a series is one of somebody else, so that no code has
to be made unused in between.
"""

from __future__ import annotations

import base64
import itertools
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from pam_totp import store
from pam_totp.core.users import Authenticator, UserRecord
from pam_totp.store import sealing
from pam_totp.store.sqlite.rows import binding
from tests.support.place import SECRET

from .people import FOLDER, PEOPLE, names

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
        phone = Authenticator(f"phone of {first}", "phone", SECRET)
        with (
            store.open_store(str(self._store), sealer) as opened,
            opened.transaction(first) as transaction,
        ):
            transaction.save(UserRecord(first, authenticators=(phone,)))
        connection = sqlite3.connect(self._store)
        with connection:
            _copy_row(connection, "users", ({"name": person} for person in others))
            _copy_row(connection, "authenticators", (_phone(sealer, person) for person in others))
        connection.close()

    def forget(self) -> None:
        """Make everybody's code unused again."""
        connection = sqlite3.connect(self._store, timeout=30)
        with connection:
            connection.execute(
                "UPDATE authenticators SET last_accepted_step = -1 WHERE last_accepted_step >= 0"
            )
        connection.close()


def _phone(sealer: sealing.Sealer, person: str) -> dict[str, object]:
    """Return what is another in each row of an authenticator."""
    phone = Authenticator(f"phone of {person}", "phone", SECRET)
    sealed = sealer.seal(SECRET, *binding(person, phone))
    return {"user": person, "id": phone.id, "sealed_secret": sealed}


def _copy_row(
    connection: sqlite3.Connection, table: str, changes: Iterable[dict[str, object]]
) -> None:
    """Add copies of the one row of ``table``, whatever columns it has, each with its changes."""
    connection.row_factory = sqlite3.Row
    (row,) = connection.execute(f"SELECT * FROM {table}").fetchall()
    columns = row.keys()
    connection.executemany(
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES (:{', :'.join(columns)})",
        ({**row, **change} for change in changes),
    )


def google_authenticator() -> Peer:
    """With what its own set-up recommends: no reuse, a rate limit, a window of 3."""
    folder = FOLDER / "google_authenticator"
    folder.mkdir(mode=0o700)
    secret = base64.b32encode(SECRET).decode("ascii")
    options = ("RATE_LIMIT 3 30", "WINDOW_SIZE 3", "DISALLOW_REUSE", "TOTP_AUTH")
    scratch_codes = "".join(f"{12345670 + number}\n" for number in range(5))
    for person in names(PEOPLE):
        file = folder / person
        file.write_text(
            f"{secret}\n" + "".join(f'" {option}\n' for option in options) + scratch_codes
        )
        file.chmod(0o400)
    line = f"auth required pam_google_authenticator.so secret={folder}/${{USER}} user=root"
    return Peer(GOOGLE, line)


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
        """Make everybody's code unused again."""
        self._file.write_text(
            "".join(f"HOTP/T30/6 {person} - {SECRET.hex()}\n" for person in self._people)
        )
        self._file.chmod(0o600)


def service_file(name: str, peer: Peer | str) -> None:
    """Write /etc/pam.d/``name``: the peer's line, and nothing else that takes time."""
    auth = peer if isinstance(peer, str) else peer.line
    Path(f"/etc/pam.d/{name}").write_text(
        f"{auth}\naccount required pam_permit.so\nsession required pam_permit.so\n"
    )
