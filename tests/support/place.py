"""A configuration, a sealing key and a store in a folder of their own."""

from __future__ import annotations

import functools
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from pam_totp import store
from pam_totp.core import otp, recovery
from pam_totp.core.users import Authenticator, UserRecord
from pam_totp.store import sealing

ROOT = Path(__file__).resolve().parents[2]
SECRET = b"12345678901234567890"  # RFC 6238 appendix B
RECOVERY_SALT = bytes(range(recovery.SALT_BYTES))


class Place:
    """``folder`` holds pam_totp.conf, pam_totp.key and store/store.db."""

    def __init__(self, folder: Path, *, in_use: bool = False) -> None:
        """``in_use``: the store was opened before, and has its room for logins.

        Such places are copies of one, and have its key. Others are new, each with a key of its own.
        """
        folder.chmod(0o755)
        self.folder = folder
        self.config_path = folder / "pam_totp.conf"
        self.key_path = folder / "pam_totp.key"
        self.store_path = folder / "store" / "store.db"
        self.configure()
        if in_use:
            self.store_path.parent.mkdir(mode=0o700)
            for name, content in _files_in_use().items():
                _write(folder / name, content)
        else:
            _write(self.key_path, sealing.generate_key_file())
            store.create_store(str(self.store_path), self.sealer())

    def configure(self, **settings: object) -> None:
        """Write the configuration: this place's store and key, and ``settings`` as given.

        In English, whatever the locale of this machine is.
        """
        own = {"store": self.store_path, "sealing_key": self.key_path, "language": "en"}
        values = {**own, **settings}
        text = "".join(f"{key} = {value}\n" for key, value in values.items())
        self.config_path.write_text(text, encoding="utf-8")
        self.config_path.chmod(0o644)

    def sealer(self) -> sealing.Sealer:
        return sealing.read_sealer(str(self.key_path))

    def open(self, *, administers: bool = True, patience: float | None = None) -> store.Store:
        return store.open_store(
            str(self.store_path),
            self.sealer(),
            administers=administers,
            patience=patience,
        )

    def enrol(
        self,
        user: str,
        secret: bytes = SECRET,
        *,
        label: str = "phone",
        recovery_codes: tuple[str, ...] = (),
        **fields: Any,
    ) -> UserRecord:
        """Add an authenticator, and recovery codes, to ``user``; ``fields`` are the record's."""
        digests = {
            recovery.digest(recovery.normalise(code) or "", RECOVERY_SALT)
            for code in recovery_codes
        }
        new = Authenticator(os.urandom(16).hex(), label, secret, created_at=int(time.time()))
        with self.open() as opened, opened.transaction(user) as transaction:
            record = transaction.record or UserRecord(user)
            record = record._replace(
                authenticators=(*record.authenticators, new),
                recovery_salt=RECOVERY_SALT,
                recovery_digests=record.recovery_digests | digests,
                **fields,
            )
            transaction.save(record)
        return record

    def record(self, user: str) -> UserRecord:
        """Return what the store holds of ``user`` now, without secrets."""
        with self.open() as opened:
            record = opened.load(user)
        assert record is not None
        return record


@functools.cache
def _files_in_use() -> dict[str, bytes]:
    """Return the files of a place in use: to set room aside takes longer than most tests."""
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        for _ in range(2):  # the second finds a log that has grown, and cuts it
            place.open().close()
        files = [place.key_path, *place.store_path.parent.iterdir()]
        return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    os.write(descriptor, content)
    os.close(descriptor)


def code_at(unix_time: float, secret: bytes = SECRET, period: int = 30) -> str:
    """Return the six-digit SHA-1 code of a moment."""
    return otp.hotp(secret, otp.time_step(int(unix_time), period))


def code_now(offset: int = 0, secret: bytes = SECRET) -> str:
    """Return the code of now, or of ``offset`` steps later."""
    return code_at(time.time() + 30 * offset, secret)


def wrong_code(secret: bytes = SECRET) -> str:
    """Return a code that is none of the window's, now or in the next steps."""
    valid = {code_now(offset, secret) for offset in range(-3, 6)}
    return next(f"{number:06d}" for number in range(10**6) if f"{number:06d}" not in valid)
