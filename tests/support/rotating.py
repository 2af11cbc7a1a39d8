"""The steps of a rotation of the sealing key, one by one, and what a store holds then."""

from __future__ import annotations

from pam_totp.store.sealing import Sealer, new_sealer
from tests.contract.raw import connect
from tests.support.place import Place

PEOPLE = {f"user{number}": bytes([number]) * 20 for number in range(20)}


def enrol_people(place: Place) -> None:
    """Enrol everybody in PEOPLE, and a second device."""
    for name, secret in PEOPLE.items():
        place.enrol(name, secret)
    place.enrol("user0", b"of a tablet of user0", label="tablet")


def keep_both(place: Place) -> Sealer:
    """Do the first step of a rotation; return the new key."""
    sealer = place.sealer()
    new = sealer.others[0] if sealer.others else new_sealer(str(place.key_path))
    place.key_path.write_bytes(
        sealer.key_file() if sealer.others else sealer.key_file() + new.key_file()
    )
    return new


def reseal(place: Place) -> int:
    """Do the second step of a rotation."""
    new = keep_both(place)
    with place.open() as opened:
        return opened.reseal(new)


def rotate(place: Place) -> Sealer:
    """Do all three steps; return the new key."""
    new = keep_both(place)
    with place.open() as opened:
        opened.reseal(new)
    place.key_path.write_bytes(new.key_file())
    return new


def secrets(place: Place) -> dict[str, set[bytes | None]]:
    found = {}
    with place.open() as opened:
        for record in opened.records():
            with opened.transaction(record.name) as transaction:
                assert transaction.record is not None
                found[record.name] = {a.secret for a in transaction.record.authenticators}
    return found


def envelopes(place: Place) -> dict[str, bytes]:
    connection = connect(place.store_path)
    rows = connection.execute("SELECT id, sealed_secret FROM authenticators").fetchall()
    rows += connection.execute("SELECT key, value FROM meta WHERE key = 'decoy_key'").fetchall()
    connection.close()
    return dict(rows)
