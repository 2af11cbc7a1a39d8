"""A rotation as the command does it once confirmed, and what has to hold after any of its steps."""

from __future__ import annotations

import os
from pathlib import Path

from admin_cli.commands import rotation
from admin_cli.session import Session
from pam_totp.login.flow import PAM_SUCCESS
from pam_totp.store import sealing
from tests.faults.fake_pam import Clock, log_in
from tests.support.place import Place

PEOPLE = {"alice": b"the secret of alice.", "bob": b"the secret of bob..."}


def with_people(folder: Path) -> Place:
    inside = folder / "inside"
    inside.mkdir()
    place = Place(inside)
    for name, secret in PEOPLE.items():
        place.enrol(name, secret)
    with place.open() as opened, opened.decoy_transaction("mallory") as transaction:
        transaction.save(transaction.record._replace(failures=3))
    return place


def rotate(place: Place) -> str:
    """Do what the command does once it has been confirmed; return how it ended."""
    session = Session(str(place.config_path))
    try:
        rotation._rotate(session, sealing.read_sealer(str(place.key_path)))
    except (rotation.PamTotpError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return "done"


def assert_logins_work(place: Place, clock: Clock) -> None:
    clock.now += 30
    for name, secret in PEOPLE.items():
        assert PAM_SUCCESS == log_in(place, clock.code(0, secret), name)
    with place.open() as opened:
        assert [] == opened.check()
        assert 3 == opened.admission("mallory").decoy.failures


def assert_finished(place: Place, old: sealing.Sealer, envelopes: set[bytes]) -> None:
    sealer = place.sealer()
    assert () == sealer.others
    assert old.key_id != sealer.key_id
    with place.open() as opened:
        assert [] == opened.check()
    left = b"".join(path.read_bytes() for path in place.folder.rglob("*") if path.is_file())
    assert not [envelope for envelope in envelopes if envelope[29:] in left]
    assert old.key_file().strip() not in left
    assert ["pam_totp.conf", "pam_totp.key", "store"] == sorted(os.listdir(place.folder))


def envelopes_of(place: Place) -> set[bytes]:
    with place.open() as opened:
        rows = opened.database.execute("SELECT sealed_secret FROM authenticators")  # type: ignore[attr-defined]
    return {envelope for (envelope,) in rows}
