"""A first enrollment at a login of a host of a fleet, with a real database."""

from __future__ import annotations

import time

import pytest

from pam_totp.core import verifier
from pam_totp.core.enrollment import Enrollment
from pam_totp.core.users import Account
from pam_totp.core.verifier import Answer, Policy
from pam_totp.login.driver import BlockingDriver
from pam_totp.store import LoginAttempt
from pam_totp.system import config, issuing
from pam_totp.system.errors import StoreRefused
from tests.fleet.hosts import SOURCE
from tests.fleet.members import Member
from tests.support.place import Place, code_now
from tests.support.postgres import Database

ACCOUNT = Account(1000, is_local=True)


@pytest.fixture
def driver(place: Place, database: Database) -> BlockingDriver:
    member = Member(place, database)
    driver = BlockingDriver()
    driver.read_config(config.parse_arguments([f"config={member.config_path}"]))
    return driver


def allow(database: Database, *, first_enrollment: bool) -> None:
    database.execute("UPDATE totp.policy SET first_enrollment = %s", (first_enrollment,))


def enrollment_of(driver: BlockingDriver, codes: list[str]) -> Enrollment:
    hashed = driver.hash_codes("bob", codes, None)
    assert hashed is not None
    new = issuing.new_authenticator("phone", "SHA1", 6, 30, int(time.time()))
    return Enrollment(new, *hashed, ACCOUNT)


def outcome(driver: BlockingDriver, answer: Answer) -> str:
    attempt = LoginAttempt("bob", answer, Policy(), is_decoy=False, account=ACCOUNT, source=SOURCE)
    if answer.kind == verifier.RECOVERY_CODE:
        attempt = driver.hash_answer(attempt)
    verdict = driver.verify(attempt)
    assert verdict is not None
    return verdict.outcome


def test_where_the_policy_allows_it_an_enrollment_is_kept_once_and_for_all_hosts(
    driver: BlockingDriver, database: Database, place: Place
) -> None:
    allow(database, first_enrollment=True)
    known = driver.look_up_user("bob", "")
    assert (None, True) == (known.record, known.may_enroll)
    codes = driver.issue_codes()
    enrollment = enrollment_of(driver, codes)
    assert driver.enroll_first("bob", enrollment, known.record)
    assert not driver.enroll_first("bob", enrollment, known.record)
    assert driver.hash_codes("bob", codes, known.record) is None  # nothing is hashed for nobody
    secret = enrollment.authenticator.secret
    assert secret is not None
    assert verifier.ACCEPTED == outcome(driver, Answer(verifier.CODE, code_now(secret=secret)))
    recovery = verifier.classify(codes[0], frozenset())
    assert [verifier.RECOVERY_USED, verifier.REJECTED] == [
        outcome(driver, recovery) for _ in range(2)
    ]
    with place.open() as local:
        assert local.load("bob") is None


def test_where_the_policy_does_not_allow_it_the_login_is_told_before_and_the_database_refuses(
    driver: BlockingDriver, database: Database
) -> None:
    allow(database, first_enrollment=False)
    assert not driver.look_up_user("bob", "").may_enroll
    with pytest.raises(StoreRefused, match="policy"):
        driver.enroll_first("bob", enrollment_of(driver, driver.issue_codes()), None)
