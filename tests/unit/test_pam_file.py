"""enabled() and disabled(): what is refused, what is kept, and what holds for any file."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admin_cli.host import pam_file
from pam_totp.stack import pam_stack
from tests.support import thorough
from tests.support.each import each
from tests.unit.pam_files import Went, log_in

BEGIN = "# BEGIN pam_totp (written by totpctl enable; taken out by: totpctl disable SERVICE)\n"
END = "# END pam_totp\n"
CODE = "auth required pam_totp.so\n"
DEBIAN = """\
auth [success=1 default=ignore] pam_unix.so nullok
auth requisite pam_deny.so
auth required pam_permit.so
"""
FILES = {
    "other": "auth required pam_deny.so\n",
    "common-auth": DEBIAN,
    "/etc/pam.d/su": DEBIAN,
    "mixed": DEBIAN.replace("required", "optional") + "account required pam_unix.so\n",
    "all-in-one": "auth sufficient pam_unix.so\naccount required pam_unix.so\n",
    "fedora": "auth sufficient pam_unix.so\nauth required pam_deny.so\n",
    "forgets": "auth [success=ok default=reset] pam_access.so\nauth sufficient pam_unix.so\n"
    "auth required pam_deny.so\n",
    "nested": "auth substack fedora\nauth required pam_env.so\n",
}


def reader(service: str, text: str) -> pam_stack.Read:
    return {**FILES, service: text}.get


def enabled(text: str, service: str = "sudo", keys: str | None = None, **files: str) -> str:
    return pam_file.enabled(service, text, keys=keys, read={**FILES, **files}.get)


def refused(text: str, service: str = "sudo", **files: str) -> tuple[str, int, str]:
    with pytest.raises(pam_file.NotUnderstood) as error:
        enabled(text, service, "code" if service == "sshd" else None, **files)
    assert error.value.hint
    return error.value.file, error.value.number, error.value.problem


def log_in_with(text: str, **answers: str) -> Went:
    return log_in("sudo", reader("sudo", text), **answers)


# What is refused, and which line is named


@each(
    ("text", "line"),
    [
        ("auth required\n", ("sudo", 1, "lacks a control or a module")),
        (
            "# sudo\n@include there-is-none\n",
            ("sudo", 2, "includes there-is-none, which does not exist"),
        ),
        (
            "session required pam_limits.so\n",
            ("sudo", 0, "has no auth line of its own"),
        ),
        (
            "auth required pam_rootok.so\n",
            ("sudo", 0, "asks for no password that a code could follow"),
        ),
        (
            "@include common-auth\nauth required pam_totp.so nullok\n",
            ("sudo", 2, "is a pam_totp line that totpctl did not write"),
        ),
        (
            "auth required pam_python.so /usr/lib/pam_totp/hook.py\n@include common-auth\n",
            ("sudo", 1, "is a pam_totp line that totpctl did not write"),
        ),
        (
            "auth [success=4 default=ignore] pam_succeed_if.so user ingroup a\n"
            "@include common-auth\nauth optional pam_cap.so\nauth required pam_permit.so\n",
            ("sudo", 1, "jumps over the place where the code belongs"),
        ),
        (
            "auth [success=3 default=ignore] pam_succeed_if.so user ingroup a\n"
            "@include common-auth\n",
            ("sudo", 2, "makes the code come before the password"),
        ),
        (
            "auth sufficient pam_wheel.so trust\n@include common-auth\n",
            ("sudo", 1, "lets users in without the code"),
        ),
        ("auth sufficient pam_unix.so\n", ("sudo", 1, "lets users in without the code")),
        (
            "@include all-in-one\nauth required pam_deny.so\n",
            ("all-in-one", 1, "lets users in without the code"),
        ),
        (
            "auth sufficient pam_unix.so\naccount required pam_unix.so\n"
            "auth required pam_deny.so\n",
            ("sudo", 1, "lets users in without the code"),
        ),
        (
            "auth include /etc/pam.d/su\n",
            ("sudo", 1, "includes su: the code belongs there"),
        ),
        ("auth optional pam_unix.so\n", ("sudo", 1, "continues after a wrong password")),
        (
            "auth required pam_unix.so\nauth required pam_deny.so\n",
            ("sudo", 1, "continues after a wrong password"),
        ),
        (
            "auth substack nested\n",
            ("sudo", 1, "continues after a wrong password"),
        ),
        (  # of the substack, a jump over one module would become one into its middle
            "auth [success=1 default=ignore] pam_ldap.so\nauth substack fedora\n",
            ("sudo", 1, "continues after a wrong password"),
        ),
        (  # would forget that pam_nologin refused
            "auth required pam_nologin.so\nauth substack forgets\n",
            ("sudo", 2, "continues after a wrong password"),
        ),
    ],
)
def test_a_file_that_is_not_understood_is_refused_with_its_line(
    text: str, line: tuple[str, int, str]
) -> None:
    assert line == refused(text)


def test_a_pam_totp_line_in_an_included_file_is_refused() -> None:
    """It would ask everywhere, and a second time here."""
    line = ("common-auth", 4, "is a pam_totp line that totpctl did not write")
    assert line == refused("@include common-auth\n", **{"common-auth": DEBIAN + CODE})


@pytest.mark.parametrize(
    "service", ["common-auth", "common-auth-pc", "system-auth", "password-auth", "other"]
)
def test_a_part_of_other_files_is_refused(service: str) -> None:
    assert (service, 0, "is part of other services' files, not a service") == refused(
        DEBIAN, service
    )


@pytest.mark.parametrize(("service", "keys"), [("sudo", "code"), ("sshd", "perhaps")])
def test_keys_are_those_of_sshd(service: str, keys: str) -> None:
    with pytest.raises(ValueError, match=f"keys={keys} for {service}"):
        enabled("@include common-auth\n", service, keys)


# Where the code goes


@each(
    ("text", "expected"),
    [
        ("@include common-auth\n", f"@include common-auth\n{BEGIN}{CODE}{END}"),
        ("auth include common-auth\n", f"auth include common-auth\n{BEGIN}{CODE}{END}"),
        ("auth requisite pam_unix.so\n", f"auth requisite pam_unix.so\n{BEGIN}{CODE}{END}"),
        (
            DEBIAN,  # between the deny and the permit, where the jump lands
            "".join(DEBIAN.splitlines(True)[:2]) + BEGIN + CODE + END + DEBIAN.splitlines(True)[2],
        ),
        (
            "auth required pam_unix.so\naccount required pam_unix.so\n",
            BEGIN
            + "#replaced: auth required pam_unix.so\n"
            + "auth requisite pam_unix.so\nauth required pam_permit.so\n"
            + CODE
            + END
            + "account required pam_unix.so\n",
        ),
        (
            "auth sufficient pam_unix.so a [b c]\n\n# then\n-auth sufficient pam_ldap.so\n"
            "auth required pam_deny.so\n",
            BEGIN
            + "#replaced: auth sufficient pam_unix.so a [b c]\n#replaced: \n#replaced: # then\n"
            + "#replaced: -auth sufficient pam_ldap.so\n#replaced: auth required pam_deny.so\n"
            + "auth [success=2 new_authtok_reqd=die default=ignore] pam_unix.so a [b c]\n"
            + "-auth [success=1 new_authtok_reqd=die default=ignore] pam_ldap.so\n"
            + "auth requisite pam_deny.so\nauth required pam_permit.so\n"
            + CODE
            + END,
        ),
        (
            "auth include nested\nauth include fedora\n",
            BEGIN
            + "#replaced: auth include nested\n#replaced: auth include fedora\n"
            + "auth substack fedora\nauth requisite pam_env.so\n"
            + "auth [success=1 new_authtok_reqd=die default=ignore] pam_unix.so\n"
            + "auth requisite pam_deny.so\nauth required pam_permit.so\n"
            + CODE
            + END,
        ),
        (
            "auth [success=done auth_err=die default=ignore] pam_unix.so\n"
            "auth requisite pam_deny.so\n",
            BEGIN
            + "#replaced: auth [success=done auth_err=die default=ignore] pam_unix.so\n"
            + "#replaced: auth requisite pam_deny.so\n"
            + "auth [success=1 auth_err=die default=ignore] pam_unix.so\n"
            + "auth requisite pam_deny.so\nauth required pam_permit.so\n"
            + CODE
            + END,
        ),
        (
            "auth [user_unknown=ignore default=done] pam_unix.so\nauth requisite pam_deny.so\n",
            BEGIN
            + "#replaced: auth [user_unknown=ignore default=done] pam_unix.so\n"
            + "#replaced: auth requisite pam_deny.so\n"
            + "auth [user_unknown=ignore success=1 default=die] pam_unix.so\n"
            + "auth requisite pam_deny.so\nauth required pam_permit.so\n"
            + CODE
            + END,
        ),
    ],
)
def test_the_code_goes_after_the_password(text: str, expected: str) -> None:
    assert expected == enabled(text)
    assert text == pam_file.disabled(expected)
    assert Went(True, 1) == log_in_with(
        expected, password="success", code="success", pam_ldap="user_unknown"
    )


def test_a_line_over_several_lines_comes_back_as_it_was() -> None:
    text = "auth required \\\n\tpam_unix.so \\\n  nullok\nsession optional a.so\n"
    changed = enabled(text)
    assert "auth requisite pam_unix.so nullok\n" in changed
    assert text == pam_file.disabled(changed)


def test_a_jump_may_land_on_the_code() -> None:
    text = "auth [success=1 default=ignore] pam_unix.so\nauth requisite pam_deny.so\n"
    after = "auth required pam_permit.so\n"
    assert f"{text}{BEGIN}{CODE}{END}{after}" == enabled(text + after)


def test_something_must_grant_for_who_is_exempt() -> None:
    """Jumps grant nothing, nor does pam_env; the copy has a pam_permit of its own."""
    text = "auth [success=1 default=ignore] pam_unix.so\nauth requisite pam_deny.so\n"
    changed = enabled(text + "auth required pam_env.so\n")
    assert "#replaced: auth [success=1 default=ignore] pam_unix.so\n" in changed
    assert Went(True, 1) == log_in_with(changed, password="success", code="ignore")


# What somebody did to the block meanwhile


@each(
    ("block", "left"),
    [
        (CODE, ""),
        ("auth required pam_totp.so nullok window=2\n", ""),
        ("  AUTH required /lib/security/pam_totp.so\n", ""),
        ("auth required pam_python.so /usr/lib/pam_totp/hook.py\n", ""),
        ("#auth required pam_totp.so\n", ""),
        ("# auth required pam_totp.so\n", ""),
        ("", ""),
        (CODE + "# mine\n", "# mine\n"),
        ("\n" + CODE + "\n", "\n\n"),
        (CODE + "auth required pam_faildelay.so\n", "auth required pam_faildelay.so\n"),
        (CODE + "session optional pam_motd.so\n", "session optional pam_motd.so\n"),
        (CODE + "auth required\n", "auth required\n"),
        ("#replaced: auth include x\nauth requisite pam_unix.so\n# mine\n" + CODE,
         "auth include x\n# mine\n"),
        ("auth requisite pam_unix.so\nauth required pam_permit.so\n" + CODE,
         "auth requisite pam_unix.so\nauth required pam_permit.so\n"),
    ],
)  # fmt: skip
def test_what_others_wrote_into_a_block_stays(block: str, left: str) -> None:
    text = f"# a\n{BEGIN}{block}{END}# b\n"
    assert f"# a\n{left}# b\n" == pam_file.disabled(text)
    assert f"# a\n{left}# b" == pam_file.disabled(text.removesuffix("\n"))


@each(
    ("text", "left"),
    [
        (f"a\n{BEGIN}{CODE}b\n", "a\nb\n"),
        (f"a\n{BEGIN}b\n", "a\nb\n"),
        (f"a\n{BEGIN}", "a\n"),
        (f"a\n{BEGIN}{CODE}b\n{BEGIN}{CODE}{END}c\n", "a\nb\nc\n"),
        (f"{BEGIN}#replaced: a\nauth requisite pam_unix.so\n{CODE}auth optional b\n",
         "a\nauth optional b\n"),
        (f"a\n{END}b\n", f"a\n{END}b\n"),
        (f"a\n{BEGIN}{CODE}{END}{BEGIN}{CODE}{END}b\n", "a\nb\n"),
        ("# BEGIN pam_totp, by hand\nauth required pam_totp.so\n# END pam_totp!\n", ""),
    ],
)  # fmt: skip
def test_marks_that_are_missing_take_no_other_lines_with_them(text: str, left: str) -> None:
    assert left == pam_file.disabled(text)


def test_a_note_in_the_block_is_no_reason_to_write_again() -> None:
    changed = enabled("@include common-auth\n").replace(CODE, "# ask Ann\n" + CODE)
    assert changed == enabled(changed)


def test_a_line_that_was_changed_is_written_again() -> None:
    changed = enabled("@include common-auth\n")
    assert changed == enabled(changed.replace(CODE, "auth optional pam_totp.so\n"))
    assert changed == enabled(changed.replace(CODE, ""))


def test_a_block_in_a_place_that_has_become_wrong_is_written_again() -> None:
    changed = enabled("auth optional pam_env.so\n@include common-auth\n")
    moved = f"{BEGIN}{CODE}{END}" + changed.replace(f"{BEGIN}{CODE}{END}", "")
    assert changed == enabled(moved)


def test_a_copy_follows_the_file_that_it_was_made_of() -> None:
    text = "auth include fedora\n"
    changed = enabled(text)
    later = "auth sufficient pam_unix.so\nauth sufficient pam_sss.so\nauth required pam_deny.so\n"
    assert "pam_sss.so" in enabled(changed, fedora=later)
    assert text == pam_file.disabled(enabled(changed, fedora=later))


def test_keys_are_read_back_from_the_lines_if_the_note_is_gone() -> None:
    changed = enabled("@include common-auth\n", "sshd", "code")
    lines = [line for line in changed.splitlines(True) if not line.startswith("# keys")]
    assert "code" == pam_file.keys_of("".join(lines))
    assert None is pam_file.keys_of(enabled("@include common-auth\n"))
    assert None is pam_file.keys_of("@include common-auth\n# keys: skip\n")


# Any file at all

any_line = st.sampled_from(
    [
        "@include common-auth",
        "@include mixed",
        "auth\tinclude   fedora",
        "auth substack fedora # comment",
        "auth include nested",
        "auth required pam_unix.so",
        "auth sufficient pam_unix.so try_first_pass",
        "-auth [success=2 default=ignore] pam_ldap.so",
        "auth [success=1 default=ignore] pam_unix.so",
        "auth [success=done new_authtok_reqd=done default=ignore] pam_sss.so",
        "auth requisite \\\n   pam_deny.so",
        "auth required pam_deny.so",
        "auth required pam_permit.so",
        "auth optional pam_env.so",
        "auth sufficient pam_rootok.so",
        "auth requisite pam_nologin.so",
        "account required pam_unix.so",
        "session optional [pam_exec.so] [a b]",
        "",
        "# caf\u00e9 \udce9 \u2028 comment\r",
        "#auth required pam_totp.so",
        "  ",
    ]
)
any_file = st.tuples(st.lists(any_line, max_size=7), st.sampled_from(["\n", ""])).map(
    lambda drawn: "\n".join(drawn[0]) + drawn[1]
)


@settings(max_examples=thorough.examples(150), deadline=None)
@given(any_file, st.sampled_from([("sudo", None), ("sshd", "code"), ("sshd", "skip")]))
def test_whatever_is_written_is_sound_and_comes_out_again(
    text: str, how: tuple[str, str | None]
) -> None:
    service, keys = how
    try:
        changed = enabled(text, service, keys)
    except pam_file.NotUnderstood:
        return
    assert text == pam_file.disabled(changed)
    assert changed == enabled(changed, service, keys)
    assert keys == pam_file.keys_of(changed)
    stack = pam_stack.auth_stack(service, reader(service, changed))
    found = pam_stack.judge(stack)
    assert found.asks
    assert found.can_succeed
    assert found.lets_exempt_in
    assert () == found.bypasses + found.before_password + found.after_wrong_password
    assert () == found.without_password
    assert keys == "code" or pam_stack.proves_password(service, reader(service, changed))


@settings(max_examples=thorough.examples(100), deadline=None)
@given(st.text(alphabet="# BEGNDpamtotplcedi:auhrqs.[]=\n\r\t\\\u2028", max_size=80))
def test_text_without_our_marks_is_left_alone(text: str) -> None:
    assert text == pam_file.disabled(text)


@settings(max_examples=thorough.examples(100), deadline=None)
@given(
    st.lists(st.one_of(any_line, st.sampled_from([BEGIN[:-1], END[:-1], CODE[:-1]])), max_size=9)
)
def test_disabling_twice_changes_no_more_than_once(lines: list[str]) -> None:
    once = pam_file.disabled("\n".join(lines))
    assert once == pam_file.disabled(once)
    assert not pam_file.is_managed(once)
