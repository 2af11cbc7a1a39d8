"""Lines of other modules, and what becomes of them in a PAM file."""

from __future__ import annotations

import pytest

from admin_cli.enable import blocks
from admin_cli.host import other_modules, pam_blocks, pam_file, pam_migration
from pam_totp.stack import pam_lines
from pam_totp.stack.pam_lines import NotUnderstood
from pam_totp.system import config
from tests.support.each import each

GOOGLE, OATH = other_modules.MODULES.values()
PASSWORD = "auth requisite pam_unix.so\n"
FILES = {"other": "auth required pam_deny.so\n"}


def line_for(text: str) -> other_modules.Translation:
    (line,) = pam_lines.lines("sshd", text)
    return other_modules.translated(line)


@each(
    ("control", "theirs", "ours"),
    [
        ("required", GOOGLE, "required pam_totp.so"),
        ("requisite", f"/lib/security/{GOOGLE} nullok", "requisite pam_totp.so nullok"),
        ("required", f"{GOOGLE} echo_verification_code debug", "required pam_totp.so echo debug"),
        (
            "required",
            f"{GOOGLE} [authtok_prompt=Your [x\\] code: ]",
            "required pam_totp.so [prompt=Your [x\\] code: ]",
        ),
        ("required", f"{GOOGLE} authtok_prompt=Code:", "required pam_totp.so prompt=Code:"),
        (
            "required",
            f"{GOOGLE} secret=/var/ga/${{USER}} user=root allowed_perm=0400 no_strict_owner",
            "required pam_totp.so",
        ),
        ("required", f"{GOOGLE} no_increment_hotp", "required pam_totp.so"),
        ("[success=done default=die]", GOOGLE, "[success=done default=die] pam_totp.so"),
        (
            "[success=ok user_unknown=ignore default=die]",
            OATH,
            "[success=ok ignore=ignore default=die] pam_totp.so nullok",
        ),
        (
            "[success=ok user_unknown=ignore ignore=ignore default=bad]",
            f"{GOOGLE} nullok",
            "[success=ok  ignore=ignore default=bad] pam_totp.so nullok",
        ),
        ("sufficient", f"{OATH} usersfile=/etc/users.oath", "sufficient pam_totp.so"),
        ("requisite", f"{OATH} window=5 digits=6", "requisite pam_totp.so window=5"),
        ("requisite", f"{OATH} window=x", "requisite pam_totp.so window=0"),
        ("required", f"{OATH} debug debug_syslog", "required pam_totp.so debug"),
    ],
)
def test_a_line_keeps_what_has_a_counterpart(control: str, theirs: str, ours: str) -> None:
    assert (f"auth {ours}", ()) == line_for(f"auth {control} {theirs}")
    (written,) = pam_lines.lines("sshd", f"auth {ours}")
    assert () == config.parse_arguments(written.arguments).problems


@each(
    ("options", "ours", "note"),
    [
        (f"{GOOGLE} grace_period=60", "", "the like of it is remember"),
        (f"{GOOGLE} forward_pass", "", "password and code are asked for one after the other"),
        (f"{GOOGLE} try_first_pass", "", "try_first_pass has no counterpart"),
        (f"{GOOGLE} use_first_pass", "", "use_first_pass has no counterpart"),
        (f"{GOOGLE} noskewadj", "", "noskewadj has no counterpart"),
        (f"{GOOGLE} authtok_prompt={'x' * 129}", "", "authtok_prompt is left out"),
        (f"{GOOGLE} config=/tmp/mine", "", "config is not an option of"),
        (f"{GOOGLE} unenrolled=skip", "", "unenrolled is not an option of"),
        (f"{OATH} window=20", " window=10", "window=20 becomes 10 steps"),
        (f"{OATH} no_usersfile_okay", "", "nothing is in the file are denied"),
        (f"{OATH} alwaysok", "", "only a right code lets users in"),
        (f"{OATH} allow_replayed_otp_within=9", "", "a code is accepted once"),
    ],
)
def test_an_option_without_counterpart_is_named(options: str, ours: str, note: str) -> None:
    """Also one that only pam_totp knows: nobody gets around the other module's parser."""
    found = line_for(f"auth required {options}")
    assert f"auth required pam_totp.so{ours}" == found.line
    assert note in " ".join(found.notes)


@pytest.mark.parametrize("setting", ["skip", "enroll"])
def test_a_line_that_denies_users_without_a_secret_still_does(setting: str) -> None:
    """Whatever pam_totp.conf says: by a move, nobody gets in who did not before."""
    (strict, lax) = pam_lines.lines(
        "sshd", f"auth required {GOOGLE}\nauth required {GOOGLE} nullok"
    )
    found = other_modules.translated(strict, setting)
    assert "auth required pam_totp.so unenrolled=deny" == found.line
    assert f"remove it once unenrolled = {setting} of" in " ".join(found.notes)
    assert other_modules.translated(lax) == other_modules.translated(lax, setting)


