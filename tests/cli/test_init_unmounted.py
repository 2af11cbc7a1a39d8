"""totpctl init on a machine whose disk with the store is not there."""

from __future__ import annotations

import pytest

from tests.support.machine import Machine

STORE = "/var/lib/pam_totp"


@pytest.mark.root
def test_no_empty_store_is_made_where_a_disk_is_missing(machine: Machine) -> None:
    machine.install_product()
    machine.run("rm", "-r", STORE)
    machine.write("/etc/fstab", f"tmpfs {STORE} tmpfs mode=700 0 0\n")
    refused = machine.run("totpctl", "init", check=False)
    assert 1 == refused.returncode
    assert f"hint: run: mount {STORE}; " in refused.stderr
    assert 1 == machine.run("test", "-e", STORE, check=False).returncode
    machine.run("mkdir", STORE)
    machine.run("mount", STORE)
    machine.run("totpctl", "init")
