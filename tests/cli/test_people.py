"""Who would be shut out: one account at a time, with what the store and the rules say of it."""

from __future__ import annotations

import pwd

import pytest

from admin_cli.access.becoming_root import LoginRules, in_words, ssh_obstacles
from admin_cli.host.accounts import MAYBE, YES
from admin_cli.host.sshd.access import Ways
from pam_totp.core import users
from pam_totp.core.users import Authenticator, UserRecord
from pam_totp.system.config import Config

NOW = 1_800_000_000
PHONE = (Authenticator("1", "phone", None),)
ENROLLED = UserRecord("alice", authenticators=PHONE)
SKIP = Config(unenrolled="skip")
ENROLL = Config(unenrolled="enroll")
NOT_ENROLLED = "is not enrolled (totpctl enroll alice)"


@pytest.fixture
def alice() -> pwd.struct_passwd:
    return pwd.struct_passwd(("alice", "x", 4000, 4000, "", "/home/alice", "/bin/sh"))


@pytest.fixture(autouse=True)
def _nobody_is_in_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("admin_cli.host.directory.group_ids", lambda entry: {entry.pw_gid})


def why_denied(policy: LoginRules, entry: pwd.struct_passwd, *, password: bool) -> str:
    return in_words(policy.obstacles(entry, password=password))


def why_not_by_ssh(entry: pwd.struct_passwd, ways: Ways, keys: str, policy: LoginRules) -> str:
    return in_words(ssh_obstacles(entry, ways, keys, policy))


def policy(record: UserRecord | None = None, settings: Config = Config()) -> LoginRules:  # noqa: B008
    return LoginRules({} if record is None else {"alice": record}, (), settings, NOW)


@pytest.mark.parametrize(
    ("record", "settings", "expected"),
    [
        (ENROLLED, Config(), ""),
        (None, Config(), NOT_ENROLLED),
        (UserRecord("alice"), Config(), NOT_ENROLLED),
        (None, SKIP, ""),
        (None, Config(unenrolled="skip", unenrolled_until=NOW), NOT_ENROLLED),
        (None, Config(unenrolled="skip", unenrolled_until=NOW + 1), ""),
        (
            ENROLLED._replace(status=users.SUSPENDED),
            SKIP,
            "is suspended (totpctl resume alice)",
        ),
        (
            UserRecord("alice", status=users.SUSPENDED),
            SKIP,
            "is suspended (totpctl resume alice)",
        ),
        (UserRecord("alice", status=users.EXEMPT), Config(), ""),
        (UserRecord("alice", status=users.EXEMPT, exempt_until=NOW), Config(), NOT_ENROLLED),
        (UserRecord("alice", status=users.EXEMPT, exempt_until=NOW + 1), Config(), ""),
        (UserRecord("alice", status=users.MUST_ENROLL), SKIP, NOT_ENROLLED),
        (ENROLLED._replace(failures=79), Config(), ""),
        (
            ENROLLED._replace(failures=80),
            Config(),
            "is locked after wrong codes (totpctl unlock alice)",
        ),
        (ENROLLED._replace(throttled_until=NOW), Config(), ""),
        (
            ENROLLED._replace(throttled_until=NOW + 30),
            Config(),
            "must wait 30 s after wrong codes (totpctl unlock alice)",
        ),
    ],
)
def test_question_for_a_code_lets_in_who_can_answer_it(
    alice: pwd.struct_passwd, record: UserRecord | None, settings: Config, expected: str
) -> None:
    assert expected == why_denied(policy(record, settings), alice, password=False)


@pytest.mark.parametrize(
    ("record", "settings"),
    [(None, ENROLL), (UserRecord("alice", status=users.MUST_ENROLL), Config())],
)
def test_who_may_enrol_at_the_login_gets_in_behind_a_password_alone(
    alice: pwd.struct_passwd, record: UserRecord | None, settings: Config
) -> None:
    assert "" == why_denied(policy(record, settings), alice, password=True)
    assert NOT_ENROLLED == why_denied(policy(record, settings), alice, password=False)
    quiet = policy(record, settings._replace(quiet=True))
    assert NOT_ENROLLED == why_denied(quiet, alice, password=True)


