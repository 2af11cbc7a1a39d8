"""Many logins at the same moment, each in a process of its own, all past the prompt together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from pam_totp.core import otp, recovery
from pam_totp.login.flow import PAM_AUTH_ERR, PAM_MAXTRIES, PAM_SUCCESS
from tests.faults.fake_pam import Clock, log_in
from tests.faults.processes import Meet, together
from tests.support import thorough
from tests.support.place import SECRET, Place

LOGINS = 40 if thorough.NIGHTLY else 24
ROUNDS = 5 if thorough.NIGHTLY else 1
RECOVERY_CODE = "0123-4567-89AB-CDEF"


def all_together(meet: Meet, answer: str) -> Iterator[str]:
    """Answer when everybody has been asked."""
    meet()
    yield answer


@pytest.mark.parametrize("round_number", range(ROUNDS))
def test_one_code_lets_exactly_one_login_in(place: Place, clock: Clock, round_number: int) -> None:
    place.enrol("alice")
    code = clock.code()

    def try_it(_number: int, meet: Meet) -> int:
        return log_in(place, all_together(meet, code))

    codes = Counter(together(LOGINS, try_it))
    assert {PAM_SUCCESS: 1, PAM_AUTH_ERR: LOGINS - 1} == codes
    assert clock.now // 30 == place.record("alice").authenticators[0].last_accepted_step
    assert 0 == place.record("alice").failures


@pytest.mark.parametrize("round_number", range(ROUNDS))
def test_one_code_of_a_counter_lets_exactly_one_login_in(place: Place, round_number: int) -> None:
    place.enrol("alice")
    token_at(place, 40)

    def try_it(_number: int, meet: Meet) -> int:
        return log_in(place, all_together(meet, otp.hotp(SECRET, 42)))

    codes = Counter(together(LOGINS, try_it))
    assert {PAM_SUCCESS: 1, PAM_AUTH_ERR: LOGINS - 1} == codes
    assert 43 == place.record("alice").authenticators[0].counter
    assert 0 == place.record("alice").failures


def test_a_button_that_is_pressed_meanwhile_uses_no_code_twice(place: Place) -> None:
    """A token, many logins, and an administrator who looks for its counter at the same moment."""
    place.configure(throttle_after=100)
    place.enrol("alice")
    token_at(place, 0)

    def try_it(number: int, meet: Meet) -> int:
        if number == LOGINS - 1:
            meet()
            resynchronise(place, 3)
            return -1
        return log_in(place, all_together(meet, otp.hotp(SECRET, number % 5)))

    codes = Counter(together(LOGINS, try_it))
    record = place.record("alice")
    assert 1 <= codes[PAM_SUCCESS] <= 5
    assert record.authenticators[0].counter in (4, 5)
    assert [] == [
        number for number in range(4) if PAM_SUCCESS == log_in(place, otp.hotp(SECRET, number))
    ]


def token_at(place: Place, counter: int) -> None:
    """Make alice's phone a token whose next code is that of ``counter``."""
    with place.open() as store, store.transaction("alice") as transaction:
        assert transaction.record is not None
        (phone,) = transaction.record.authenticators
        token = phone._replace(id="token", kind=otp.HOTP, last_accepted_step=counter - 1)
        transaction.save(transaction.record._replace(authenticators=(token,)))


def resynchronise(place: Place, counter: int) -> None:
    """Do what totpctl resync does once it has found ``counter``."""
    with place.open() as store, store.transaction("alice", unseal=False) as transaction:
        assert transaction.record is not None
        (token,) = transaction.record.authenticators
        if counter > token.last_accepted_step:
            changed = token.resynchronised(counter, 0)
            transaction.save(transaction.record.with_changed(changed))


