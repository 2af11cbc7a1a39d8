"""What comes of one answer at a store, without anybody who is asked for it."""

from __future__ import annotations

from pam_totp.core.verifier import RECOVERY_CODE, Answer, Verdict
from pam_totp.login.driver import BlockingDriver
from pam_totp.store import LoginAttempt
from pam_totp.system import config
from pam_totp.system.audit import Source
from tests.support.place import Place

SOURCE = Source("sshd:auth", "alice", "198.51.100.7")


def judged(place: Place, name: str, answer: Answer, *, is_decoy: bool = False) -> Verdict:
    driver = BlockingDriver()
    arguments = config.parse_arguments([f"config={place.config_path}"])
    policy = driver.read_config(arguments).config.policy()
    attempt = LoginAttempt(name, answer, policy, SOURCE, is_decoy=is_decoy)
    while True:
        is_hashed = answer.kind == RECOVERY_CODE
        verdict = driver.verify(driver.hash_answer(attempt) if is_hashed else attempt)
        if verdict is not None:
            return verdict
