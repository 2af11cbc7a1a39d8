"""What export writes for other programs, read by other programs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pyotp
import pytest

from pam_totp.core import otp
from pam_totp.core.users import Authenticator
from tests.cli.command import Totpctl
from tests.support.place import SECRET, Place

PASSPHRASE = "six words that nobody would ever guess"
AT = 1_800_000_000
# python-pskc checks each MAC before it gives a secret.
READ_PSKC = """
import json, sys
from pskc import PSKC
pskc = PSKC(sys.argv[1])
pskc.encryption.derive_key(sys.stdin.readline().rstrip("\\n"))
print(json.dumps([
    [key.userid, key.friendly_name, key.algorithm.rpartition(":")[2], key.algorithm_suite,
     key.response_length, key.secret.hex(), key.counter, key.time_interval, key.time_drift]
    for key in pskc.keys
]))
"""


@pytest.fixture
def place(place: Place) -> Place:
    """Alice has a phone, a token with a button, and a clock of 8 digits that is behind."""
    place.enrol("alice", SECRET)
    place.enrol("alice", b"button of twenty byt", label="button")
    place.enrol("alice", bytes(range(32)), label="clock")
    with place.open() as store, store.transaction("alice") as transaction:
        assert transaction.record is not None
        phone, button, clock = transaction.record.authenticators
        button = button._replace(id="b", kind=otp.HOTP, last_accepted_step=40)
        clock = clock._replace(id="c", algorithm="SHA256", digits=8, period=60, drift=-2)
        transaction.save(transaction.record._replace(authenticators=(phone, button, clock)))
    return place


def devices(place: Place) -> tuple[Authenticator, ...]:
    with place.open() as store, store.transaction("alice") as transaction:
        assert transaction.record is not None
        return transaction.record.authenticators


def test_python_pskc_reads_each_secret_and_number(
    totpctl: Totpctl, place: Place, tmp_path: Path
) -> None:
    passphrase, file = tmp_path / "passphrase", tmp_path / "alice.xml"
    passphrase.write_text(f"{PASSPHRASE}\n", encoding="utf-8")
    how = ("--format", "pskc", "--passphrase-file", str(passphrase))
    totpctl.done("export", "alice", "--output", str(file), *how)
    done = subprocess.run(
        ["/usr/bin/python3", "-c", READ_PSKC, str(file)],
        input=f"{PASSPHRASE}\n",
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    )
    read = {key[1]: key for key in json.loads(done.stdout)}
    for device in devices(place):
        assert device.secret is not None
        clock = [None, device.period, device.drift]
        assert [
            *("UID=alice", device.label, device.kind, f"HMAC-{device.algorithm}"),
            *(device.digits, device.secret.hex()),
            *([device.counter, None, None] if device.counts else clock),
        ] == read.pop(device.label)
    assert {} == read


def test_pyotp_shows_the_codes_of_each_address(totpctl: Totpctl, place: Place) -> None:
    shown = totpctl.done("export", "alice", "--format", "otpauth", "--yes").out
    for address, device in zip(shown.splitlines(), devices(place), strict=True):
        parsed = pyotp.parse_uri(address)
        assert device.secret is not None
        assert "alice" == parsed.name
        if isinstance(parsed, pyotp.HOTP):
            assert device.counter == parsed.initial_count
            step, code = device.counter, parsed.at(0)
        else:
            assert isinstance(parsed, pyotp.TOTP)
            step, code = AT // device.period, parsed.at(AT)
        assert code == otp.hotp(device.secret, step, device.algorithm, device.digits)
