"""What confirm takes for a login with a code since enable: it asks where there was none."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Prepared
from tests.support import enabling
from tests.support.enabling import CODE, totpctl
from tests.support.machine import Account, Machine

pytestmark = pytest.mark.root

NOBODY = "nobody has logged in with a code since "
ENROLLING = "Code shown by the app: "


@pytest.fixture
def machine(prepared: Prepared) -> Iterator[Machine]:
    with enabling.before_enable(prepared.files) as started:
        yield started


def sudo(machine: Machine, user: Account, answer: str) -> None:
    terminal = machine.spawn("sudo", "-k", "id", "-un", user=user.name)
    terminal.expect("(?i)password.*: ")
    terminal.sendline(user.password)
    terminal.answer(CODE, answer)
    assert "root" in terminal.rest()


def enrol_with_a_code(machine: Machine, name: str) -> Account:
    """Enroll as people do: with the code that the app shows. The next one is good at once."""
    machine.add_user(name, f"horse of {name}", "--groups", "sudo")
    terminal = machine.spawn("totpctl", "enroll", name)
    terminal.expect(r"secret: ([A-Z2-7 ]+)")
    said = re.sub(r"[^A-Z2-7]", "", terminal.match.group(1))
    user = Account(name, f"horse of {name}", base64.b32decode(said), [])
    terminal.answer(ENROLLING, user.code())
    assert f"{name} is enrolled" in terminal.rest()
    return user


def confirm_asks(machine: Machine) -> bool:
    done = totpctl(machine, "confirm")
    assert (1 if NOBODY in done.stderr else 0) == done.returncode, done.stderr
    return NOBODY in done.stderr


def test_the_first_login_of_somebody_enrolled_after_enable_counts_and_the_enrolling_code_does_not(
    machine: Machine, alice: Account
) -> None:
    assert alice
    totpctl(machine, "enable", "sudo")
    time.sleep(1.1)
    bob = enrol_with_a_code(machine, "bob")
    assert machine.state("bob")["authenticators"][0]["last_used_at"] is None  # type: ignore[index]
    assert confirm_asks(machine)
    sudo(machine, bob, bob.code(+1))  # of the very next step, or of the one after it
    assert not confirm_asks(machine)


def test_a_recovery_code_used_since_counts_and_one_used_before_does_not(
    machine: Machine, alice: Account
) -> None:
    totpctl(machine, "enable", "sudo", "--no-confirm")
    sudo(machine, alice, alice.recovery_codes[0])
    totpctl(machine, "enable", "login", "--force")
    assert confirm_asks(machine)
    totpctl(machine, "unlock", "alice")
    assert confirm_asks(machine)
    sudo(machine, alice, alice.recovery_codes[1])
    assert not confirm_asks(machine)


def test_a_code_used_before_does_not_count(machine: Machine, alice: Account) -> None:
    totpctl(machine, "enable", "sudo", "--no-confirm")
    sudo(machine, alice, alice.code())
    time.sleep(1.1)
    totpctl(machine, "enable", "login", "--force")
    assert confirm_asks(machine)
