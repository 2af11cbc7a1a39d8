"""The record of a trial lies beside the PAM files, and is looked for nowhere else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Prepared
from tests.support import enabling
from tests.support.enabling import snapshot, totpctl
from tests.support.machine import Machine

pytestmark = pytest.mark.root

PLANTED = "/var/lib/pam_totp/unconfirmed.json"


@pytest.fixture
def machine(prepared: Prepared) -> Iterator[Machine]:
    with enabling.before_enable(prepared.files) as started:
        yield started


@pytest.mark.parametrize("content", ["{}", "", "no record"])
def test_record_planted_in_the_folder_of_the_store_changes_nothing(
    machine: Machine, content: str
) -> None:
    assert 0 == totpctl(machine, "enable", "sshd", "sudo", "--no-confirm").returncode
    machine.write(PLANTED, content)
    machine.run("chmod", "600", PLANTED)
    before = snapshot(machine)
    for words in (("revert", "--if-due"), ("revert",), ("status",), ("enable", "sudo")):
        done = totpctl(machine, *words)
        assert (0, before) == (done.returncode, snapshot(machine)), (words, done.stderr)
    assert "nothing is waiting" in totpctl(machine, "revert").stderr
    assert "nothing is waiting" in totpctl(machine, "confirm", "--yes").stderr
    assert content == machine.read(PLANTED)