@pytest.mark.parametrize("round_number", range(ROUNDS))
def test_one_recovery_code_lets_exactly_one_login_in(
    place: Place, round_number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They meet again after the digest, which takes longer than the rest of a login."""
    place.configure(throttle_after=100)
    place.enrol("alice", recovery_codes=(RECOVERY_CODE, "7777-7777-7777-7777"))

    digest = recovery.digest

    def try_it(_number: int, meet: Meet) -> int:
        def hash_and_meet(code: str, salt: bytes) -> bytes:
            result = digest(code, salt)
            meet()
            return result

        monkeypatch.setattr(recovery, "digest", hash_and_meet)
        return log_in(place, [RECOVERY_CODE])

    codes = Counter(together(LOGINS, try_it))
    assert {PAM_SUCCESS: 1, PAM_AUTH_ERR: LOGINS - 1} == codes
    assert 1 == len(place.record("alice").recovery_digests)
    assert PAM_AUTH_ERR == log_in(place, RECOVERY_CODE)
    assert PAM_SUCCESS == log_in(place, "7777-7777-7777-7777")


@pytest.mark.parametrize("round_number", range(ROUNDS))
def test_different_users_at_once_all_get_in(place: Place, clock: Clock, round_number: int) -> None:
    secrets = [bytes([number]) * 20 for number in range(LOGINS)]
    for number, secret in enumerate(secrets):
        place.enrol(f"user{number}", secret)

    def try_it(number: int, meet: Meet) -> int:
        code = clock.code(0, secrets[number])
        return log_in(place, all_together(meet, code), f"user{number}")

    assert [PAM_SUCCESS] * LOGINS == together(LOGINS, try_it)
    with place.open() as store:
        assert [] == store.check()


def test_two_devices_of_a_user_at_once_both_get_in(place: Place, clock: Clock) -> None:
    other = b"another secret of 20"
    place.enrol("alice")
    place.enrol("alice", other, label="tablet")
    codes = [clock.code(), clock.code(0, other)]

    def try_it(number: int, meet: Meet) -> int:
        return log_in(place, all_together(meet, codes[number % 2]))

    codes_returned = Counter(together(LOGINS, try_it))
    assert {PAM_SUCCESS: 2, PAM_AUTH_ERR: LOGINS - 2} == codes_returned


@pytest.mark.parametrize("user", ["alice", "mallory", "nobody"])
def test_of_many_wrong_codes_at_once_five_are_evaluated(
    place: Place, clock: Clock, user: str
) -> None:
    """Of an enrolled user, of one without an authenticator, and of one without an account."""
    place.enrol("alice")
    wrong = clock.wrong_code()

    def try_it(_number: int, meet: Meet) -> int:
        return log_in(place, all_together(meet, wrong), user)

    codes = Counter(together(LOGINS, try_it))
    assert {PAM_AUTH_ERR: 5, PAM_MAXTRIES: LOGINS - 5} == codes
    with place.open() as store:
        record = store.load(user) or store.admission(user).decoy
    assert 5 == record.failures
    assert clock.now + 30 == record.throttled_until


def test_the_right_code_among_wrong_ones_is_never_lost_to_them(place: Place, clock: Clock) -> None:
    """It is accepted, or refused because five wrong ones came first; no write is undone."""
    place.enrol("alice")
    right, wrong = clock.code(), clock.wrong_code()

    def try_it(number: int, meet: Meet) -> int:
        return log_in(place, all_together(meet, right if number == 20 else wrong))

    codes = together(LOGINS, try_it)
    record = place.record("alice")
    used = record.authenticators[0].last_accepted_step == clock.now // 30
    assert used == (codes[20] == PAM_SUCCESS)
    assert codes[20] in (PAM_SUCCESS, PAM_MAXTRIES)
    assert 5 == record.failures


def test_a_login_and_a_removal_at_once_leave_the_user_removed(place: Place, clock: Clock) -> None:
    code = clock.code()
    for _ in range(5):
        place.enrol("alice")

        def try_it(number: int, meet: Meet) -> int:
            if number == 0:
                with place.open() as store:
                    meet()
                    with store.transaction("alice") as transaction:
                        transaction.save(None)
                return -1
            return log_in(place, all_together(meet, code))

        codes = Counter(together(8, try_it))
        assert codes[PAM_SUCCESS] <= 1
        assert {PAM_SUCCESS, PAM_AUTH_ERR, -1} >= set(codes)
        with place.open() as store:
            assert store.load("alice") is None
            assert [] == store.check()
