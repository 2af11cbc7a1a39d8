"""A mistyped pam_totp.so is told from modules that have another name."""

from __future__ import annotations

from admin_cli.doctor import spelling
from tests.support.each import each


@each(
    "word",
    [
        *("pam_ttop.so", "pam_totpp.so", "pam_top.so", "pam-totp.so", "pam_tofp.so"),
        *("pam_totp", "PAM_TOTP.so", "am_totp.so", "pam_topt.so"),
    ],
)
def test_one_slip_is_one(word: str) -> None:
    text = f"# auth required {word}\nauth required {word} window=0 # {word}\n"
    assert [spelling.Misspelled(2, word)] == list(spelling.misspelled(text))


@each(
    "line",
    [
        *("auth required pam_totp.so", "auth required pam_oath.so", "auth required pam_otpw.so"),
        *("auth required pam_unix.so", "account required pam_ttop.so", "@include common-auth"),
    ],
)
def test_other_modules_are_not_taken_for_ours(line: str) -> None:
    assert [] == list(spelling.misspelled(line))


def test_fix_names_the_line() -> None:
    (found,) = spelling.misspelled("\nauth required pam_ttop.so\n")
    assert r"run: sed -i '2s/pam_ttop\.so/pam_totp.so/' /etc/pam.d/su" == spelling.fix_of(
        "/etc/pam.d/su", found
    )
