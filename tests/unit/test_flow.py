"""The login as a generator: what it asks for in which order, and what it never answers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from pam_totp.core import dates
from pam_totp.core.admission import EXEMPT, REQUIRED, GroupRule
from pam_totp.core.users import MUST_ENROLL, SUSPENDED, Account, UserRecord
from pam_totp.core.verifier import Policy, Verdict
from pam_totp.login import flow, messages
from pam_totp.login.flow import (
    PAM_AUTH_ERR,
    PAM_AUTHINFO_UNAVAIL,
    PAM_CONV_ERR,
    PAM_IGNORE,
    PAM_MAXTRIES,
    PAM_SUCCESS,
)
from pam_totp.login.steps import Told, Turn
from pam_totp.store import LoginAttempt
from pam_totp.system.audit import Source
from pam_totp.system.errors import (
    ConversationFailed,
    LoginAborted,
    StoreMissing,
    StoreUnavailable,
)
from tests.support import thorough
from tests.support.each import each
from tests.unit.alice import NOW
from tests.unit.script import ALICE, DIGEST, PASSWORD, REQUEST, Script, code

RECOVERY_CODE = "0123-4567-89AB-CDEF"
WRONG, JUNK = "000000", "junk"
BEGIN = ["read_config", "find_catalog", "look_up_account", "look_up_user"]
WITH_CODES = ALICE._replace(
    recovery_salt=bytes(16), recovery_digests=frozenset((DIGEST, b"another"))
)
ENROLLS = {
    "record": None,
    "settings": {"unenrolled": "enroll"},
    "request": REQUEST._replace(password_given=True),
}


def skips(**more: object) -> dict[str, Any]:
    return {"record": None, "settings": {"unenrolled": "skip", **more}}


# A login: what is known, what is typed; the code, and the steps beyond BEGIN.
LOGINS: dict[str, tuple[dict[str, Any], list[object], int, list[str]]] = {
    "a right code": (
        {},
        [code()],
        PAM_SUCCESS,
        ["take_place", "ask", "verify", "log accepted"],
    ),
    "a wrong code, then a right one": (
        {"settings": {"quiet": True}},
        [WRONG, code()],
        PAM_SUCCESS,
        [
            *("take_place", "ask", "verify", "log rejected"),
            *("ask", "verify", "log accepted", "have_told"),
        ],
    ),
    "a recovery code is hashed first": (
        {"record": WITH_CODES},
        [RECOVERY_CODE],
        PAM_SUCCESS,
        ["take_place", "ask", "hash_answer", "verify", "log recovery_used", "tell"],
    ),
    "what is no code is shown to no store": (
        {"settings": {"attempts": 1}},
        [JUNK],
        PAM_AUTH_ERR,
        ["take_place", "ask", "log malformed", "tell"],
    ),
    "the password is neither": (
        {"settings": {"attempts": 1}},
        [PASSWORD],
        PAM_AUTH_ERR,
        ["take_place", "ask", "tell", "log malformed"],
    ),
    "a method that asks nobody is asked once": (
        {"told": Told(is_shown=True, is_answered=True)},
        [PASSWORD],
        PAM_AUTH_ERR,
        ["take_place", "ask", "tell", "log malformed"],
    ),
    "locked": (
        {"record": ALICE._replace(failures=100)},
        [code()],
        PAM_MAXTRIES,
        ["take_place", "ask", "verify", "log locked", "tell"],
    ),
    "too many wait": (
        {"turn": Turn(may_ask=False, may_tell=True, news="50 logins wait")},
        [],
        PAM_MAXTRIES,
        ["take_place", "log throttled", "tell"],
    ),
    "nobody that this machine knows": (
        {"is_known": False, "settings": {"attempts": 1}},
        [code()],
        PAM_AUTH_ERR,
        ["log unenrolled", "take_place", "ask", "verify", "log rejected", "tell"],
    ),
    "skipped by absence, which is confirmed": (
        skips(),
        [],
        PAM_IGNORE,
        ["confirm_absence", "log skipped"],
    ),
    "skipped until a day": (
        skips(unenrolled_until=NOW + 1),
        [],
        PAM_IGNORE,
        ["confirm_absence", "log skipped", "tell"],
    ),
    "in an exempt group": (
        {"rules": (GroupRule("staff", EXEMPT),), "member_of": ("staff",)},
        [],
        PAM_IGNORE,
        ["look_up_groups", "confirm_absence", "log skipped"],
    ),
    "in a group that is exempt until a day, and told nothing of it": (
        {"rules": (GroupRule("staff", EXEMPT, NOW + 1),), "member_of": ("staff",)},
        [],
        PAM_IGNORE,
        ["look_up_groups", "confirm_absence", "log skipped"],
    ),
    "in a required group, by the slow way": (
        {"rules": (GroupRule("staff", REQUIRED),)},
        [code()],
        PAM_SUCCESS,
        ["look_up_groups", "look_up_groups", "take_place", "ask", "verify", "log accepted"],
    ),
    "enrolls": (
        ENROLLS,
        [code(), ""],
        PAM_SUCCESS,
        ["judge_stack", "log unenrolled", "take_place", "confirm_absence", "issue_authenticator"]
        + ["tell"] * 9
        + ["ask", "issue_codes"]
        + ["tell"] * 10
        + ["ask", "hash_codes", "enroll_first", "log enrolled", "log codes_issued", "tell"],
    ),
    "the stack does not prove the password": (
        {**ENROLLS, "proves_password": False, "settings": {"unenrolled": "enroll", "attempts": 1}},
        [WRONG],
        PAM_AUTH_ERR,
        ["judge_stack", "log unenrolled", "take_place", "ask", "verify", "log rejected", "tell"],
    ),
    "no password was given": (
        {"record": None, "settings": {"unenrolled": "enroll", "attempts": 1}},
        [WRONG],
        PAM_AUTH_ERR,
        ["log unenrolled", "take_place", "ask", "verify", "log rejected", "tell"],
    ),
}


@each("name", LOGINS)
def test_a_login_goes_like_the_checklist(name: str) -> None:
    world, answers, expected, further = LOGINS[name]
    script = Script(*answers, **world)
    assert expected == script.log_in()
    assert [*BEGIN, *further] == script.names


def test_the_last_day_that_can_be_written_is_a_deadline_like_any_other() -> None:
    script = Script(**skips(unenrolled_until=dates.end_of_day("9999-12-31")))
    assert PAM_IGNORE == script.log_in()
    assert "From 10000-01-01 on (UTC)" in str(script.shown)


def test_a_wait_that_ends_between_hashing_and_judging_has_the_code_hashed_after_all() -> None:
    script = Script(RECOVERY_CODE, record=WITH_CODES)
    hash_answer, first = script.hash_answer, [True]

    def not_yet(attempt: LoginAttempt) -> LoginAttempt:
        return attempt if first else hash_answer(attempt)

    def verify(attempt: LoginAttempt) -> Verdict | None:
        if not attempt.answer.digest:
            first.clear()
            return None
        return Script.verify(script, attempt)

    script.hash_answer = not_yet  # type: ignore[method-assign]
    script.verify = verify  # type: ignore[method-assign]
    assert PAM_SUCCESS == script.log_in()
    assert ["hash_answer", "verify"] * 2 == script.names[-6:-2]


@pytest.mark.parametrize(
    ("info", "service", "expected"),
    [
        ("publickey ssh-ed25519 AAAA\n", "sshd", PAM_SUCCESS),
        ("password\n", "sshd", PAM_AUTH_ERR),
        ("", "sshd", PAM_AUTH_ERR),
        ("publickey ssh-ed25519 AAAA\n", "sudo", PAM_AUTH_ERR),
    ],
)
def test_a_line_for_keys_asks_nobody(info: str, service: str, expected: int) -> None:
    request = REQUEST._replace(service=service, ssh_auth_info=info, arguments=("first_factor=key",))
    script = Script(request=request)
    assert expected == script.log_in()
    assert set(script.names) <= {"read_config", "log error"}


def test_an_application_that_does_not_say_who_logs_in_is_asked_nothing() -> None:
    script = Script(request=REQUEST._replace(user=None))
    assert (PAM_CONV_ERR, ["log error"]) == (script.log_in(), script.names)


def test_without_a_store_those_whom_the_configuration_exempts_get_in() -> None:
    missing = StoreMissing("/store.db", "there is no store")
    world: dict[str, Any] = {"broken": {3: missing}, "settings": {"exempt_groups": ("staff",)}}
    assert PAM_AUTHINFO_UNAVAIL == Script(**world).log_in()
    assert PAM_IGNORE == Script(**world, member_of=("staff",)).log_in()
    world["broken"] = {3: StoreUnavailable("/store.db", "is locked")}
    assert PAM_AUTHINFO_UNAVAIL == Script(**world, member_of=("staff",)).log_in()


# For every user the same


def shape(*answers: object, **world: Any) -> list[object]:
    """Return what somebody who guesses could notice: the steps since the lookup, without Log."""
    script = Script(*answers, **world)
    result = script.log_in()
    seen: list[object] = [result]
    for step in script.steps:
        if step.name in ("ask", "tell"):
            seen.append((step.name, step.arguments, step.options))
        elif step.name != "log":
            seen.append(step.name)
    return seen


UNLIKE = {
    "not enrolled": {"record": None},
    "not known": {"is_known": False},
    "suspended": {"record": ALICE._replace(status=SUSPENDED)},
    "to enroll, with no password": {"record": UserRecord("alice", MUST_ENROLL)},
    "of another account": {"record": ALICE._replace(uid=1)},
}


@each("name", UNLIKE)
@each("is_silent", [False, True])
@each("answers", [[WRONG] * 3, [RECOVERY_CODE] * 3, [JUNK] * 3], ids=str)
def test_a_guess_takes_the_same_steps_for_everybody(
    name: str, answers: list[object], is_silent: bool
) -> None:
    request = REQUEST._replace(is_silent=is_silent)
    expected = shape(*answers, request=request, record=ALICE._replace(recovery_salt=bytes(16)))
    assert expected == shape(*answers, request=request, **UNLIKE[name])


# Whatever happens


def failing() -> dict[str, Callable[[], BaseException]]:
    return {
        "aborted": lambda: LoginAborted("conversation", "Ctrl-C"),
        "conversation": lambda: ConversationFailed("conversation", "nonsense"),
        "unavailable": lambda: StoreUnavailable("/store.db", "is locked"),
        "missing": lambda: StoreMissing("/store.db", "there is no store"),
        "system": lambda: OSError(5, "Input/output error"),
        "unexpected": lambda: ZeroDivisionError("hunter2"),
        "stop": lambda: StopIteration(PAM_SUCCESS),
        "exit": lambda: SystemExit(0),
    }


ANSWERS = st.lists(st.sampled_from([WRONG, JUNK, RECOVERY_CODE, code(), "", PASSWORD]), max_size=8)
WORLDS = st.fixed_dictionaries(
    {
        "record": st.sampled_from(
            (
                *(None, ALICE, WITH_CODES, ALICE._replace(status=SUSPENDED)),
                *(ALICE._replace(uid=1), ALICE._replace(failures=4, untold=3)),
                UserRecord("alice", MUST_ENROLL),
            )
        ),
        "settings": st.fixed_dictionaries(
            {"unenrolled": st.sampled_from(["deny", "skip", "enroll"]), "quiet": st.booleans()}
        ),
        "request": st.builds(
            lambda silent, given: REQUEST._replace(is_silent=silent, password_given=given),
            st.booleans(),
            st.booleans(),
        ),
        "is_known": st.booleans(),
        "told": st.builds(Told, st.booleans(), st.booleans()),
        "turn": st.sampled_from([Turn(), Turn(may_ask=False), Turn(False, True, "news")]),
    }
)


# Nobody sees the secret of a first login, and the last step is to log that.
CUT_OFF = {
    "record": None,
    "settings": {"unenrolled": "enroll"},
    "request": REQUEST._replace(password_given=True),
    "told": Told(is_shown=False, is_answered=False),
}


@hypothesis.settings(max_examples=thorough.examples(200))
@hypothesis.given(ANSWERS, WORLDS, st.integers(0, 45), st.sampled_from(sorted(failing())))
@hypothesis.example([], CUT_OFF, 9, "aborted")
def test_nobody_gets_in_before_the_store_has_kept_it(
    answers: list[object], world: dict[str, Any], at: int, how: str
) -> None:
    """Whatever breaks, at whichever step: success follows an accepted answer, and nothing else."""
    error = failing()[how]()
    script = Script(*answers, *[WRONG] * 4, **world, broken={at: error})
    accepted: list[bool] = []
    verify, enroll_first = script.verify, script.enroll_first

    def watched(attempt: LoginAttempt) -> Verdict:
        verdict = verify(attempt)
        assert verdict is not None
        is_accepted = flow._PAM_CODES[verdict.outcome] == PAM_SUCCESS
        accepted.append(is_accepted and not attempt.is_decoy)
        return verdict

    def watched_first(*arguments: Any) -> bool:
        accepted.append(enroll_first(*arguments))
        return accepted[-1]

    script.verify = watched  # type: ignore[method-assign]
    script.enroll_first = watched_first  # type: ignore[method-assign]
    expected = RuntimeError if how == "stop" else type(error)  # as a generator has it
    try:
        result = script.log_in()
    except expected:
        # To log never raises, and so nobody catches what comes of that.
        assert how in ("unexpected", "stop", "exit") or script.names[at].startswith("log ")
        return
    assert result in flow.CODES
    assert PAM_SUCCESS != result or accepted[-1]
    if result == PAM_IGNORE:
        assert world["settings"]["unenrolled"] == "skip"
        assert world["record"] is None
        assert world["is_known"]
    if len(script.steps) > at and not any(accepted) and how in ("unavailable", "system"):
        assert PAM_AUTHINFO_UNAVAIL == result
    if len(script.steps) > at and result == PAM_CONV_ERR:
        assert how in ("aborted", "conversation")


def overtaken(script: Script) -> str:
    script.record = ALICE
    return ""


@pytest.mark.parametrize(
    ("answers", "expected", "said"),
    [
        ([WRONG, JUNK, PASSWORD], PAM_AUTH_ERR, messages.NO_RIGHT_CODE),
        ([code(), overtaken], PAM_AUTH_ERR, messages.OVERTAKEN),
    ],
    ids=["no right code", "somebody was faster"],
)
def test_an_enrollment_that_is_not_kept_lets_nobody_in(
    answers: list[Any], expected: int, said: str
) -> None:
    script = Script(**ENROLLS)
    script._answers = [
        functools.partial(answer, script) if answer is overtaken else answer for answer in answers
    ]
    assert (expected, said) == (script.log_in(), script.shown[-1])


@pytest.mark.parametrize("step", ["hash_codes", "enroll_first"])
def test_an_enrollment_that_cannot_be_kept_lets_nobody_in(step: str) -> None:
    at = LOGINS["enrolls"][3].index(step) + len(BEGIN)
    script = Script(code(), "", **ENROLLS, broken={at: StoreUnavailable("/store.db", "disk full")})
    assert PAM_AUTHINFO_UNAVAIL == script.log_in()
    assert [messages.NOT_KEPT, messages.UNAVAILABLE] == script.shown[-2:]
    assert script.record is None


@hypothesis.given(ANSWERS, WORLDS)
def test_nothing_that_was_typed_reaches_the_log(
    answers: list[object], world: dict[str, Any]
) -> None:
    script = Script(*answers, *[WRONG] * 4, **world)
    script.log_in()
    written = str([step.arguments for step in script.steps if step.name == "log"])
    for answer in (WRONG, JUNK, RECOVERY_CODE, code()):
        assert answer not in written


def test_what_nobody_foresaw_is_raised_with_the_place_where_it_happened() -> None:
    script = Script(code(), broken={5: ZeroDivisionError()})
    with pytest.raises(ZeroDivisionError) as raised:
        script.log_in()
    files = [entry.path.name for entry in raised.traceback]  # type: ignore[union-attr]
    assert {"flow.py", "conversation.py", "script.py"} <= set(files)


def test_a_success_stays_one_where_it_cannot_be_noted_that_it_was_told() -> None:
    script = Script(code(), record=ALICE._replace(untold=2))
    script.have_told = lambda *_: 1 // 0  # type: ignore[assignment,method-assign,return-value]
    with pytest.raises(ZeroDivisionError):
        script.log_in()
    at = script.names.index("have_told")
    broken = {at: StoreUnavailable("/store.db", "disk full")}
    script = Script(code(), record=ALICE._replace(untold=2), broken=broken)
    assert PAM_SUCCESS == script.log_in()
    assert "error" == script.events[-1]


def test_where_it_cannot_be_checked_the_person_is_told_after_the_log() -> None:
    script = Script(broken={3: StoreUnavailable("/store.db", "is locked")})
    assert PAM_AUTHINFO_UNAVAIL == script.log_in()
    assert ["log error", "tell"] == script.names[-2:]
    assert [messages.UNAVAILABLE] == script.shown


def test_an_answer_is_judged_for_the_account_that_came() -> None:
    script = Script(code())
    script.log_in()
    (step,) = [step for step in script.steps if step.name == "verify"]
    source = Source("sshd:auth", "alice", rhost=REQUEST.rhost, tty=REQUEST.tty)
    account = Account(1000, is_local=True)
    (attempt,) = step.arguments
    assert isinstance(attempt, LoginAttempt)
    assert (False, account, source, None) == (
        attempt.is_decoy,
        attempt.account,
        attempt.source,
        attempt.remember,
    )


FLEET_POLICY = Policy(window=2, throttle_after=1, max_failures=50)


@pytest.mark.parametrize(("window", "expected"), [(1, 1), (3, 2)])
def test_the_policy_of_the_store_counts_and_a_host_is_stricter_at_most(
    window: int, expected: int
) -> None:
    settings = {"window": window, "throttle_after": 9}
    script = Script(code(), policy=FLEET_POLICY, settings=settings)
    assert PAM_SUCCESS == script.log_in()
    (step,) = [step for step in script.steps if step.name == "verify"]
    (attempt,) = step.arguments
    assert isinstance(attempt, LoginAttempt)
    assert FLEET_POLICY._replace(window=expected) == attempt.policy


def test_where_the_store_allows_no_first_login_nobody_is_shown_a_secret() -> None:
    settings = {"unenrolled": "enroll"}
    request = REQUEST._replace(password_given=True)
    script = Script(*[WRONG] * 3, record=None, settings=settings, request=request, may_enroll=False)
    assert PAM_AUTH_ERR == script.log_in()
    assert "issue_authenticator" not in script.names
