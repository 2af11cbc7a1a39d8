"""skip_from: at which places enrolled people are not asked, and who is asked there all the same."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pam_totp.core import trusted_places
from pam_totp.core.admission import EXEMPT, REQUIRED, GroupRule, Groups
from pam_totp.core.users import MUST_ENROLL, SUSPENDED, UserRecord
from pam_totp.login.flow import (
    PAM_AUTH_ERR,
    PAM_AUTHINFO_UNAVAIL,
    PAM_IGNORE,
    PAM_MAXTRIES,
    PAM_SUCCESS,
)
from pam_totp.login.steps import AccountEntry, Request
from pam_totp.store import Known
from pam_totp.system import config
from pam_totp.system.errors import StoreCorrupt
from tests.support.each import each
from tests.unit.alice import NOW, WRONG
from tests.unit.script import ALICE, Script, code

OFFICE, TTY = "10.0.0.0/8", "tty"
RULES = ("192.0.2.7", OFFICE, TTY, "2001:db8::/32")
AT_WORK = Request("sshd", "alice", rhost="10.1.2.3", tty="ssh")
AT_CONSOLE = Request("login", "alice", tty="tty1")


def rule(
    service: str = "sshd",
    rhost: str = "",
    tty: str = "",
    *,
    is_root: bool = False,
    rules: tuple[str, ...] = RULES,
) -> str:
    return trusted_places.rule_for(rules, service, rhost, tty, is_root=is_root)


# Networks


@given(st.ip_addresses())
def test_an_address_is_at_the_first_rule_that_holds_it(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    v4 = getattr(address, "ipv4_mapped", None) or address
    networks = [ipaddress.ip_network(text) for text in RULES if text != TTY]
    holding = [
        str(n).removesuffix("/32") if n.version == 4 else str(n) for n in networks if v4 in n
    ]
    assert (holding[0] if holding else "") == rule(rhost=str(address))


@given(st.integers(0, 2**24 - 1))
def test_every_address_of_a_network_is_there_however_it_is_written(host: int) -> None:
    address = ipaddress.IPv4Address((10 << 24) + host)
    assert OFFICE == rule(rhost=str(address)) == rule("sshd-lan", f"::ffff:{address}")
    mapped = ipaddress.IPv6Address((0xFFFF << 32) + int(address))
    assert OFFICE == rule(rhost=str(mapped))


@each(
    "rhost",
    [
        *("", "11.0.0.1", "9.255.255.255", "2001:db9::1", "127.0.0.1", "::1", "::ffff:11.0.0.1"),
        *("UNKNOWN", "pc.office.example", "10.1.2.3.office.example", "10.0.0.0.example"),
        *("10.1.2.3 ", " 10.1.2.3", "10.1.2", "10", "167838211", "0xa.1.2.3", "010.1.2.3"),
        *("10.1.2.3/8", OFFICE, TTY, "10.1.2.3,8.8.8.8", "10.1.2.3\n", "\u0661\u0660.1.2.3"),
    ],
)
def test_what_is_no_address_of_a_network_is_at_no_place(rhost: str) -> None:
    assert "" == rule(rhost=rhost)


@given(st.text())
def test_a_name_is_at_no_place(name: str) -> None:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        assert "" == rule(rhost=name)


@each(
    "service",
    ["", "sudo", "sudo-i", "su", "su-l", "login", "remote", "vsftpd", "unprivileged.sshd", "SSHD"],
)
def test_networks_count_in_sshd_alone(service: str) -> None:
    """sudo's address is the name of this machine, which may look like one; su has its caller's."""
    assert "" == rule(service, "10.1.2.3", "pts/1")


def test_no_network_is_one_for_root() -> None:
    assert "" == rule(rhost="10.1.2.3", is_root=True)
    assert TTY == rule("login", tty="tty1", is_root=True)


# Consoles


@pytest.mark.parametrize("tty", ["tty1", "tty63", "/dev/tty1", "/dev/tty12"])
def test_a_virtual_console_is_one_in_login_alone(tty: str) -> None:
    assert TTY == rule("login", tty=tty)
    assert "" == rule("login", tty=tty, rules=(OFFICE,))
    for service in ("sshd", "sudo", "su", "gdm-password", "unprivileged.login", "login2"):
        assert "" == rule(service, tty=tty)


@pytest.mark.parametrize("rhost", ["10.1.2.3", "localhost", "127.0.0.1"])
def test_whoever_comes_over_the_network_is_at_no_console(rhost: str) -> None:
    assert "" == rule("login", rhost, "tty1")


@each(
    "tty",
    [
        *("", "tty", "tty0", "tty64", "tty01", "tty1 ", "tty-1", "tty\u0661", "TTY1", "console"),
        *("ttyS1", "pts/1", "/dev/pts/1", ":1", "ssh", "/tmp/tty1", "/dev//tty1", "dev/tty1"),
    ],
)
def test_a_terminal_that_is_no_virtual_console_is_none(tty: str) -> None:
    assert "" == rule("login", tty=tty)


@given(
    st.one_of(
        st.text(),
        st.from_regex(r"(/dev/)?(tty|pts/|ttyS|ttyUSB|hvc|:|console)[0-9]*", fullmatch=True),
    )
)
def test_no_other_terminal_is_a_console(tty: str) -> None:
    number = tty.removeprefix("/dev/").removeprefix("tty")
    is_console = tty.removeprefix("/dev/") == f"tty{number}" and number in map(str, range(1, 64))
    assert (TTY if is_console else "") == rule("login", tty=tty)


# What may be named


@each(
    ("text", "problem"),
    [
        ("office.example", "is no address and no network: names are not looked up"),
        ("*.example", "names are not looked up"),
        ("TTY", "names are not looked up"),
        ("10.0.0.1/8", "is 10.0.0.0/8 meant"),
        ("0.0.0.0/0", "as good as everywhere"),
        ("::/0", "as good as everywhere"),
        ("127.0.0.1", "127.0.0.1: every user of this machine can come from there"),
        ("127.0.0.0/8", "every user of this machine"),
        ("10.0.0.0/8 ::1", "::1: every user of this machine"),
        ("::ffff:127.0.0.0/104", "every user of this machine"),
        ("::/16", "every user of this machine"),
    ],
)
def test_what_is_no_place_to_trust_is_refused_with_the_reason(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem.replace(".", r"\.")):
        trusted_places.parse(text)
    loaded = config.parse(f"skip_from = {OFFICE}, {text}".encode())
    assert () == loaded.config.skip_from
    assert "skip_from must be networks as 10.0.0.0/8, and tty (" in loaded.problems[0]


def test_a_pam_argument_wins_over_the_file_and_may_be_empty() -> None:
    for argument, expected in (("", ()), ("tty", (TTY,)), ("junk", ())):
        loaded = config.parse(b"skip_from = 10.0.0.0/8", [("skip_from", argument)])
        assert expected == loaded.config.skip_from


# Who is asked there


class Login(Script):
    """A login of ``uid``, of whom the store says what ``known`` says more."""

    def __init__(
        self,
        *answers: object,
        uid: int = 1000,
        known: Mapping[str, object] | None = None,
        groups: Groups | None = None,
        record: UserRecord | None = ALICE,
        request: Request = AT_WORK,
        rules: tuple[GroupRule, ...] = (),
        member_of: tuple[str, ...] = (),
        is_known: bool = True,
        broken: Mapping[int, BaseException] | None = None,
        **settings: object,
    ) -> None:
        super().__init__(
            *answers,
            record=record,
            request=request,
            rules=rules,
            member_of=member_of,
            is_known=is_known,
            broken=broken,
            settings={"skip_from": (OFFICE, TTY), "attempts": 1, **settings},
        )
        self._uid, self._more, self._groups = uid, known or {}, groups

    def look_up_account(self, user: str) -> AccountEntry | None:
        entry = super().look_up_account(user)
        if entry is None:
            return None
        passwd = type(entry.passwd)((user, "x", self._uid, 1000, "", "/", "/bin/sh"))
        return entry._replace(passwd=passwd)

    def look_up_groups(
        self, entry: AccountEntry, names: tuple[str, ...], *, in_files: bool = False
    ) -> Groups:
        return self._groups or super().look_up_groups(entry, names, in_files=in_files)

    def look_up_user(self, name: str, place: str) -> Known:
        return super().look_up_user(name, place)._replace(**self._more)  # type: ignore[arg-type]

    @property
    def logged(self) -> list[tuple[object, ...]]:
        return [
            (step.arguments[0], fields.get("reason"), fields.get("rule"))
            for step in self.steps
            if step.name == "log"
            for fields in [step.arguments[2]]
            if isinstance(fields, dict)
        ]


@pytest.mark.parametrize(("request_", "why"), [(AT_WORK, OFFICE), (AT_CONSOLE, TTY)])
def test_an_enrolled_person_is_not_asked_there_and_the_log_names_the_rule(
    request_: Request, why: str
) -> None:
    login = Login(request=request_)
    assert PAM_IGNORE == login.log_in()
    assert [("skipped", "trusted place", why)] == login.logged
    assert ([], [], ALICE) == (login.prompts, login.shown, login.record)


@pytest.mark.parametrize(
    "request_",
    [
        AT_WORK._replace(rhost="198.51.100.7"),
        AT_WORK._replace(rhost="pc.office.example"),
        AT_WORK._replace(service="sudo", ruser="alice"),
        AT_CONSOLE._replace(tty="pts/1"),
        AT_CONSOLE._replace(service="su"),
    ],
)
def test_elsewhere_everybody_is_asked(request_: Request) -> None:
    login = Login(code(), request=request_)
    assert PAM_SUCCESS == login.log_in()
    assert ["accepted"] == login.events


def test_the_same_was_asked_before_it_is_known_where_somebody_is() -> None:
    """What a login takes of the store tells nobody who is not asked, and why."""
    trusted, untrusted = Login(), Login(code(), request=AT_WORK._replace(rhost="198.51.100.7"))
    trusted.log_in()
    untrusted.log_in()
    asked = untrusted.names[: untrusted.names.index("look_up_user") + 1]
    assert [*asked, "confirm_absence", "log skipped"] == trusted.names


def test_damage_that_may_hide_a_required_group_lets_nobody_in() -> None:
    sound = Login()
    sound.log_in()
    broken = {sound.names.index("confirm_absence"): StoreCorrupt("store", "is damaged")}
    assert PAM_AUTHINFO_UNAVAIL == Login(broken=broken).log_in()


DENIED = {
    "suspended": Login(code(), record=ALICE._replace(status=SUSPENDED)),
    "must enroll again": Login(code(), record=ALICE._replace(status=MUST_ENROLL)),
    "unknown": Login(code(), is_known=False, record=None),
    "not enrolled": Login(code(), record=None),
    "without authenticators": Login(code(), record=UserRecord("alice")),
}


@pytest.mark.parametrize("login", DENIED.values(), ids=DENIED)
def test_whoever_is_denied_elsewhere_is_asked_and_denied_there(login: Login) -> None:
    assert PAM_AUTH_ERR == login.log_in()
    assert 1 == len(login.prompts)
    assert "skipped" not in login.events


ASKED: dict[str, Mapping[str, object]] = {
    "root": {"uid": 0},
    "required group": {"rules": (GroupRule("staff", REQUIRED),), "member_of": ("staff",)},
    "perhaps in a required group": {
        "rules": (GroupRule("staff", REQUIRED),),
        "groups": Groups(problem="the directory did not name the user's groups"),
    },
    "local store unknown": {"known": {"problem": "cannot be read"}},
    "offline": {"known": {"is_offline": True}},
}


@pytest.mark.parametrize("who", ASKED.values(), ids=ASKED)
def test_whoever_is_always_asked_gets_in_by_the_code_there(who: Mapping[str, object]) -> None:
    login = Login(code(), **who)  # type: ignore[arg-type]
    assert PAM_SUCCESS == login.log_in()
    assert "skipped" not in login.events


@pytest.mark.parametrize("who", [{"failures": 100}, {"failures": 5, "throttled_until": NOW + 30}])
def test_while_somebody_guesses_the_place_changes_nothing(who: dict[str, int]) -> None:
    for request in (AT_WORK, AT_CONSOLE):
        login = Login(code(), record=ALICE._replace(**who), request=request)  # type: ignore[arg-type]
        assert PAM_MAXTRIES == login.log_in()
        assert "skipped" not in login.events


def test_a_few_wrong_codes_are_no_guessing() -> None:
    record = ALICE._replace(failures=4, untold=4)
    login = Login(record=record)
    assert PAM_IGNORE == login.log_in()
    assert record == login.record, "they are told at the next login with a code"


def test_a_first_enrollment_is_still_asked_for() -> None:
    login = Login(WRONG.code, record=None, unenrolled="enroll")
    login.log_in()
    assert "skipped" not in login.events
    assert "unenrolled" == login.events[0]


def test_an_exemption_is_the_reason_where_there_are_both() -> None:
    rules = (GroupRule("robots", EXEMPT),)
    login = Login(rules=rules, member_of=("robots",))
    assert PAM_IGNORE == login.log_in()
    assert [("skipped", "exempt group", "")] == login.logged


def test_a_field_for_both_takes_the_password_alone_there() -> None:
    request = AT_WORK._replace(arguments=("first_factor=password",))
    login = Login(request=request, one_prompt=True)
    assert PAM_IGNORE == login.log_in()
    (step,) = [step for step in login.steps if step.name == "ask_for_both"]
    assert () == step.arguments[1]
