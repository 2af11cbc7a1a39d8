"""Somebody who runs totpctl me, against the process that serves it, in this one."""

from __future__ import annotations

import json
import os
import pwd
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from pam_totp.service import own_caller, own_service, own_wire, wire
from pam_totp.service.own_wire import End, OwnRequest
from pam_totp.service.worker import Peer
from pam_totp.system import audit
from pam_totp.system.config import Arguments
from tests.cli.terminal import secret_of
from tests.support.logs import LogSocket
from tests.support.place import Place, code_now

UID = 4321
CODE, OTHER_CODE = "ABCD-EFGH-JKMN-PQRS", "ABCD-EFGH-JKMN-PQRT"
TIMEOUT = 60
Answer = str | Callable[[], str]


class Told(NamedTuple):
    """All that came back: how it ended, what was shown, what was asked, and the state."""

    end: End | None
    shown: list[str]
    prompts: list[str]
    state: dict[str, object] | None

    @property
    def problem(self) -> str:
        assert self.end is not None
        return self.end.problem


class Person:
    """Runs totpctl me as the account with UID; ``codes`` of an app with the secret shown last."""

    def __init__(self, place: Place, log: LogSocket, lock: Path) -> None:
        self.place = place
        self.log = log
        self.lock = lock
        self.secret = b""

    def app(self) -> str:
        return code_now(secret=self.secret)

    def asks(self, kind: str, *answers: Answer, label: str = "", uid: int = UID) -> Told:
        return self.sends(own_wire.own_request(OwnRequest(kind, label)), *answers, uid=uid)

    def sends(self, packet: bytes, *answers: Answer, uid: int = UID) -> Told:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        thread = threading.Thread(target=self.serve, args=(theirs, Peer(os.getpid(), uid)))
        with ours:
            ours.settimeout(TIMEOUT)
            thread.start()
            ours.send(packet)
            told = self._converse(ours, list(answers))
        thread.join(TIMEOUT)
        assert not thread.is_alive()
        return told

    def serve(self, connection: socket.socket, peer: Peer) -> None:
        arguments = Arguments(path=str(self.place.config_path))
        own_service.serve(connection, peer, arguments=arguments, lock=str(self.lock))

    def _converse(self, ours: socket.socket, answers: list[Answer]) -> Told:
        shown, prompts, state = [], [], None
        while packet := ours.recv(wire.MAX_PACKET):
            told = own_wire.parse_told(packet)
            if isinstance(told, End):
                return Told(told, shown, prompts, state)
            if isinstance(told, bytes):
                state = json.loads(told)
            elif told.style in (1, 2):
                prompts.append(told.text)
                if not answers:
                    return Told(None, shown, prompts, state)
                answer = answers.pop(0)
                ours.send(own_wire.answer(answer if isinstance(answer, str) else answer()))
            else:
                shown.append(told.text)
                if told.text.startswith("Secret: "):
                    self.secret = secret_of("?secret=" + told.text[8:].replace(" ", ""))
                ours.send(own_wire.taken())
        return Told(None, shown, prompts, state)


def person_of(
    place: Place, log: LogSocket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Person:
    """Return alice, whom the file of accounts names with UID, and bob, with the next one."""
    accounts = {"alice": UID, "bob": UID + 1, "root": 0, "nobody": 65534}
    passwd = tmp_path / "passwd"
    passwd.write_text("".join(f"{name}:x:{uid}:1::/:/bin/sh\n" for name, uid in accounts.items()))

    def by_name(name: str) -> pwd.struct_passwd:
        uid = accounts[name]
        return pwd.struct_passwd((name, "x", uid, 1, "", "/", "/bin/sh"))

    def by_uid(uid: int) -> pwd.struct_passwd:
        return by_name({uid: name for name, uid in accounts.items()}[uid])

    monkeypatch.setattr(pwd, "getpwnam", by_name)
    monkeypatch.setattr(pwd, "getpwuid", by_uid)
    monkeypatch.setattr("pam_totp.login.identity.PASSWD_FILE", str(passwd))
    monkeypatch.setattr(own_caller, "where_of", lambda _peer: "198.51.100.7, pts/3")
    monkeypatch.setattr(audit, "program", "pam_totp")
    place.configure(self_service="yes")
    place.enrol("alice", recovery_codes=(CODE, OTHER_CODE), uid=UID)
    return Person(place, log, tmp_path / "lock")
