"""A person who moves to another machine with totpctl export and import logs in there as before."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from pam_totp.core import otp
from tests.cli.command import Totpctl
from tests.support import hosts
from tests.support.installation import Installation
from tests.support.logs import LogSocket
from tests.support.pam_stack import ME, PAM_AUTH_ERR, PAM_SUCCESS, Stack
from tests.support.place import Place, code_now


@pytest.fixture
def elsewhere(tmp_path: Path) -> Place:
    """Another machine's configuration, key and store."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return Place(folder)


# What moves is the same whoever runs the hook.
@hosts.only(hosts.SERVICE)
def test_phone_and_recovery_codes_go_on_and_a_used_code_stays_used(
    stack: Stack,
    place: Place,
    elsewhere: Place,
    installed: Installation,
    host: str,
    log: LogSocket,
    tmp_path: Path,
) -> None:
    here, there = Totpctl(place, log.path), Totpctl(elsewhere, log.path)
    here.digests = ""
    enrolled = here.done("enroll", ME, "--no-confirm", "--json").json()
    secret = base64.b32decode(enrolled["secret"])
    code = code_now(secret=secret)
    assert PAM_SUCCESS == stack.authenticate(code).code
    (phone,) = place.record(ME).authenticators
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("six words that nobody would guess\n", encoding="utf-8")
    file = str(tmp_path / "me.export")
    how = ("--passphrase-file", str(passphrase))
    here.done("export", ME, "--output", file, *how)
    there.done("import", file, *how)

    other = Stack(tmp_path / "pam.elsewhere", installed.module(host), elsewhere.config_path)
    other.probe("attempts=1", "window=10")  # however long it took until here
    assert PAM_AUTH_ERR == other.authenticate(code).code
    following = otp.hotp(secret, phone.last_accepted_step + 1)
    assert PAM_SUCCESS == other.authenticate(following).code
    old = enrolled["recovery_codes"][0]
    assert PAM_SUCCESS == other.authenticate(old).code
    assert PAM_AUTH_ERR == other.authenticate(old).code
    assert len(enrolled["recovery_codes"]) - 1 == len(elsewhere.record(ME).recovery_digests)
