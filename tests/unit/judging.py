"""What comes of one answer at a store, without anybody who is asked for it."""

from __future__ import annotations

from pam_totp.core.verifier import RECOVERY_CODE, Answer, Verdict
from pam_totp.login.driver import BlockingDriver
from pam_totp.system import config
from pam_totp.system.audit import Source
from tests.support.place import Place

SOURCE = Source("sshd:auth", "alice", "198.51.100.7")


def judged(place: Place, name: str, answer: Answer, *, is_decoy: bool = False) -> Verdict:
    driver = BlockingDriver()
    arguments = config.parse_arguments([f"config={place.config_path}"])
    policy = driver.read_config(arguments).config.policy()
    while True:
        hashed = answer
        if answer.kind == RECOVERY_CODE:
            hashed = driver.hash_answer(name, answer, policy, is_decoy=is_decoy, place=SOURCE.place)
        verdict = driver.verify(
            name, hashed, policy, is_decoy=is_decoy, account=None, source=SOURCE
        )
        if verdict is not None:
            return verdict
