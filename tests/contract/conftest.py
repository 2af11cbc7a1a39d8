from __future__ import annotations

from collections.abc import Iterator

import pytest

from pam_totp import store
from pam_totp.store.pool import Pool
from pam_totp.store.sqlite import SQLiteStore

pytest.register_assert_rewrite("tests.contract.store_contract")


@pytest.fixture
def keeper(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    """Have this process keep its connections, as a service does."""
    monkeypatch.setattr(SQLiteStore, "connect", SQLiteStore.connect)
    keeper = store.keep_connections()
    yield keeper
    keeper.close_idle(linger=0)
