"""Every file in tests/vectors/import is read as its expectation says."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest

from admin_cli.errors import CommandFailed
from admin_cli.importing import recognition, supported, tokens
from admin_cli.importing.formats import FORMATS
from admin_cli.importing.sources import TokenFile
from admin_cli.importing.tokens import HOTP, TOTP, Contents, Rejected, Token
from pam_totp.core import otp
from tests.support.each import each
from tests.support.import_samples import ALL, FILES, FOLDER, ROSTERS, Sample

# The reasons why no account gets it, which come after reading.
AFTER_READING = ("no such account", "twice, with different secrets")
# Of the name that a format has here, and how it begins in the expectations.
NAMES = {
    "otpauth": "otpauth list",
    "entra-csv": "csv (Entra",
    "freeipa": "FreeIPA",
    "safenet": "SafeNet",
    "qr-picture": "otpauth-migration",
    "freeotp-plus": "FreeOTP+",
    "bitwarden-csv": "Bitwarden",
}


def name_of(sample: Sample) -> str:
    return sample.name


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """users.oath has the local time of its machine."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def read(sample: Sample) -> tuple[str, Contents]:
    file = TokenFile(sample.name, sample.path.read_bytes(), sample.person)
    return recognition.read(file, sample.unlocking())


def told_apart(contents: Contents) -> tuple[list[Token], list[Rejected]]:
    """Return what can be held, and what is refused."""
    kept, refused = [], list(contents.rejected)
    for token in contents.tokens:
        reason = supported.refusal(token) or supported.doubt(token)
        if reason:
            refused.append(Rejected(token.place, reason, token.user, token.serial))
        else:
            kept.append(token)
    return kept, refused


def seen(token: Token) -> dict[str, Any]:
    """Return ``token`` as an expectation has it."""
    fields = {
        "user": token.user or None,
        "type": token.kind,
        "secret_hex": token.secret.hex(),
        "algorithm": token.algorithm,
        "digits": token.digits,
        "serial": token.serial or None,
        "scratch_codes": token.recovery_codes,
    }
    if token.kind == HOTP:
        return fields | {"next_counter": token.next_counter}
    return fields | {
        "period": token.period,
        "drift_steps": token.drift,
        "last_accepted_step": token.last_accepted_step,
    }


def wanted(sample: Sample, *, zone: str = "UTC") -> list[dict[str, Any]]:
    fields = ("user", "type", "secret_hex", "algorithm", "digits", "serial", "scratch_codes")
    of_kind = {HOTP: ("next_counter",), TOTP: ("period", "drift_steps", "last_accepted_step")}
    expected = []
    for token in sample.tokens:
        entry = {name: token[name] for name in (*fields, *of_kind[token["type"]])}
        entry["scratch_codes"] = len(entry["scratch_codes"])
        expected.append(entry)
    return [e for e in expected if not (e["user"] == "judy" and zone == "UTC")]


@each("sample", [s for s in FILES if s.expected["accepted"]], ids=name_of)
def test_a_file_gives_the_tokens_of_its_expectation(sample: Sample) -> None:
    _, contents = read(sample)
    kept, _ = told_apart(contents)
    expected = wanted(sample)
    # What an account is missing for is refused later; judy's step is that of another zone.
    late = [r for r in sample.rejected if r["reason"] in AFTER_READING]
    early = [t for t in kept if t.user not in {r.get("user") for r in late} | {"judy"}]
    assert [e for e in expected if e["user"] != "judy"] == [seen(token) for token in early]


@each("sample", FILES, ids=name_of)
def test_a_file_refuses_what_its_expectation_refuses(sample: Sample) -> None:
    try:
        _, contents = read(sample)
    except CommandFailed:
        assert not sample.expected["accepted"]
        assert ["file"] == [rejected["where"] for rejected in sample.rejected]
        return
    _, refused = told_apart(contents)
    expected = [r for r in sample.rejected if not r["reason"].startswith(AFTER_READING)]
    assert len(expected) == len(refused)
    for row in expected:
        key = row.get("where", "") if row.get("where") != "file" else ""
        assert any(
            (key in r.place or key in r.reason)
            and row.get("user", "") in r.user
            and row.get("serial", "") in r.serial
            for r in refused
        ), row


@each("sample", [s for s in FILES if s.tokens], ids=name_of)
def test_what_was_read_gives_the_code_of_the_expectation(sample: Sample) -> None:
    kept, _ = told_apart(read(sample)[1])
    by_secret = {token.secret.hex(): token for token in kept}
    for expected in sample.tokens:
        token, check = by_secret[expected["secret_hex"]], expected["check"]
        if token.kind == HOTP:
            counter = token.next_counter
        else:
            counter = otp.time_step(check["at"], expected["period"]) + token.drift
        digits = expected["digits"]
        assert check["code"] == otp.hotp(token.secret, counter, token.algorithm, digits)


@each("sample", [s for s in FILES if s.tokens], ids=name_of)
def test_a_format_is_recognized_by_its_content(sample: Sample) -> None:
    found, _ = read(sample)
    assert found in FORMATS
    name = str(sample.expected["format"]).lower()
    assert name.startswith(NAMES.get(found, found).lower())


def test_every_format_has_a_file_and_every_file_an_expectation() -> None:
    there = {str(p.relative_to(FOLDER)) for p in FOLDER.rglob("*") if p.is_file()}
    there = {n for n in there if n != "README.md" and not n.endswith(".expected.json")}
    assert there == {sample.name for sample in ALL}
    assert set(FORMATS) == {read(sample)[0] for sample in FILES if sample.tokens}


@pytest.mark.parametrize("sample", ROSTERS, ids=name_of)
def test_a_list_of_people_is_no_file_of_tokens(sample: Sample) -> None:
    with pytest.raises(tokens.Unreadable, match="is in no format that is known"):
        read(sample)


def test_a_time_in_the_hour_that_summer_time_repeats_is_told_by_its_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    (sample,) = (s for s in FILES if s.name == "users-oath/good.oath")
    (judy,) = (token for token in read(sample)[1].tokens if token.user == "judy")
    (expected,) = (token for token in sample.tokens if token["user"] == "judy")
    assert expected["last_accepted_step"] == judy.last_accepted_step


def test_codes_of_an_export_that_are_missing_are_named() -> None:
    for sample in ALL:
        if sample.name.startswith("otpauth-migration"):
            missing = tokens.missing_parts(read(sample)[1].parts)
            assert sample.expected.get("complete", True) == (not missing)
            assert all("1 of the 2 QR codes of an export are missing: number" in m for m in missing)


@each("name", FORMATS)
def test_each_format_on_the_command_line_has_a_reader(name: str) -> None:
    """That finds no token where none is."""
    file, found = TokenFile("file", b"no tokens at all\n"), Contents()
    with contextlib.suppress(CommandFailed):
        _, found = recognition.read(file, ROSTERS[0].unlocking(), name)
    assert () == found.tokens
