"""Unknown names are counted as users are, and never get in."""

from __future__ import annotations

import time

import pytest

from pam_totp.core import verifier
from tests.contract.backend import Backend
from tests.contract.questions import WRONG, code, judged, ready
from tests.contract.sample_records import NOW, ODD_NAMES


class KeepsDecoys:
    @pytest.fixture(autouse=True)
    def _time_stands_still(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(time, "time", lambda: NOW + 0.9)

    def test_a_decoy_counts_failures_for_its_name_alone(self, backend: Backend) -> None:
        with backend.open() as store:
            for number in range(1, 4):
                verdict = judged(store, WRONG, "mallory", is_decoy=True)
                assert verdict is not None
                assert verifier.REJECTED == verdict.outcome
                assert number == store.admission("mallory").decoy.failures
            assert 0 == store.admission("trent").decoy.failures
        with backend.open() as store:
            assert 3 == store.admission("mallory").decoy.failures
            assert store.load("mallory") is None
            assert [] == list(store.records())

    def test_a_decoy_is_throttled_as_a_user_is(self, backend: Backend) -> None:
        backend.save(ready())
        outcomes = {}
        with backend.open() as store:
            for name in ("alice", "mallory"):
                is_decoy = name == "mallory"
                verdicts = [judged(store, WRONG, name, is_decoy=is_decoy) for _ in range(7)]
                outcomes[name] = [verdict and verdict.outcome for verdict in verdicts]
            record = store.admission("alice").record
            assert record is not None
            assert record.throttled_until == store.admission("mallory").decoy.throttled_until
        assert outcomes["alice"] == outcomes["mallory"]
        assert [verifier.THROTTLED] == outcomes["mallory"][-1:]

    def test_a_decoy_never_accepts_not_even_the_code_of_its_user(self, backend: Backend) -> None:
        backend.save(ready())
        with backend.open() as store:
            verdict = judged(store, code(), is_decoy=True)
        assert verdict is not None
        assert verifier.REJECTED == verdict.outcome

    def test_a_decoy_is_the_same_for_the_same_name_and_differs_between_names(
        self, backend: Backend
    ) -> None:
        with backend.open() as one, backend.open() as other:
            assert one.admission("mallory").decoy == other.admission("mallory").decoy
            seen = {one.admission(name).decoy.recovery_salt for name in ODD_NAMES}
        assert len(ODD_NAMES) == len(seen)
        assert {16} == {len(salt) for salt in seen if salt is not None}

    def test_answers_for_decoys_of_any_name_are_counted(self, backend: Backend) -> None:
        with backend.open() as store:
            for name in (*ODD_NAMES, "", "not utf-8 \udcff"):
                judged(store, WRONG, name, is_decoy=True)
                assert 1 <= store.admission(name).decoy.failures
