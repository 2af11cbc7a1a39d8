"""A door where bob, who is not enrolled, has given a password and is to enrol."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from pam_totp.core.users import UserRecord
from pam_totp.login import messages
from tests.cli.terminal import secret_of
from tests.support.place import ROOT, code_now
from tests.unit.door import Door, Login

PASSWORD = "correct horse"
CODE = "Verification code: "
PROVES = "auth requisite pam_unix.so\nauth required pam_totp.so\n"


def install_picture(folder: Path) -> Path:
    """Put the program that draws where it finds what it needs, and return its path."""
    for package in ("pam_totp", "admin_cli"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=ignored)
    return Path(shutil.copy(ROOT / "packaging" / "picture", folder / "picture"))


class FrontDoor:
    """A door where bob, who is not enrolled, is to enrol."""

    def __init__(self, door: Door, pam_folder: Path) -> None:
        self.door = door
        self.place = door.place
        self._pam_folder = pam_folder

    def pam_file(self, service: str, text: str) -> None:
        (self._pam_folder / service).write_text(text, encoding="utf-8")

    def configure(self, **settings: object) -> None:
        self.place.configure(**{"unenrolled": "enroll", "issuer": "Front Door", **settings})

    def record(self, user: str = "bob") -> UserRecord | None:
        with self.place.open() as store:
            return store.load(user)

    def save(self, record: UserRecord) -> None:
        with self.place.open() as store, store.transaction(record.name) as transaction:
            transaction.save(record)

    def log_in(self, *answers: object, **how: object) -> Login:
        """Log in as bob, who gave a password."""
        how = {"user": "bob", "authtok": PASSWORD, **how}
        return self.door.login(*answers, **how)  # type: ignore[arg-type]


class Person:
    """Who types, and reads the secret off the screen before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.secret = b""
        show = messages.enrollment

        def watched(
            introduction: Sequence[str], secret: str, uri: str, lines: list[str]
        ) -> list[str]:
            shown = show(introduction, secret, uri, lines)
            self.secret = secret_of("?secret=" + secret.replace(" ", ""))
            return shown

        monkeypatch.setattr(messages, "enrollment", watched)

    def code(self, offset: int = 0) -> str:
        return code_now(offset, self.secret)

    def types_the_code(self) -> str:
        return self.code()


def enrol(front: FrontDoor, bob: Person) -> Login:
    return front.log_in(bob.types_the_code, "")


def is_offered(login: Login) -> bool:
    return messages.CODE_OF_THE_APP in login.pamh.prompts