def test_fix_of_a_suspension_comes_with_that_of_what_it_uncovers(
    alice: pwd.struct_passwd,
) -> None:
    suspended = UserRecord("alice", status=users.SUSPENDED)
    expected = "is suspended (totpctl resume alice) and is not enrolled (totpctl enroll alice)"
    assert expected == why_denied(policy(suspended), alice, password=False)


HAS_BOTH = Ways(password=True, key=YES, now=True)
HAS_KEY = Ways(key=YES, now=True)
HAS_PASSWORD = Ways(password=True, now=True)
MAY_HAVE_KEY = Ways(key=MAYBE, now=True)
ROOT_WITH_KEY = Ways(key=YES, may_type=False, now=True)
NEITHER = "has neither a password nor a key (passwd alice)"
NO_ANSWER = (
    "cannot answer sshd's prompt for a code "
    "(PermitRootLogin prohibit-password: set it to yes, or log in as another user)"
)


FORMS = ("code", "key+code", "password+code", "none", "skip")
NO_PASSWORD, NO_KEY = "has no password (passwd alice)", "has no key"


@pytest.mark.parametrize(
    ("ways", "expected"),
    [
        (HAS_BOTH, ["", "", "", "", ""]),
        (HAS_KEY, ["", "", NO_PASSWORD, NO_PASSWORD, ""]),
        (HAS_PASSWORD, ["", NO_KEY, NO_KEY, "", ""]),
        (MAY_HAVE_KEY, ["", "", NO_PASSWORD, NO_PASSWORD, ""]),
        (ROOT_WITH_KEY, [NO_ANSWER, NO_ANSWER, NO_ANSWER, NO_ANSWER, ""]),
        (
            Ways(),
            [NEITHER, NO_KEY, "has neither a password nor a key", NEITHER, NEITHER],
        ),
    ],
)
def test_enrolled_person_gets_in_with_what_the_form_asks_for(
    alice: pwd.struct_passwd, ways: Ways, expected: list[str]
) -> None:
    assert expected == [why_not_by_ssh(alice, ways, keys, policy(ENROLLED)) for keys in FORMS]


@pytest.mark.parametrize(
    ("ways", "expected"),
    [
        (HAS_BOTH, [NOT_ENROLLED, NOT_ENROLLED, NOT_ENROLLED, NOT_ENROLLED, ""]),
        (
            HAS_KEY,
            [
                NOT_ENROLLED,
                NOT_ENROLLED,
                f"{NO_PASSWORD} and {NOT_ENROLLED}",
                f"{NO_PASSWORD} and {NOT_ENROLLED}",
                "",
            ],
        ),
        (
            HAS_PASSWORD,
            [
                NOT_ENROLLED,
                f"{NO_KEY} and {NOT_ENROLLED}",
                f"{NO_KEY} and {NOT_ENROLLED}",
                NOT_ENROLLED,
                NOT_ENROLLED,
            ],
        ),
    ],
)
def test_person_who_is_not_enrolled_gets_in_where_a_key_needs_no_code(
    alice: pwd.struct_passwd, ways: Ways, expected: list[str]
) -> None:
    assert expected == [why_not_by_ssh(alice, ways, keys, policy()) for keys in FORMS]


def test_person_who_is_asked_for_no_password_cannot_enroll_at_the_login(
    alice: pwd.struct_passwd,
) -> None:
    assert NOT_ENROLLED == why_not_by_ssh(alice, HAS_BOTH, "key+code", policy(settings=ENROLL))


def test_person_with_a_key_alone_cannot_enrol_at_the_login(alice: pwd.struct_passwd) -> None:
    assert "" == why_not_by_ssh(alice, HAS_BOTH, "code", policy(settings=ENROLL))
    assert NOT_ENROLLED == why_not_by_ssh(alice, HAS_KEY, "code", policy(settings=ENROLL))
