"""A phone whose clock or time zone is wrong is named, and its codes are never accepted."""

from __future__ import annotations

import pytest

from pam_totp.core import clock_skew, otp
from pam_totp.core.users import SUSPENDED, UserRecord
from pam_totp.core.verifier import ACCEPTED, REJECTED, Answer, verify
from tests.support.each import each
from tests.support.logs import fields
from tests.support.place import code_now
from tests.unit.alice import ALICE, NOW, PHONE, POLICY, STEP, TABLET, WRONG, code
from tests.unit.door import Door

ZONES = [n for n in range(-28, 29) if n != 0]  # half hours


@each("half_hours", ZONES)
@each("seconds", [0, 25])
def test_every_time_zone_is_named_and_its_code_rejected(half_hours: int, seconds: int) -> None:
    given = code((NOW + half_hours * 1800 + seconds) // 30)
    verdict, record = verify(ALICE, given, NOW, POLICY)
    assert (REJECTED, "phone", 1) == (verdict.outcome, verdict.authenticator, record.failures)
    assert half_hours * 60 == verdict.clock_offset == record.authenticators[0].clock_offset
    hours = f"{abs(half_hours) / 2:g} h {'ahead of' if half_hours > 0 else 'behind'}"
    words = clock_skew.of_authenticator(PHONE, verdict.clock_offset)
    assert f"about {hours} this machine's: is its time zone right?" in words


def test_minutes_are_named_as_seconds() -> None:
    words = clock_skew.of_authenticator(PHONE, -4)
    assert "the clock of phone is about 120 s behind this machine's" == words


@pytest.mark.parametrize(
    ("drift", "learned", "offset", "words"),
    [
        (-3, 0, -1, "is about 120 s behind this machine's"),
        (0, -100, 2, "is about 40 s behind this machine's"),
        (0, 11, 4, "is about 120 s ahead of this machine's"),
        (-5, 0, 5, "agrees with this machine's, but not with what is known of it"),
    ],
)
def test_how_far_a_clock_is_off_includes_what_is_known_of_it(
    drift: int, learned: int, offset: int, words: str
) -> None:
    phone = PHONE._replace(drift=drift, learned=learned)
    assert f"the clock of phone {words}" == clock_skew.of_authenticator(phone, offset)


def test_the_same_number_of_steps_is_searched_for_every_period() -> None:
    for period in (1, 30, 60, 7, 86_400):
        assert clock_skew.STEPS_SEARCHED == len(clock_skew.clock_offsets(period))


@pytest.mark.parametrize(
    "record",
    [
        ALICE,
        ALICE._replace(failures=1),
        ALICE._replace(status=SUSPENDED),
        UserRecord("carol", authenticators=(PHONE, TABLET)),
        UserRecord("carol", authenticators=(PHONE, TABLET), failures=1),
    ],
)
@pytest.mark.parametrize("given", [WRONG, code(STEP + 120), code(STEP - 9)])
def test_what_a_rejected_code_is_compared_with_beyond_the_window_is_the_same_for_all(
    record: UserRecord, given: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []
    hotps = otp.hotps

    def watched(secret: bytes, steps: list[int], *more: object) -> list[bytes]:
        computed.extend(steps)
        return hotps(secret, steps, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(otp, "hotps", watched)
    assert REJECTED == verify(record, given, NOW, POLICY)[0].outcome
    of_the_window = 3 * len(record.authenticators)
    assert clock_skew.STEPS_SEARCHED + of_the_window == len(computed)


def test_each_authenticator_has_its_turn() -> None:
    record = UserRecord("carol", authenticators=(PHONE, TABLET))
    given = Answer("code", otp.hotp(TABLET.secret or b"", STEP + 120))
    found = []
    for _ in range(2):
        verdict, record = verify(record, given, NOW, POLICY)
        found.append((verdict.authenticator, verdict.clock_offset))
    assert [("", 0), ("tablet", 120)] == found


def test_sightings_are_counted_while_they_agree_and_end_with_a_right_code() -> None:
    record, sightings = ALICE, []
    for offset in (120, 121, 119, -60):
        _, record = verify(record, code(STEP + offset), NOW, POLICY)
        sightings.append(record.authenticators[0].clock_sightings)
    assert [1, 2, 3, 1] == sightings
    verdict, record = verify(record, code(STEP), NOW, POLICY)
    phone = record.authenticators[0]
    assert (ACCEPTED, 0, 0) == (verdict.outcome, phone.clock_offset, phone.clock_sightings)


def test_a_login_names_it_in_the_log_and_to_nobody_at_the_prompt(door: Door) -> None:
    skewed = door.login(code_now(120), argv=["attempts=1"])
    line = fields(next(text for text in door.log.lines() if "event=rejected" in text))
    told = "the clock of phone is about 1 h ahead of this machine's: is its time zone right?"
    assert ("phone", told) == (line["authenticator"], line["detail"])
    plain = door.login("000000", user="bob", argv=["attempts=1"])
    assert (plain.result, plain.pamh.transcript) == (skewed.result, skewed.pamh.transcript)
