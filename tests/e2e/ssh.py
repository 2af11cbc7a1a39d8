"""An sshd set up as an example says."""

from __future__ import annotations

from tests.support.logs import fields
from tests.support.machine import Machine
from tests.support.place import ROOT

PASSWORD = "Password: "


CODE = "Verification code: "


DENIED = "Permission denied"


ACCEPTED = ("event=accepted", "user=alice")


def set_up(machine: Machine, example: str) -> None:
    """Use one pair of examples: a PAM file and an sshd_config.d file."""
    packaging = ROOT / "packaging"
    machine.use_pam("sshd", (packaging / "pam.d" / f"sshd-{example}").read_text("utf-8"))
    machine.start_sshd((packaging / "sshd_config.d" / f"{example}.conf").read_text("utf-8"))


def our_events(machine: Machine) -> list[str]:
    """Return what pam_totp logged of logins, without what totpctl did before."""
    return [fields(line)["event"] for line in machine.log.lines() if "pam_totp(sshd:" in line]
