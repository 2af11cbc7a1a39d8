"""Damaged files of every format: a reader refuses them or reads tokens, and raises nothing else.

Some of each format; a minute each night.
"""

from __future__ import annotations

import copy
import itertools
import json
import random
import time
from typing import Any

import pytest

from admin_cli.commands.importing import plan
from admin_cli.errors import CommandFailed
from admin_cli.exporting import sealed_file
from admin_cli.importing import recognition, supported
from admin_cli.importing.formats import FORMATS
from admin_cli.importing.sources import TokenFile
from admin_cli.importing.tokens import Contents
from pam_totp.core import otp
from pam_totp.core.users import Authenticator, UserRecord
from tests.support import thorough
from tests.support.each import each
from tests.support.import_samples import FILES

SECONDS = min(thorough.FUZZ_SECONDS, 60)
DAMAGED = 150  # of a format, where no time is set
NOW = 1_800_000_000
SMALL = 10_000  # bytes: of larger files few are tried in that time
KEY = bytes.fromhex("00112233445566778899aabbccddeeff")
ALICE = UserRecord("alice", authenticators=(Authenticator("id", "phone", KEY),))
PIECES = (b"\0", b"\xff\xfe", b"\n", b'"', b"<", b"[" * 50, b"-1", b"9" * 30, b"%00", b"=", b"\xc3")


VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 10**18, 10**30, 0.5, 6.0, 1e300, "", "0", "-1", "\ud800", "é", "a" * 300),
    *([], {}, [[]], [1] * 20, [-129], {"secret": 1}, "steam", "HOTP", "otpauth://totp/a?secret=MY"),
)


def with_another_value(document: Any, chance: random.Random) -> Any:
    """Return ``document`` with one value, wherever it is, replaced, or gone."""
    if not document or not isinstance(document, dict | list) or chance.random() < 0.1:
        return copy.deepcopy(chance.choice(VALUES))
    name = chance.choice(list(document if isinstance(document, dict) else range(len(document))))
    if chance.random() < 0.1:
        del document[name]
    elif isinstance(document[name], dict | list):
        document[name] = with_another_value(document[name], chance)
    else:
        document[name] = copy.deepcopy(chance.choice(VALUES))
    return document


def seeds(name: str) -> list[bytes]:
    """Return good files of the format ``name``; of a picture there is one."""
    if name == recognition.OWN:
        return [sealed_file.seal([ALICE], "qwerty")]
    contents = [sample.path.read_bytes() for sample in FILES]
    return [data for data in contents if len(data) < SMALL and found(data) == name]


def found(data: bytes) -> str:
    try:
        return read(data, "")[0]
    except CommandFailed:
        return ""


def read(data: bytes, name: str) -> tuple[str, Contents]:
    unlocking = FILES[0].unlocking()._replace(key=lambda: KEY, passphrase=lambda: "qwerty")
    return recognition.read(TokenFile("file", data, "alice"), unlocking, name)


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Return ``data`` with a few bytes changed, cut out, doubled or put in; of JSON, a value."""
    if data.lstrip()[:1] in (b"{", b"[") and chance.random() < 0.5:
        document = json.loads(data)
        for _ in range(chance.randint(1, 3)):
            document = with_another_value(document, chance)
        return json.dumps(document).encode()
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(changed) + 1)
        end = min(len(changed), at + chance.choice((1, 1, 4, 40)))
        changed[at:end] = chance.choice(
            (b"", bytes(changed[at:end]) * 2, chance.randbytes(end - at), chance.choice(PIECES))
        )
    return bytes(changed)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of our own asks for a tenth of a second before it is opened."""
    monkeypatch.setattr(sealed_file, "_key", lambda _passphrase, _salt: bytes(32))


@each("name", FORMATS)
def test_a_damaged_file_is_refused_or_read(name: str) -> None:
    good = seeds(name)
    assert good
    chance, end = random.Random(name), time.monotonic() + SECONDS
    if SECONDS:
        chance.seed()  # others each night
    for number in itertools.count():
        if time.monotonic() >= end and number >= DAMAGED:
            break
        data = damaged(chance.choice(good), chance)
        try:
            _, contents = read(data, chance.choice(("", name)))
        except CommandFailed as error:
            assert_words(str(error), data)
            continue
        for rejected in contents.rejected:
            assert_words(rejected.reason, data)
        kept = [token for token in contents.tokens if not supported.refusal(token)]
        for token in kept:  # it can always be verified
            step = token.last_accepted_step or 0
            otp.hotp(token.secret, max(step + token.drift, 0), token.algorithm, token.digits)
        record, planned = plan.merged(UserRecord("alice"), kept[:100], None, NOW)
        assert len(planned) == len(kept[:100])
        assert all(a.label.isprintable() for a in record.authenticators), data


def assert_words(reason: str, data: bytes) -> None:
    assert reason, data
    assert reason.isprintable(), (reason, data)
