"""Reading a service with what it includes, and what judge() finds in it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pam_totp.stack import pam_dispatch, pam_stack, pam_ways
from pam_totp.stack.pam_dispatch import Stack, State
from pam_totp.stack.pam_stack import Judgement, NotUnderstood, auth_stack, judge, proves_password
from tests.support import thorough
from tests.support.each import each

DEBIAN = """
auth [success=1 default=ignore] pam_unix.so nullok
auth requisite pam_deny.so
auth required pam_permit.so
"""
FEDORA = """
auth required pam_env.so
auth sufficient pam_unix.so
auth required pam_deny.so
"""
OTHER = "auth required pam_deny.so\n"
KEY_ALONE = "auth [success=ok default=die] pam_totp.so first_factor=key\n"
CODE = "auth required pam_totp.so\n"
KEY = """
auth [success=ignore default=2] pam_totp.so first_factor=key
auth [success=done ignore=ignore default=die] pam_totp.so
auth [success=done default=die] pam_permit.so
"""


def judged(text: str, service: str = "sshd", **files: str) -> Judgement:
    return judge(stack_of(text, service, **files))


def stack_of(text: str, service: str = "sshd", **files: str) -> Stack:
    return auth_stack(service, reader(text, service, **files))


def reader(text: str, service: str = "sshd", **files: str) -> pam_stack.Read:
    return {"other": OTHER, "debian": DEBIAN, "fedora": FEDORA, **files, service: text}.get


def numbers(lines: tuple[pam_stack.Line, ...]) -> list[tuple[str, int]]:
    return [(line.file, line.number) for line in lines]


# Reading


def modules(stack: Stack) -> list[tuple[str, int]]:
    return [(entry.line.module, entry.level) for entry in stack.entries]


def test_a_stack_has_the_auth_lines_alone() -> None:
    stack = stack_of("auth required a.so\naccount required b.so\n-auth optional c.so\n")
    assert [("a.so", 0), ("c.so", 0)] == modules(stack)


@pytest.mark.parametrize("include", ["@include part", "auth include part"])
def test_an_include_stands_for_the_lines_of_the_file(include: str) -> None:
    stack = stack_of(f"{include}\nauth required z.so\n", part="auth required a.so\n")
    assert [("a.so", 0), ("z.so", 0)] == modules(stack)
    assert [("part", 1, 1), ("sshd", 2, 2)] == [
        (entry.line.file, entry.line.number, entry.top) for entry in stack.entries
    ]


def test_a_substack_is_a_level_deeper() -> None:
    stack = stack_of("auth substack part\nauth required z.so\n", part="auth required a.so\n")
    assert [("part", 0), ("a.so", 1), ("z.so", 0)] == modules(stack)


def test_what_other_types_include_is_not_auth() -> None:
    part = "auth required a.so\naccount required b.so\n"
    assert [("z.so", 0)] == modules(
        stack_of("account include part\nauth required z.so\n", part=part)
    )


@pytest.mark.parametrize("text", ["", "account required pam_unix.so\n"])
def test_a_service_without_auth_lines_is_the_service_other(text: str) -> None:
    stack = stack_of(text)
    assert ("other", [("pam_deny.so", 0)]) == (stack.file, modules(stack))


def test_a_service_without_a_file_is_the_service_other() -> None:
    assert "other" == auth_stack("ftp", reader("")).file


def test_a_service_without_any_file_is_not_understood() -> None:
    with pytest.raises(NotUnderstood, match="PAM file ftp: there is no auth line for it"):
        auth_stack("ftp", {}.get)


@pytest.mark.parametrize("name", ["SSHD", "/usr/sbin/sshd"])
def test_the_name_of_a_service_is_taken_as_libpam_takes_it(name: str) -> None:
    assert "sshd" == auth_stack(name, reader(CODE)).service


@pytest.mark.parametrize("include", ["@include sshd", "auth include sshd", "auth substack sshd"])
def test_an_include_without_end_is_not_understood(include: str) -> None:
    with pytest.raises(NotUnderstood, match="PAM file sshd, line 2: includes without end"):
        stack_of(f"# endless\n{include}\n")


def test_a_file_that_is_missing_is_not_understood() -> None:
    with pytest.raises(NotUnderstood) as error:
        stack_of("auth required a.so\n@include there-is-none\n")
    assert ("sshd", 2) == (error.value.file, error.value.number)
    assert "includes there-is-none, which does not exist" == error.value.problem


def test_files_are_read_where_libpam_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / "etc", tmp_path / "usr"]
    for folder in folders:
        folder.mkdir()
        (folder / "both").write_text(folder.name, encoding="utf-8")
    (folders[1] / "vendor").write_bytes(b"caf\xe9\r\n")
    monkeypatch.setattr(pam_stack, "PAM_FOLDERS", tuple(map(str, folders)))
    assert "etc" == pam_stack.read_pam_file("both")
    assert "caf\udce9\r\n" == pam_stack.read_pam_file("vendor")
    assert None is pam_stack.read_pam_file("neither")
    assert "usr" == pam_stack.read_pam_file(str(folders[1] / "both"))
    assert str(folders[1] / "vendor") == pam_stack.pam_path("vendor")


def test_a_folder_for_a_file_is_not_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sshd").mkdir()
    monkeypatch.setattr(pam_stack, "PAM_FOLDERS", (str(tmp_path),))
    with pytest.raises(NotUnderstood, match="Is a directory"):
        pam_stack.read_pam_file("sshd")


# Judging


@each(
    "text",
    [
        "@include debian\n" + CODE,
        "auth include debian\n" + CODE,
        "auth requisite pam_unix.so\n" + CODE,
        KEY + "@include debian\n" + CODE,
        "@include debian\nauth requisite pam_python.so /usr/lib/pam_totp/hook.py\n",
        "auth optional pam_faildelay.so\n@include debian\nauth optional pam_cap.so\n" + CODE,
    ],
)
def test_a_sound_stack_is_found_sound(text: str) -> None:
    found = judged(text)
    hosts = ("pam_python.so",) if "python" in text else ("pam_totp.so",)
    assert Judgement(True, (), (), (), (), (), True, True, hosts) == found
    assert proves_password("sshd", reader(text))


def test_a_stack_without_the_code_asks_for_none() -> None:
    assert Judgement(False, (), (), (), (), (), False, False, ()) == judged("@include debian\n")


@each(
    ("text", "bypasses"),
    [
        ("auth sufficient pam_unix.so\n" + CODE, [("sshd", 1)]),
        ("auth include fedora\n" + CODE, [("fedora", 3)]),
        ("@include debian\nauth optional pam_totp.so\n", [("sshd", 2)]),
        ("@include debian\nauth sufficient pam_totp.so\n", [("sshd", 2)]),
        ("auth sufficient pam_wheel.so trust\n@include debian\n" + CODE, [("sshd", 1)]),
        ("auth sufficient pam_rootok.so\n@include debian\n" + CODE, [("sshd", 1)]),
        (
            "auth [success=3 default=ignore] pam_unix.so\nauth requisite pam_deny.so\n"
            + CODE
            + "auth required pam_permit.so\n",
            [],  # lands beyond the end: libpam refuses
        ),
        (
            "auth [success=2 default=ignore] pam_unix.so\nauth requisite pam_deny.so\n"
            + CODE
            + "auth required pam_permit.so\n",
            [("sshd", 1)],
        ),
        (
            "@include debian\nauth [default=1 success=ignore] pam_access.so\n" + CODE,
            [("sshd", 2)],
        ),
        ("auth required pam_permit.so\nauth [auth_err=ignore] pam_totp.so\n", [("sshd", 2)]),
        (
            "@include debian\nauth [success=1 new_authtok_reqd=1 default=ignore] pam_totp.so\n"
            "auth requisite pam_deny.so\nauth required pam_permit.so\n",
            [],  # pam_totp never says that the password has run out
        ),
    ],
)
def test_a_way_past_the_code_is_found(text: str, bypasses: list[tuple[str, int]]) -> None:
    assert bypasses == numbers(judged(text).bypasses)


@pytest.mark.parametrize(
    ("service", "bypasses", "for_root"),
    [("su", [], [("su", 1)]), ("sudo", [], [("sudo", 1)]), ("cockpit", [("cockpit", 1)], [])],
)
def test_root_is_told_apart_where_root_is_who_calls(
    service: str, bypasses: list[tuple[str, int]], for_root: list[tuple[str, int]]
) -> None:
    found = judged("auth sufficient pam_rootok.so\n@include debian\n" + CODE, service)
    assert (bypasses, for_root) == (numbers(found.bypasses), numbers(found.for_root))


@each(
    ("text", "before_password", "after_wrong_password"),
    [
        (CODE + "@include debian\n", [1], []),
        ("auth required pam_unix.so\n" + CODE, [], [2]),
        ("auth substack fedora\n" + CODE, [], [2]),
        ("auth substack debian\n" + CODE, [], [2]),
        ("auth optional pam_ldap.so\n@include debian\n" + CODE, [], []),
        ("auth required pam_totp.so first_factor=key\n" + CODE, [2], []),
        ("auth requisite pam_totp.so first_factor=key\n" + CODE, [2], []),
        (KEY_ALONE + CODE, [], []),
    ],
)
def test_a_code_for_somebody_without_the_password_is_found(
    text: str, before_password: list[int], after_wrong_password: list[int]
) -> None:
    found = judged(text)
    assert before_password == [line.number for line in found.before_password]
    assert after_wrong_password == [line.number for line in found.after_wrong_password]
    nobody = not before_password + after_wrong_password and KEY_ALONE not in text
    assert nobody == proves_password("sshd", reader(text))


def test_a_key_counts_in_sshd_alone() -> None:
    """Elsewhere nobody says that a key was used, and the line never succeeds."""
    text = "auth [success=ok default=die] pam_totp.so first_factor=key\n" + CODE
    assert (True, False) == (judged(text).asks, judged(text, "login").asks)


@each("service", ["sshd", "sshd-inside"])
@each(
    ("text", "without", "with_key"),
    [
        (KEY + "@include debian\n" + CODE, True, False),
        (KEY_ALONE + "auth requisite pam_unix.so\n" + CODE, False, True),
        (KEY_ALONE + "auth required pam_unix.so\n" + CODE, False, False),
        (KEY_ALONE + "auth optional pam_mount.so\n" + CODE, False, False),
        ("@include debian\n" + CODE, True, True),
    ],
)
def test_a_key_does_not_stand_for_the_password(
    text: str, without: bool, with_key: bool, service: str
) -> None:
    """Who has the key, and types anything where a module asks, must not enrol by that."""
    read = {service: text, "debian": DEBIAN}.get
    assert (without, with_key) == (
        proves_password(service, read),
        proves_password(service, read, key=True),
    )


def test_a_password_that_nobody_needs_is_found() -> None:
    found = judged("auth optional pam_unix.so\nauth required pam_totp.so\n")
    assert [("sshd", 2)] == numbers(found.without_password)


@pytest.mark.parametrize(
    ("arguments", "without"), [("", []), (" ignore_unknown_user", [("sshd", 2)])]
)
def test_a_password_module_that_passes_over_strangers_needs_no_password(
    arguments: str, without: list[tuple[str, int]]
) -> None:
    found = judged(f"auth requisite pam_sss.so{arguments}\n" + CODE)
    assert without == numbers(found.without_password)


@pytest.mark.parametrize(
    ("text", "can_succeed", "lets_exempt_in"),
    [
        (
            "auth [success=1 default=ignore] pam_unix.so\nauth requisite pam_deny.so\n" + CODE,
            True,
            False,
        ),
        ("@include debian\n" + CODE + "auth required pam_deny.so\n", False, False),
        ("@include debian\nauth requisite pam_totp.so\n", True, True),
        ("auth requisite pam_deny.so\n@include debian\n" + CODE, False, False),
    ],
)
def test_who_gets_in_is_found(text: str, can_succeed: bool, lets_exempt_in: bool) -> None:
    found = judged(text)
    assert (can_succeed, lets_exempt_in) == (found.can_succeed, found.lets_exempt_in)


@each(
    ("text", "bad_jumps"),
    [
        ("@include debian\n" + CODE + "auth [success=1 default=ignore] pam_access.so\n", [3]),
        ("@include debian\n" + CODE + "auth [auth_err=9 default=ignore] pam_access.so\n", [3]),
        ("auth [default=9 success=ok] pam_fprintd.so\n@include debian\n" + CODE, [1]),
        ("auth [success=2 default=die] pam_unix.so\n" + CODE, [1]),
        ("auth [success=ok default=9] pam_unix.so\n" + CODE, []),  # denied anyway
        ("auth requisite pam_unix.so\nauth [success=ok default=9] pam_totp.so\n", [2]),  # ignore
        ("auth [success=1 default=bad] pam_unix.so\nauth [default=9] pam_faillock.so\n" + CODE, []),
        ("auth substack part\n@include debian\n" + CODE, [1]),
        ("auth include part\n@include debian\n" + CODE, []),
    ],
)
def test_a_jump_beyond_the_last_line_is_found(text: str, bad_jumps: list[int]) -> None:
    part = "auth [success=1 default=ignore] pam_access.so\n"
    found = judged(text, part=part)
    assert bad_jumps == [line.number for line in found.bad_jumps]
    assert found.can_succeed == ("success=2" not in text)


@pytest.mark.parametrize(
    ("text", "without_key", "with_key"),
    [
        (CODE, True, False),
        (CODE + "auth required pam_permit.so\n", True, False),
        ("@include debian\n" + CODE, False, False),
        (KEY + "@include debian\n" + CODE, False, False),
    ],
)
def test_a_code_is_no_first_factor_unless_sshd_has_proven_one(
    text: str, *, without_key: bool, with_key: bool
) -> None:
    for key, expected in ((False, without_key), (True, with_key)):
        found = judge(stack_of(text), key=key)
        assert expected == bool(found.before_password) == bool(found.without_password)
        assert not found.nobody_gets_in
        assert found.can_succeed != expected


@pytest.mark.parametrize(
    ("text", "asks"),
    [(CODE, False), ("@include debian\n" + CODE, True), (KEY + "@include debian\n" + CODE, False)],
)
def test_whether_a_key_login_needs_the_password(text: str, *, asks: bool) -> None:
    assert asks == pam_stack.asks_password_of_keys(stack_of(text))


@pytest.mark.parametrize(
    ("text", "alone"),
    [
        ("auth [success=ignore default=2] pam_totp.so first_factor=key\n@include debian\n", [1]),
        ("auth required pam_totp.so first_factor=key\n@include debian\n", [1]),
        (KEY + "@include debian\n" + CODE, []),
        ("@include debian\n", []),
    ],
)
def test_a_key_line_that_no_line_with_the_code_goes_with_is_found(
    text: str, alone: list[int]
) -> None:
    found = judged(text)
    assert alone == numbers_alone(found)
    assert not found.nobody_gets_in


def numbers_alone(found: Judgement) -> list[int]:
    return [line.number for line in found.key_lines_alone]


@pytest.mark.parametrize(
    ("text", "others", "needed"),
    [
        ("@include debian\nauth required pam_oath.so\n" + CODE, 1, True),
        ("@include debian\nauth required pam_duo.so nullok\n" + CODE, 1, False),
        ("@include debian\nauth optional pam_google_authenticator.so\n" + CODE, 1, False),
        ("auth requisite pam_yubico.so\n" + CODE, 1, False),  # in place of the password
        ("@include debian\n" + CODE, 0, False),
    ],
)
def test_another_module_with_codes_is_found(text: str, others: int, *, needed: bool) -> None:
    found = judged(text)
    assert (others, needed) == (len(found.other_codes), found.needs_other_code)


@pytest.mark.parametrize(
    ("text", "nobody"),
    [
        ("@include debian\n" + CODE, False),
        (CODE, False),  # the code alone does
        ("auth sufficient pam_unix.so\nauth requisite pam_deny.so\n" + CODE, False),
        ("@include debian\n" + CODE + "auth required pam_deny.so\n", True),
        ("@include debian\nauth [ignore=ignore default=die] pam_totp.so\n", True),  # but exempt
    ],
)
def test_whether_nobody_gets_in(text: str, *, nobody: bool) -> None:
    assert nobody == judged(text).nobody_gets_in


def test_a_finger_does_not_prove_the_password() -> None:
    text = (
        "auth [success=2 default=ignore] pam_fprintd.so\n"
        "auth [success=1 default=ignore] pam_unix.so\nauth requisite pam_deny.so\n" + CODE
    )
    found = judged(text)
    assert ((), ()) == (found.before_password, found.after_wrong_password)
    assert not proves_password("sshd", reader(text))


@pytest.mark.parametrize(
    "text", ["auth required\n", "@include there-is-none\n", "@include debian\n"]
)
def test_what_is_not_understood_or_asks_nothing_proves_nothing(text: str) -> None:
    assert not proves_password("sshd", reader(text))


def test_a_script_of_somebody_else_is_not_the_hook() -> None:
    found = judged("@include debian\nauth required pam_python.so /opt/duo.py\n")
    assert (False, ()) == (found.asks, found.modules)


def test_a_long_stack_is_judged_all_the_same() -> None:
    """Ways that meet go on as one: no number of lines makes too many of them."""
    optional = "".join(f"auth optional pam_{n}.so\n" for n in range(200))
    assert (True, ()) == judged(f"{optional}@include debian\n{optional}{CODE}")[:2]


# Password and code in one answer

BOTH = "auth requisite pam_totp.so first_factor=password one_prompt\n"


@pytest.mark.parametrize("step", [DEBIAN, "auth requisite pam_unix.so\n", "@include debian\n"])
def test_both_lines_around_the_password_are_found_sound(step: str) -> None:
    found = judged(f"{BOTH}{step}{CODE}", "vsftpd")
    assert (True, True, True) == (found.asks, found.can_succeed, found.lets_exempt_in)
    assert [] == [
        *found.bypasses,
        *found.before_password,
        *found.after_wrong_password,
        *found.without_password,
        *found.too_late,
        *found.asks_again,
    ]


@each(
    ("text", "bypasses"),
    [
        (f"{BOTH}{DEBIAN}", [("vsftpd", 1)]),
        (f"{BOTH}auth sufficient pam_unix.so\nauth required pam_deny.so\n", [("vsftpd", 1)]),
        (f"{BOTH}auth sufficient pam_unix.so\nauth required pam_deny.so\n{CODE}", [("vsftpd", 2)]),
        (f"{BOTH}auth substack fedora\n{CODE}", []),
        (f"{BOTH}auth include fedora\n{CODE}", [("fedora", 3)]),
        (f"{BOTH}{DEBIAN}auth optional pam_totp.so\n", [("vsftpd", 6)]),
        (f"{BOTH}{DEBIAN}{BOTH}", [("vsftpd", 6)]),
        (f"auth [success=1] pam_permit.so\n{BOTH}{DEBIAN}", [("vsftpd", 1)]),
    ],
)
def test_a_first_line_that_no_line_with_the_code_follows_is_a_bypass(
    text: str, bypasses: list[tuple[str, int]]
) -> None:
    assert bypasses == numbers(judged(text, "vsftpd").bypasses)


@pytest.mark.parametrize(
    "text", [f"{DEBIAN}{BOTH}{CODE}", f"{DEBIAN}{CODE}{BOTH}", f"{BOTH}{BOTH}{DEBIAN}{CODE}"]
)
def test_a_first_line_that_comes_too_late_is_found(text: str) -> None:
    found = judged(text, "vsftpd")
    assert 1 == len(found.too_late)
    assert [] == [*found.bypasses]


def test_lines_in_the_wrong_order_let_nobody_in_with_a_code() -> None:
    found = judged(f"{DEBIAN}{BOTH}{CODE}", "vsftpd")
    assert (False, True) == (found.can_succeed, found.nobody_gets_in)


def test_a_code_that_is_judged_before_the_password_is_found() -> None:
    assert [("vsftpd", 2)] == numbers(judged(f"{BOTH}{CODE}{DEBIAN}", "vsftpd").before_password)


@each(
    ("line", "asks"),
    [
        ("auth sufficient pam_sss.so", True),
        ("auth sufficient pam_sss.so forward_pass", True),
        ("auth sufficient pam_sss.so use_first_pass", False),
        ("auth sufficient pam_krb5.so try_first_pass", False),
        ("auth optional pam_faildelay.so", False),
        ("auth sufficient pam_unix.so", False),
    ],
)
def test_a_password_module_that_would_ask_again_is_found(line: str, asks: bool) -> None:
    found = judged(f"{BOTH}{line}\nauth requisite pam_unix.so\n{CODE}", "vsftpd")
    assert asks == bool(found.asks_again)


# All ways, one by one

CODES = ("success", "ignore", "auth_err", "user_unknown", "new_authtok_reqd", "perm_denied")
RETURNS = {
    "pam_unix.so": ("success", "auth_err", "user_unknown", "new_authtok_reqd", "perm_denied"),
    "pam_totp.so": ("success", "ignore", "auth_err", "user_unknown", "perm_denied"),
    "pam_permit.so": ("success",),
    "pam_deny.so": ("auth_err",),
    "pam_env.so": ("ignore",),
}
controls = st.one_of(
    st.sampled_from(["required", "requisite", "sufficient", "optional"]),
    st.lists(
        st.builds(
            "{}={}".format,
            st.sampled_from([*CODES[:-1], "default"]),
            st.sampled_from(["ok", "done", "bad", "die", "ignore", "reset", "1", "2"]),
        ),
        min_size=1,
        max_size=3,
    ).map(lambda pairs: f"[{' '.join(pairs)}]"),
)
any_module = st.sampled_from(
    [
        *2 * ["pam_unix.so", "pam_totp.so"],
        *("pam_env.so", "pam_access.so", "pam_permit.so", "pam_deny.so", "pam_rootok.so"),
        "pam_totp.so first_factor=key",
        "pam_totp.so first_factor=password",
    ]
)
module_lines = st.builds("auth {} {}\n".format, controls, any_module)


class Seen(NamedTuple):
    """What happens to somebody for whom every module returns what it was told to."""

    granted: bool
    ran: list[tuple[pam_stack.Line, str]]


def every_way(stack: Stack) -> Iterator[Seen]:
    choices = []
    for entry in stack.entries:
        line = entry.line
        codes = RETURNS.get(line.module_name, CODES)
        if entry.begins_substack:
            codes = ("success",)
        elif pam_ways.takes_both(line) or (pam_ways.is_key_line(line) and stack.service != "sshd"):
            codes = codes[1:]
        choices.append(codes)
    for codes in itertools.product(*choices):
        state, ran = State(), []
        while state.at < len(stack.entries):
            entry, code = stack.entries[state.at], codes[state.at]
            if not entry.begins_substack:
                ran.append((entry.line, code))
            state = pam_dispatch.next_state(stack.entries, state, code)
        yield Seen(state.granted, ran)


def first_factors(ran: list[tuple[pam_stack.Line, str]]) -> tuple[bool, bool]:
    """Return whether one was tried, and whether one, or the key, was right."""
    tried = [code for line, code in ran if line.module == "pam_unix.so"]
    key = any(pam_ways.is_key_line(line) and code == "success" for line, code in ran)
    return bool(tried), key or any(code in ("success", "new_authtok_reqd") for code in tried)


def is_too_late(ran: list[tuple[pam_stack.Line, str]], at: int) -> bool:
    """Return whether a password, or password and code, were asked for before."""
    before = [line for line, code in ran[:at] if pam_ways.takes_both(line) and code == "ignore"]
    return bool(before) or first_factors(ran[:at])[0]


def expected(stack: Stack) -> dict[str, object]:
    """Judge by looking at each way as a whole."""
    found: dict[str, set[object]] = {
        name: set() for name in ("asked", "before", "after", "granted", "late")
    }
    for granted, ran in every_way(stack):
        late = False
        for at, (line, code) in enumerate(ran):
            if pam_ways.takes_both(line) and is_too_late(ran, at):
                found["late"].add(line)
                late = late or code == "ignore"
            if pam_ways.asks_for_a_code(line):
                tried, right = first_factors(ran[:at])
                found["asked"].add(line)
                found["after" if tried else "before"] |= set() if right else {line}
        if granted:
            codes = {code for line, code in ran if pam_ways.asks_for_a_code(line)}
            root = any(one.module == "pam_rootok.so" and c == "success" for one, c in ran)
            code = "success" if "success" in codes else "ignore" if "ignore" in codes else ""
            code = "too late" if code == "success" and late else code
            found["granted"].add((first_factors(ran)[1], code, root and stack.service == "su"))
    granted_ways = found["granted"]
    lines = [entry.line for entry in stack.entries]
    ours = any(pam_ways.asks_for_a_code(line) or pam_ways.takes_both(line) for line in lines)
    return {
        "asks": bool(found["asked"]),
        "bypasses": ours and any(not code and not root for _, code, root in granted_ways),
        "for_root": any(not code and root for _, code, root in granted_ways),
        "before_password": found["before"],
        "after_wrong_password": found["after"],
        "without_password": any(
            code and not right and not root for right, code, root in granted_ways
        ),
        "can_succeed": any(right and code == "success" for right, code, _ in granted_ways),
        "lets_exempt_in": any(right and code == "ignore" for right, code, _ in granted_ways),
        "too_late": found["late"],
    }


@settings(max_examples=thorough.examples(100), deadline=None)
@given(
    st.lists(module_lines, min_size=1, max_size=4),
    st.sampled_from(["sshd", "su"]),
    st.integers(0, 4),
    st.sampled_from(["include", "substack"]),
)
def test_the_judge_sees_what_every_single_way_shows(
    lines: list[str], service: str, cut: int, include: str
) -> None:
    text = "".join(lines[cut:])
    stack = stack_of(f"auth {include} part\n{text}", service, part="".join(lines[:cut]))
    found = judge(stack)
    assert expected(stack) == {
        "asks": found.asks,
        "bypasses": bool(found.bypasses),
        "for_root": bool(found.for_root),
        "before_password": set(found.before_password),
        "after_wrong_password": set(found.after_wrong_password),
        "without_password": bool(found.without_password),
        "can_succeed": found.can_succeed,
        "lets_exempt_in": found.lets_exempt_in,
        "too_late": set(found.too_late),
    }
