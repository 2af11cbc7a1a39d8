"""Alice, a record to verify against, and the answers she may give."""

from __future__ import annotations

import itertools

from pam_totp.core import otp
from pam_totp.core.users import Authenticator, UserRecord
from pam_totp.core.verifier import CODE, RECOVERY_CODE, REJECTED, Answer, Policy, verify

SECRET = b"12345678901234567890"
OTHER_SECRET = b"ABCDEFGHIJKLMNOPQRST"
NOW = 1_700_000_010  # the first second of a step
STEP = NOW // 30
POLICY = Policy()
PHONE = Authenticator("1", "phone", SECRET)
TABLET = Authenticator("2", "tablet", OTHER_SECRET)
ALICE = UserRecord("alice", authenticators=(PHONE,))
SALT = bytes(range(16))
DIGESTS = tuple(bytes([n]) * 32 for n in range(3))
WRONG = Answer(CODE, "000000")


def code(step: int, secret: bytes = SECRET, algorithm: str = "SHA1", digits: int = 6) -> Answer:
    return Answer(CODE, otp.hotp(secret, step, algorithm, digits))


def recovery_code(digest: bytes, salt: bytes | None = SALT) -> Answer:
    return Answer(RECOVERY_CODE, "0123456789ABCDEF", salt, digest)


def fail(record: UserRecord, times: int, now: int = NOW, policy: Policy = POLICY) -> UserRecord:
    """Enter wrong codes, each one when the wait is over."""
    for _ in range(times):
        now = max(now, record.throttled_until)
        verdict, record = verify(record, WRONG, now, policy)
        assert REJECTED == verdict.outcome
    return record


def neighbours_of_one_code(within: int = 10) -> tuple[int, int]:
    """Return two steps at most ``within`` apart that have the same six-digit code."""
    codes = [otp.hotp(SECRET, step) for step in range(within)]
    for step in itertools.count(within):
        new = otp.hotp(SECRET, step)
        if new in codes[-within:]:
            return step - within + codes[-within:].index(new), step
        codes.append(new)
    raise AssertionError
