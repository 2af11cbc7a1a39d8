"""Enrolment while somebody logs in: what they see, and what is kept."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pam_totp.core.users import ACTIVE
from pam_totp.login import messages, picture
from tests.cli.terminal import DARK, LIGHT, photograph, scan, secret_of, uri_in
from tests.unit.fake_pam import CONSTANTS, PamException
from tests.unit.front_door import CODE, FrontDoor, Person, enrol

RECOVERY_CODE = re.compile(r"\b(?:[0-9A-Z]{4}-){3}[0-9A-Z]{4}\b")


def test_who_gives_a_code_of_the_new_app_is_enrolled_and_in(front: FrontDoor, bob: Person) -> None:
    entered = enrol(front, bob)
    assert "PAM_SUCCESS" == entered.result
    assert [messages.CODE_OF_THE_APP, messages.PRESS_ENTER] == entered.pamh.prompts
    assert messages.ENROLLED == entered.messages[-1]
    assert ["unenrolled", "enrolled", "codes_issued"] == front.door.log.events()
    enrolled, issued = front.door.log.lines()[1:]
    assert "user=bob rhost=198.51.100.7 tty=ssh authenticator=phone" in enrolled
    assert "recovery_codes_left=10" in issued
    record = front.record()
    assert record is not None
    assert (ACTIVE, 10, 0) == (record.status, len(record.recovery_digests), record.failures)
    (authenticator,) = record.authenticators
    now = int(front.door.clock.now)
    assert ("phone", "SHA1", 6, 30) == (
        authenticator.label,
        authenticator.algorithm,
        authenticator.digits,
        authenticator.period,
    )
    assert (now // 30, None, now) == (
        authenticator.last_accepted_step,
        authenticator.last_used_at,
        authenticator.created_at,
    )


def test_next_login_asks_for_a_code_and_takes_no_code_twice(front: FrontDoor, bob: Person) -> None:
    enrol(front, bob)
    entered = front.log_in(bob.code(), bob.code(1))
    assert [CODE, CODE] == entered.pamh.prompts
    assert ["replayed", "accepted"] == front.door.log.events()[-2:]
    assert "PAM_SUCCESS" == entered.result


def test_every_recovery_code_that_was_shown_logs_in_once(front: FrontDoor, bob: Person) -> None:
    codes = RECOVERY_CODE.findall("\n".join(enrol(front, bob).messages))
    assert 10 == len(set(codes)) == len(codes)
    assert ["PAM_SUCCESS"] * 10 == [front.log_in(code).result for code in codes]
    assert "PAM_AUTH_ERR" == front.log_in(codes[0], argv=["attempts=1"]).result


def test_a_camera_reads_the_address_off_a_dark_screen(
    front: FrontDoor, bob: Person, tmp_path: Path
) -> None:
    shown = enrol(front, bob).messages
    drawn = "\n".join(line for line in shown if "\u2588" in line)
    read = scan(photograph(drawn, DARK), tmp_path)
    assert uri_in("\n".join(shown)) == read
    assert read.startswith("otpauth://totp/Front%20Door:bob@")
    assert bob.secret == secret_of(read)


def test_a_camera_reads_the_address_off_a_light_screen_after_enter(
    front: FrontDoor, bob: Person, tmp_path: Path
) -> None:
    entered = front.log_in("", bob.types_the_code, "")
    assert "PAM_SUCCESS" == entered.result
    assert [messages.CODE_OF_THE_APP] * 2 + [messages.PRESS_ENTER] == entered.pamh.prompts
    at = [n for n, line in enumerate(entered.messages) if line.startswith("Secret: ")]
    assert 3 == len(at)
    light = entered.messages[at[1] + 1 : at[2]]
    assert uri_in("\n".join(entered.messages)) == scan(
        photograph("\n".join(light), LIGHT), tmp_path
    )
    assert ["unenrolled", "enrolled", "codes_issued"] == front.door.log.events()


def test_enter_shows_another_picture_once(front: FrontDoor, bob: Person) -> None:
    entered = front.log_in("", "", "", "")
    assert "PAM_AUTH_ERR" == entered.result
    assert 3 == len([line for line in entered.messages if line.startswith("Secret: ")])
    assert ["unenrolled"] + ["malformed"] * 3 == front.door.log.events()


def test_pixels_between_the_lines_of_a_dark_screen_do_not_hide_the_address(
    front: FrontDoor, bob: Person, tmp_path: Path
) -> None:
    front.configure(issuer="Town")
    shown = enrol(front, bob).messages
    drawn = "\n".join(line for line in shown if "\u2588" in line)
    read = [scan(photograph(drawn, DARK, gap=gap), tmp_path) for gap in range(6)]
    assert [uri_in("\n".join(shown))] * 6 == read


def test_the_configuration_can_leave_the_picture_out(front: FrontDoor, bob: Person) -> None:
    front.configure(qr_code="no")
    entered = enrol(front, bob)
    assert "PAM_SUCCESS" == entered.result
    assert not any("\u2588" in line for line in entered.messages)
    assert bob.secret == secret_of(uri_in("\n".join(entered.messages)))
    assert 1 == len([line for line in entered.messages if line.startswith("Secret: ")])


def test_a_small_screen_shows_the_whole_picture_the_secret_and_the_prompt(
    front: FrontDoor, bob: Person
) -> None:
    shown = front.log_in(PamException()).messages
    first = next(number for number, line in enumerate(shown) if "\u2588" in line)
    assert len(shown) - first + 1 <= 24
    assert max(map(len, shown[first:])) <= 80
    assert shown[-1].startswith("Secret: ")


def test_every_message_keeps_to_the_limit_of_pam_and_holds_no_control_sequence(
    front: FrontDoor, bob: Person
) -> None:
    front.configure(issuer='"' + "\u00fc" * 128 + '"')
    for style, text in enrol(front, bob).pamh.transcript:
        is_address = text.startswith("  otpauth://")
        assert is_address or len(text.encode("utf-8")) < CONSTANTS.get("PAM_MAX_MSG_SIZE", 512)
        assert text == "" or text.isprintable()
        assert style in (CONSTANTS["PAM_TEXT_INFO"], CONSTANTS["PAM_PROMPT_ECHO_OFF"])


def test_a_picture_that_is_too_wide_for_a_terminal_is_left_out(
    front: FrontDoor, bob: Person
) -> None:
    front.configure(issuer='"' + "\u00fc" * 128 + '"')
    shown = enrol(front, bob).messages
    assert not any("\u2588" in line for line in shown)
    assert bob.secret == secret_of(uri_in("\n".join(shown)))


@pytest.mark.parametrize(
    "script",
    [
        "raise SystemExit(1)",
        "print('otpauth')",
        "import sys, time; sys.stdin.read(); time.sleep(20); print('otpauth://late')",
        "import sys; sys.stdout.buffer.write(b'otpauth://' + bytes(1 << 20))",
        "import sys; sys.stdout.buffer.write(b'otpauth://\\xff\\n')",
        "import os; os.close(0); os.close(1); raise SystemExit(1)",
    ],
    ids=["fails", "nonsense", "hangs", "far too much", "no text", "hears nothing"],
)
def test_without_the_program_that_draws_the_secret_alone_is_shown(
    front: FrontDoor, bob: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    other = tmp_path / "picture"
    other.write_text(script + "\n", encoding="utf-8")
    monkeypatch.setattr(picture, "PROGRAM", str(other))
    monkeypatch.setattr(picture, "SECONDS", 0.5)
    entered = enrol(front, bob)
    assert "PAM_SUCCESS" == entered.result
    assert not any("otpauth" in text for text in entered.messages)
    assert [bob.secret] == [
        secret_of("?secret=" + text.removeprefix("Secret: ").replace(" ", ""))
        for text in entered.messages
        if text.startswith("Secret: ")
    ]


def test_secret_and_codes_reach_neither_the_log_nor_an_argument_nor_the_environment(
    front: FrontDoor, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawned: list[object] = []
    spawn = picture.os.posix_spawn

    def watched(*arguments: object, **options: object) -> object:
        spawned.append(repr((arguments, options)))
        return spawn(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(picture.os, "posix_spawn", watched)
    shown = "\n".join(enrol(front, bob).messages)
    text = "\n".join([*front.door.log.lines(), *map(str, spawned)])
    assert 1 == len(spawned)
    assert "bob" not in str(spawned)
    secrets = [bob.secret.hex(), uri_in(shown).split("secret=")[1][:32], bob.code()]
    secrets += RECOVERY_CODE.findall(shown)
    assert [] == [secret for secret in secrets if secret in text]
