"""Lines of PAM files, word by word; how libpam takes them is asked of it in tests/pam."""

from __future__ import annotations

import pytest

from pam_totp.stack.pam_lines import Line, NotUnderstood, actions, lines, token
from tests.support.each import each


def parsed(text: str) -> list[Line]:
    return list(lines("sshd", text))


def refused(text: str) -> tuple[int, str]:
    with pytest.raises(NotUnderstood) as error:
        list(map(actions, lines("sshd", text)))
    return error.value.number, error.value.problem


@each(
    ("text", "expected"),
    [
        (
            "auth required pam_unix.so\n",
            Line("sshd", 1, "auth", "required", "pam_unix.so", (), 1),
        ),
        (
            "\n# c\n-AUTH\t[success=1  default=ignore] pam_x.so a=b  c # d\n",
            Line(
                "sshd", 3, "auth", "[success=1  default=ignore]", "pam_x.so", ("a=b", "c"), 3, True
            ),
        ),
        (
            "auth \\\n  required \\\n\tpam_unix.so nullok",
            Line("sshd", 1, "auth", "required", "pam_unix.so", ("nullok",), 3),
        ),
        (
            "auth required pam_exec.so [a b\\] c] d\n",
            Line("sshd", 1, "auth", "required", "pam_exec.so", ("a b] c", "d"), 1),
        ),
        ("@include common-auth\n", Line("sshd", 1, "@include", "", "common-auth", (), 1)),
        (
            "auth substack password-auth\n",
            Line("sshd", 1, "auth", "substack", "password-auth", (), 1),
        ),
    ],
)
def test_a_line_is_read(text: str, expected: Line) -> None:
    assert [expected] == parsed(text)


def test_a_number_is_that_of_the_first_line() -> None:
    text = "# one\nauth required \\\n  a.so\n\naccount required b.so\n"
    assert [(2, 3), (5, 5)] == [(line.number, line.last) for line in parsed(text)]


@each(
    ("text", "number", "problem"),
    [
        ("auth required\n", 1, "lacks a control or a module"),
        ("\nauth\n", 2, "lacks a control or a module"),
        ("sshd auth required pam_unix.so\n", 1, "begins with 'sshd', which is no type of PAM's"),
        ("@include\n", 1, "@include needs the name of one file"),
        ("@include a b\n", 1, "@include needs the name of one file"),
        ("auth required] a.so\n", 1, "has a control that PAM does not know: required]"),
        ("auth [success=ok\\]] a.so\n", 1, "has a control that PAM does not know: [success=ok]]"),
        ("auth [[required\\]] a.so\n", 1, "has a control that PAM does not know: [[required]]"),
        *(
            (
                f"auth required {name}\n",
                1,
                f"names {name}, which is no module: PAM reads no further",
            )
            for name in ("/lib/security/", "a/", ".so", "/.so", "?", "?.so")
        ),
        ("auth require pam_unix.so\n", 1, "has a control that PAM does not know: require"),
        (
            "auth [success=okay] pam_unix.so\n",
            1,
            "has a control that PAM does not know: [success=okay]",
        ),
        ("auth [] pam_unix.so\n", 1, "lacks a control or a module"),
        ("auth [success=0] a.so\n", 1, "has a control that PAM does not know: [success=0]"),
        ("auth [succes=ok] a.so\n", 1, "has a control that PAM does not know: [succes=ok]"),
        ("auth [success ok] a.so\n", 1, "has a control that PAM does not know: [success ok]"),
        ("auth required \\\n", 1, 'ends in "\\", and no line follows'),
        ("auth required \\", 1, 'ends in "\\", and no line follows'),
        ("auth required \\\n# c\na.so\n", 2, "comes between a line and its continuation"),
        ("auth required \\\n\na.so\n", 2, "comes between a line and its continuation"),
        ("auth required a.so \0\n", 1, "has a zero byte in it"),
        (
            "auth required a.so\r\n",
            1,
            "ends in a carriage return, which PAM takes for text",
        ),
        (f"auth required a.so {'x' * 1000}\n", 1, "is longer than 1000 bytes"),
        (f"# {'x' * 1000}\n", 1, "is longer than 1000 bytes"),
        (f"auth a \\\n {'x' * 600} \\\n {'x' * 600}\n", 1, "is longer than 1000 bytes, joined"),
    ],
)
def test_what_libpam_would_make_something_else_of_is_refused(
    text: str, number: int, problem: str
) -> None:
    """It lets the line fail, or its releases differ in what they make of it."""
    assert (number, problem) == refused(text)


def test_a_carriage_return_in_a_comment_harms_nobody() -> None:
    assert [] == parsed("# from Windows\r\n")


@each(
    ("control", "code", "action"),
    [
        ("required", "success", "ok"),
        ("required", "ignore", "ignore"),
        ("required", "user_unknown", "bad"),
        ("REQUISITE", "auth_err", "die"),
        ("sufficient", "success", "done"),
        ("sufficient", "auth_err", "ignore"),
        ("optional", "new_authtok_reqd", "ok"),
        ("optional", "ignore", "ignore"),
        ("[success=2 default=die]", "success", 2),
        ("[success=2 default=die]", "ignore", "die"),
        ("[default=die success=2]", "success", 2),
        ("[success=ok]", "auth_err", "bad"),
        ("[ success = ok\tdefault=12 ]", "auth_err", 12),
        ("[required]", "success", "ok"),
        ("success=ok", "success", "ok"),
        ("[success=okdefault=ignore]", "auth_err", "ignore"),
    ],
)
def test_a_control_says_what_a_code_leads_to(control: str, code: str, action: object) -> None:
    line = Line("sshd", 1, "auth", control, "pam_unix.so", ())
    assert action == actions(line)[code]


def test_a_bracket_ends_where_the_next_word_begins() -> None:
    assert ("a b", "c d") == token("[a b]c d")


def test_an_error_says_which_file_and_line() -> None:
    with pytest.raises(NotUnderstood) as error:
        parsed("\nauth\n")
    assert "PAM file sshd, line 2: lacks a control or a module" == str(error.value)
    assert ("sshd", 2) == (error.value.file, error.value.number)
