"""alice is removed, and another alice comes: what her logins meet, and what doctor says of it."""

from __future__ import annotations

import pytest

from tests.e2e import attempts
from tests.e2e.doctor_machine import Doctored, findings

pytestmark = pytest.mark.root


def found(machine: Doctored) -> set[str]:
    return {finding["check"] for finding in findings(machine)}


def test_another_account_of_the_name_is_denied_until_an_administrator_decides(
    doctored: Doctored,
) -> None:
    alice = doctored.alice
    doctored.run("sh", "-ec", "userdel alice; groupdel alice 2>/dev/null || true")
    assert "gone-accounts" in found(doctored)
    assert not {"other-account", "renumbered"} & found(doctored)
    script = (
        "useradd -u 4242 -s /bin/sh -d /home/alice -G sudo alice; chown -R alice /home/alice; "
        f"echo 'alice:{alice.password}' | chpasswd -c SHA256"
    )
    doctored.run("sh", "-ec", script)
    assert {"other-account", "administrators"} <= found(doctored)
    assert "gone-accounts" not in found(doctored)
    outcome = attempts.try_all(doctored, alice)
    assert attempts.Outcome(frozenset(attempts.WAYS), frozenset()) == outcome
    refused = doctored.run("totpctl", "enroll", "alice", "--label=new", "--no-confirm", check=False)
    assert 1 == refused.returncode
    assert "totpctl rebind alice; else: totpctl reset alice" in refused.stderr
    doctored.run("totpctl", "rebind", "alice", "--yes")
    assert "other-account" not in found(doctored)
    assert attempts.FINE == attempts.try_all(doctored, alice)


def test_the_enrollment_follows_a_renamed_account_by_the_fix_of_doctor(doctored: Doctored) -> None:
    alice = doctored.alice
    for old, new in (("alice", "alicia"), ("alicia", "alice")):
        doctored.run("usermod", "-l", new, old)
        (gone,) = (one for one in findings(doctored) if one["check"] == "gone-accounts")
        fix = f"if it was renamed to {new}, run: totpctl rename {old} {new}; if it is gone for good"
        assert gone["fix"].startswith(fix)
        if new == "alice":
            outcome = attempts.try_all(doctored, alice)
            assert attempts.Outcome(frozenset(attempts.WAYS), frozenset()) == outcome
        doctored.run("totpctl", "rename", old, new)
        assert "gone-accounts" not in found(doctored)
    assert attempts.FINE == attempts.try_all(doctored, alice)
