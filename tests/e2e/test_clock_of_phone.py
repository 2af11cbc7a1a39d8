"""A phone whose time zone is wrong: what the log and doctor say of it."""

from __future__ import annotations

import pytest

from tests.e2e.doctor_machine import Doctored, findings

pytestmark = pytest.mark.root
CODE = "Verification code: "


def test_two_codes_of_another_time_zone_are_named_until_a_right_one_comes(
    doctored: Doctored,
) -> None:
    def named() -> bool:
        return "clock-of-phone" in {finding["check"] for finding in findings(doctored)}

    alice = doctored.alice
    terminal = doctored.spawn("sudo", "-k", "id", "-un", user="alice")
    terminal.answer("password for alice: ", alice.password)
    terminal.answer(CODE, alice.code(120))
    terminal.answer(CODE, alice.code(121))
    assert "1 h ahead of this machine" in doctored.log.wait_for("event=rejected")
    terminal.expect_exact(CODE)
    assert named()
    terminal.sendline(alice.code())
    assert "root" == terminal.rest().strip()
    assert not named()
