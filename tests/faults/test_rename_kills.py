"""kill -9 at every step of a rename: the record has the old name or the new one, whole."""

from __future__ import annotations

from admin_cli import running
from admin_cli.main import totpctl
from tests.faults.processes import Meet
from tests.faults.test_import_kills import in_a_process
from tests.faults.test_import_kills import people as people
from tests.faults.tracing import kills
from tests.support.place import SECRET, Place

RECOVERY = "7K2Q-0000-ABCD-WXYZ"


def test_a_killed_rename_has_left_one_whole_record(place: Place, people: None) -> None:
    place.enrol("alice", recovery_codes=(RECOVERY,), uid=4000)
    command = ["--config", str(place.config_path), "rename", "alice", "alicia"]

    def renamed(pause: Meet) -> int:
        pause()
        return running.run(totpctl, command)

    states = set()
    for result, killed in kills(place.store_path.parent, renamed):
        assert killed or 0 == result
        with place.open() as store:
            assert [] == store.check()
            (record,) = store.records()
        assert (1, 1) == (len(record.authenticators), len(record.recovery_digests))
        states.add(record.name)
        if record.name == "alice":
            assert 0 == in_a_process(*command)
        with place.open() as store, store.transaction("alicia") as transaction:
            assert transaction.record is not None
            (phone,) = transaction.record.authenticators
            assert SECRET == phone.secret
    assert {"alice", "alicia"} == states
