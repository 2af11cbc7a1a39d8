"""Enrolment while somebody logs in: however it ends, nothing is kept by halves."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pam_totp.core import recovery
from pam_totp.core.users import EXEMPT, MUST_ENROLL, SUSPENDED, UserRecord
from pam_totp.login import first_login, messages
from pam_totp.store.sqlite.store import Transaction
from pam_totp.system.errors import StoreUnavailable
from tests.support.place import code_at, wrong_code
from tests.unit.fake_pam import PamException
from tests.unit.front_door import PASSWORD, FrontDoor, Person, enrol

pytestmark = pytest.mark.usefixtures("no_picture")
WRONG = "That is not the code the app should show now. Is the phone's clock right?"


@pytest.mark.parametrize("how", [PamException, None], ids=["it fails", "no answer"])
@pytest.mark.parametrize("before", [None, UserRecord("bob", MUST_ENROLL)], ids=repr)
@pytest.mark.parametrize("step", ["first code", "second code", "recovery codes"])
def test_a_login_that_is_broken_off_leaves_nothing(
    front: FrontDoor, bob: Person, step: str, before: UserRecord | None, how: object
) -> None:
    if before is not None:
        front.save(before)
    answers = {
        "first code": [how],
        "second code": ["000000" if bob.code() != "000000" else "000001", how],
        "recovery codes": [bob.types_the_code, how],
    }
    entered = front.log_in(*answers[step])
    assert "PAM_CONV_ERR" == entered.result
    assert before == front.record()
    assert "enrolled" not in front.door.log.events()


def test_who_does_not_see_the_secret_does_not_enrol(front: FrontDoor) -> None:
    entered = front.log_in(deaf=PamException)
    assert ("PAM_CONV_ERR", []) == (entered.result, entered.pamh.prompts)


class GoesDeaf(PamException):
    """Nothing can be shown any more, once it has happened."""

    happened = False

    def __bool__(self) -> bool:
        return self.happened


def test_who_does_not_see_the_recovery_codes_does_not_enrol(front: FrontDoor, bob: Person) -> None:
    deaf = GoesDeaf()

    def type_the_code() -> str:
        deaf.happened = True
        return bob.code()

    entered = front.log_in(type_the_code, deaf=deaf)
    assert ("PAM_CONV_ERR", 1) == (entered.result, len(entered.pamh.prompts))
    assert None is front.record()


def test_three_wrong_codes_end_it(front: FrontDoor, bob: Person) -> None:
    entered = front.log_in(*[lambda: wrong_code(bob.secret)] * 3)
    assert "PAM_AUTH_ERR" == entered.result
    assert [WRONG] * 3 == [text for text in entered.messages if text == WRONG]
    assert messages.NO_RIGHT_CODE == entered.messages[-1]
    assert None is front.record()
    assert ["unenrolled", *["rejected"] * 3] == front.door.log.events()
    assert all("reason=enrollment" in line for line in front.door.log.lines()[1:])


@pytest.mark.parametrize("junk", ["", "12345", b"\xff", "0123-4567-89AB-CDEF"])
def test_junk_is_no_code_and_a_right_one_may_follow(
    front: FrontDoor, bob: Person, junk: str
) -> None:
    assert "PAM_SUCCESS" == front.log_in(junk, bob.types_the_code, "").result


@pytest.mark.parametrize("offset", [-2, 2])
def test_a_code_beyond_the_window_is_wrong(front: FrontDoor, bob: Person, offset: int) -> None:
    def late() -> str:
        return code_at(front.door.clock.now + 30 * offset, bob.secret)

    assert "PAM_AUTH_ERR" == front.log_in(late, late, late).result
    assert None is front.record()


def test_a_method_of_sshd_that_answers_with_the_password_ends_it_at_once(
    front: FrontDoor,
) -> None:
    entered = front.log_in(PASSWORD, blind=True)
    assert ("PAM_AUTH_ERR", 1) == (entered.result, len(entered.pamh.prompts))
    assert "sshd_config" in front.door.log.lines()[-1]
    assert None is front.record()


def test_a_password_that_was_typed_twice_ends_nothing(front: FrontDoor, bob: Person) -> None:
    entered = front.log_in(PASSWORD, bob.types_the_code, "")
    assert "PAM_SUCCESS" == entered.result
    assert "That was your password. Enter the code from your app." in entered.messages
    assert "sshd_config" not in front.door.log.text()


def test_of_two_first_logins_at_once_one_is_kept_and_the_other_refused(
    front: FrontDoor, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is hashed for the other one: who opens many would hold up everybody else's."""
    kept: list[UserRecord | None] = []
    hashed: list[str] = []

    def digest(code: str, _salt: bytes) -> bytes:
        hashed.append(code)
        return code.encode().ljust(32)

    monkeypatch.setattr(recovery, "digest", digest)

    def while_the_codes_are_shown() -> str:
        assert "PAM_SUCCESS" == enrol(front, bob).result
        kept.append(front.record())
        return ""

    entered = front.log_in(bob.types_the_code, while_the_codes_are_shown)
    assert ("PAM_AUTH_ERR", messages.OVERTAKEN) == (entered.result, entered.messages[-1])
    assert kept == [front.record()]
    assert f'reason="{first_login.OVERTAKEN}"' in front.door.log.lines()[-1]
    assert recovery.CODES_IN_A_SET == len(hashed)


@pytest.mark.parametrize(
    "after",
    [
        UserRecord("bob", SUSPENDED),
        UserRecord("bob", EXEMPT),
        UserRecord("bob", MUST_ENROLL, updated_at=7),
        None,
    ],
    ids=repr,
)
def test_what_an_administrator_decides_meanwhile_is_not_overruled(
    front: FrontDoor, bob: Person, after: UserRecord | None
) -> None:
    front.save(UserRecord("bob", MUST_ENROLL))

    def meanwhile() -> str:
        with front.place.open() as store, store.transaction("bob") as transaction:
            transaction.save(after)
        return ""

    assert "PAM_AUTH_ERR" == front.log_in(bob.types_the_code, meanwhile).result
    assert after == front.record()


@pytest.mark.parametrize(
    "error", [(StoreUnavailable, "/store.db", "disk full"), (OSError, 28, "No space")], ids=repr
)
@pytest.mark.parametrize("moment", ["save", "__exit__"])
def test_what_cannot_be_kept_denies_and_says_so(
    front: FrontDoor,
    bob: Person,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
    error: tuple[type[Exception], object, object],
) -> None:
    roll_back: Callable[..., None] = Transaction.__exit__

    def fail(self: Transaction, *arguments: object) -> None:
        if moment == "__exit__":
            roll_back(self, OSError, OSError(), None)
        raise error[0](*error[1:])

    def enter() -> str:
        monkeypatch.setattr(Transaction, moment, fail)
        return ""

    entered = front.log_in(bob.types_the_code, enter)
    monkeypatch.undo()
    assert "PAM_AUTHINFO_UNAVAIL" == entered.result
    assert [messages.NOT_KEPT, messages.UNAVAILABLE] == entered.messages[-2:]
    assert None is front.record()
    assert "enrolled" not in front.door.log.events()
