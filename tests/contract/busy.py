"""Whoever meets another writer is told so, after as long as they wait; readers wait for nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from pam_totp.core.users import UserRecord
from pam_totp.system.errors import StoreBusy, StoreUnavailable
from tests.contract.backend import BackendOnDisk
from tests.contract.questions import ENROLLMENT, WRONG, judged, ready

if TYPE_CHECKING:
    from pam_totp.store import Store


def begin_a_batch(store: Store) -> None:
    with store.batch():
        pytest.fail("two write at once")


WRITING: dict[str, Callable[[Store], object]] = {
    "verify": lambda store: judged(store, WRONG),
    "verify a decoy": lambda store: judged(store, WRONG, is_decoy=True),
    "enroll_first": lambda store: store.enroll_first("bob", ENROLLMENT, None),
    "have_told": lambda store: store.have_told("alice", 1),
    "batch": begin_a_batch,
}


class TellsOfOthers:
    @pytest.mark.parametrize("question", WRITING)
    def test_without_patience_another_writer_is_told_of_at_once(
        self, backend: BackendOnDisk, question: str
    ) -> None:
        backend.save(ready()._replace(untold=1))
        with backend.open(patience=0) as store, backend.open() as other:
            with other.transaction("carol") as transaction:
                started = time.monotonic()
                with pytest.raises(StoreBusy, match="locked by another process") as raised:
                    WRITING[question](store)
                assert 2 > time.monotonic() - started
                assert raised.value.hint
                assert isinstance(raised.value, StoreUnavailable)
                transaction.save(UserRecord("carol"))
            with store.batch():  # the connection is as good as before
                judged(store, WRONG)
        record = backend.load("alice")
        assert record is not None
        assert (1, 2) == (record.failures, record.untold)
        assert backend.load("bob") is None
        assert backend.load("carol") is not None

    def test_as_long_as_patience_lasts_another_writer_is_waited_for(
        self, backend: BackendOnDisk
    ) -> None:
        backend.save(ready())
        with backend.open() as other:
            transaction = other.transaction("carol")
            transaction.__enter__()
            with backend.open(patience=0.3) as store:
                started = time.monotonic()
                with pytest.raises(StoreBusy):
                    judged(store, WRONG)
                assert 0.2 < time.monotonic() - started < 3
            judging = threading.Thread(target=lambda: self._judge(backend))
            judging.start()
            time.sleep(0.1)
            transaction.__exit__(None, None, None)
            judging.join(60)
        record = backend.load("alice")
        assert record is not None
        assert 1 == record.failures

    def _judge(self, backend: BackendOnDisk) -> None:
        with backend.open(patience=30) as store:
            judged(store, WRONG)

    def test_who_only_reads_waits_for_no_writer(self, backend: BackendOnDisk) -> None:
        backend.save(ready()._replace(failures=2))
        with backend.open(patience=0) as store, backend.open() as other:
            with other.transaction("alice") as transaction:
                assert transaction.record is not None
                transaction.save(transaction.record._replace(failures=3))
                record = store.admission("alice").record
                assert record is not None
                assert 2 == record.failures
            record = store.admission("alice").record
        assert record is not None
        assert 3 == record.failures