@each(
    ("ours", "setting", "is_refused"),
    [
        ("", "deny", False),
        (" nullok", "deny", True),
        (" unenrolled=enroll", "deny", True),
        (" unenrolled=enroll unenrolled=deny", "skip", False),
        ("", "skip", True),
        ("", "enroll", True),
    ],
)
def test_a_line_is_not_left_out_where_ours_denies_fewer(
    ours: str, setting: str, *, is_refused: bool
) -> None:
    before = f"{PASSWORD}auth required pam_totp.so{ours}\nauth required {GOOGLE}"

    def migrate(text: str) -> str:
        return pam_migration.migrated(
            "sshd", text, GOOGLE, "1a", read=FILES.get, unenrolled=setting
        ).text

    assert 1 == live_lines(migrate(f"{before} nullok\n"))
    if not is_refused:
        assert 1 == live_lines(migrate(before))
        return
    with pytest.raises(NotUnderstood, match="not enrolled, whom pam_google_auth") as caught:
        migrate(before)
    assert (2, True) == (caught.value.number, "unenrolled=deny" in caught.value.hint)


def test_of_two_lines_none_is_left_out_that_denies_more() -> None:
    lax, strict = f"auth required {GOOGLE} nullok\n", f"auth required {GOOGLE}\n"
    counts = [
        live_lines(migrated(f"{PASSWORD}{a}{b}").text) for a in (lax, strict) for b in (lax, strict)
    ]
    assert [1, 2, 1, 1] == counts


def live_lines(text: str) -> int:
    return len([x for x in pam_lines.lines("sshd", text) if x.module_name == "pam_totp.so"])


@pytest.mark.parametrize(
    ("control", "problem"),
    [
        ("[success=ok auth_err=die default=ignore]", "treats maxtries unlike auth_err"),
        ("[success=ok authinfo_unavail=ignore default=die]", "treats authinfo_unavail unlike"),
        ("[success=ok user_unknown=1 default=die]", "has user_unknown=1"),
    ],
)
def test_a_control_that_would_let_refused_users_in_is_refused(control: str, problem: str) -> None:
    with pytest.raises(NotUnderstood, match=problem):
        line_for(f"auth {control} {GOOGLE}")


def migrated(
    text: str, module: str = GOOGLE, *, trial: str = "1a", key: bool = False
) -> pam_migration.Migrated:
    return pam_migration.migrated("sshd", text, module, trial, read=FILES.get, key=key)


def undone(text: str, trial: str = "1a", original: str | None = None) -> str | None:
    return pam_blocks.migration_undone(text, trial, original)


TEXTS = {
    "after the password": (f"{PASSWORD}auth required {GOOGLE}\n", PASSWORD),
    "without an end of line": (f"{PASSWORD}auth required {GOOGLE}", PASSWORD.rstrip("\n")),
    "two lines": (f"{PASSWORD}auth required \\\n  {GOOGLE} \\\n nullok\n", PASSWORD),
    "jumped over": (
        f"{PASSWORD}auth [success=1 default=ignore] pam_access.so\nauth required {GOOGLE}\n"
        "auth required pam_permit.so\n",
        f"{PASSWORD}auth [success=1 default=ignore] pam_access.so\n"
        "auth [default=ignore] pam_permit.so # for the jumps above\nauth required pam_permit.so\n",
    ),
    "jumps": (
        f"{PASSWORD}auth [success=1 default=ignore] {GOOGLE}\nauth requisite pam_deny.so\n"
        "auth required pam_permit.so\n",
        f"{PASSWORD}auth [success=1 default=ignore] pam_permit.so # in place of a code\n"
        "auth requisite pam_deny.so\nauth required pam_permit.so\n",
    ),
    "instead of the password": (f"auth sufficient {GOOGLE}\n{PASSWORD}", PASSWORD),
    "commented out": (
        f"{PASSWORD}# auth required {GOOGLE}\nauth required {GOOGLE}\n",
        f"{PASSWORD}# auth required {GOOGLE}\n",
    ),
}


@each("name", TEXTS)
def test_an_undo_brings_it_back_to_the_byte_and_disable_leaves_none(name: str) -> None:
    before, disabled = TEXTS[name]
    text = migrated(before).text
    assert before == undone(text)
    assert disabled == pam_file.disabled(text)
    assert (None, None, before) == (undone(text, "2b"), undone(text, ""), undone(text, "", before))
    confirmed = pam_blocks.confirmed(text)
    assert (None, disabled) == (undone(confirmed), pam_file.disabled(confirmed))
    assert [] == pam_blocks.of_other_modules(confirmed)
    content = text.encode()
    path = "/etc/pam.d/sshd"
    assert before.encode() == blocks.taken_back(path, content, None, migration="1a")
    assert disabled.encode() == blocks.taken_back(path, content, None)
    live = [line for line in pam_lines.lines("sshd", text) if line.module_name == GOOGLE]
    assert [] == live


def test_a_line_in_place_of_one_that_is_gone_is_no_copy_of_a_password_step() -> None:
    """Doctor compares copies with what enable would write now."""
    text = migrated(TEXTS["jumped over"][0]).text
    assert pam_blocks.REPLACED in text
    assert not pam_blocks.has_copies(text)
    read = {**FILES, "step": f"{PASSWORD}auth sufficient pam_unix.so\n"}.get
    copy = pam_file.enabled("sshd", "auth substack step\n", keys=None, read=read)
    assert pam_blocks.REPLACED in copy
    assert pam_blocks.has_copies(copy)


def test_a_line_that_a_jump_goes_over_is_kept_in_number() -> None:
    before = TEXTS["jumped over"][0]
    count = len(list(pam_lines.lines("sshd", before)))
    assert count == len(list(pam_lines.lines("sshd", migrated(before).text)))
    assert "lets users in without the code, as before" in " ".join(migrated(before).notes)


def test_a_key_and_a_code_without_a_password_stay_that() -> None:
    before = f"auth required {GOOGLE}\n"
    text = migrated(before, key=True).text
    assert "auth required pam_permit.so # in place of a code\n" == pam_file.disabled(text)


@pytest.mark.parametrize("after", ["", "auth required pam_permit.so\n"])
def test_a_code_that_is_all_there_is_cannot_be_moved(after: str) -> None:
    """Without it, once it is disabled, everybody would get in."""
    with pytest.raises(NotUnderstood, match="decides alone"):
        migrated(f"auth required {GOOGLE}\n{after}")


def test_where_codes_are_asked_for_already_a_line_is_taken_out() -> None:
    before = pam_file.enabled("sshd", PASSWORD, keys=None, read=FILES.get)
    before += f"auth required {GOOGLE}\nauth required {OATH} usersfile=/x\n"
    text = migrated(before).text
    assert 1 == text.count(pam_blocks.CODE)
    assert 1 == migrated(text, OATH).text.count(pam_blocks.CODE)
    assert before == undone(text)


def test_both_modules_of_a_file_are_moved_one_after_the_other() -> None:
    before = f"{PASSWORD}auth required {GOOGLE}\nauth required {OATH} usersfile=/x\n"
    first = migrated(before).text
    text = migrated(first, OATH, trial="2b").text
    assert 1 == text.count("\nauth required pam_totp.so")
    assert PASSWORD == pam_file.disabled(text)
    assert first == undone(text, "2b")
    assert first == undone(text, "", first)
    assert first.encode() == blocks.taken_back("/f", text.encode(), "", migration="2b")
    assert first.encode() == blocks.taken_back("/f", text.encode(), "", original=first.encode())


def test_a_line_that_was_not_in_use_before_is_not_brought_back() -> None:
    """Only a comment of an older move, or removed by an administrator: so it stays."""
    before = f"{PASSWORD}auth required {GOOGLE}\n"
    text = migrated(before).text
    assert undone(text, "", text) is None
    assert undone(text, "", PASSWORD) is None
    added_again = f"{text}auth required {GOOGLE}\n"
    assert undone(added_again, "", added_again) is None
    edited = "".join(line for line in text.splitlines(True) if GOOGLE not in line)
    assert undone(edited) is None
    assert PASSWORD == pam_file.disabled(edited)


def test_edits_around_and_in_the_block_stay_where_it_is_undone() -> None:
    before = f"{PASSWORD}auth required {GOOGLE}\n"
    text = migrated(before).text.replace(pam_blocks.END, f"# mine\n{pam_blocks.END}")
    after = f"{PASSWORD}auth required {GOOGLE}\n# mine\n# below\n"
    assert after == undone(f"{text}# below\n")
    assert f"{PASSWORD}# mine\n" == pam_file.disabled(text)


def test_two_lines_for_different_users_both_go_on_asking() -> None:
    """Only one of them is reached by each: without it there would be a way past the code."""
    jump = "auth [success=1 default=ignore] pam_succeed_if.so user ingroup staff\n"
    before = f"{PASSWORD}{jump}auth requisite {GOOGLE} nullok\nauth requisite {GOOGLE}\n"
    text = migrated(before).text
    assert 2 == len([x for x in pam_lines.lines("sshd", text) if x.module_name == "pam_totp.so"])


def test_a_password_that_another_line_asks_for_is_not_lost() -> None:
    forwarding = f"auth required {GOOGLE} forward_pass\n"
    with pytest.raises(NotUnderstood, match="takes the password that"):
        migrated(forwarding + "auth required pam_unix.so use_first_pass\n")
    assert migrated(forwarding + PASSWORD).text


def test_a_line_among_those_of_enable_is_left_to_disable() -> None:
    step = "auth substack step\n"
    files = {**FILES, "step": f"{PASSWORD}auth requisite {GOOGLE}\n"}
    text = pam_file.enabled("sshd", step, keys=None, read=files.get)
    assert GOOGLE in text
    with pytest.raises(NotUnderstood) as caught:
        pam_migration.migrated("sshd", text, GOOGLE, "1a", read=files.get)
    assert "totpctl disable sshd" in caught.value.hint
