"""totpctl import: names, what is written, what is refused, and what is said."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from admin_cli.importing import trust
from pam_totp.core import otp, users
from pam_totp.core.users import Authenticator, UserRecord
from tests.cli.command import ME, Result, Totpctl
from tests.support.import_samples import FILES, ROSTERS, Sample
from tests.support.logs import LogSocket
from tests.support.place import SECRET, Place, code_now

OTHERS = (
    "barney",
    "erika",
    "dave",
    "erin",
    "grace",
    "heidi",
    "ivan",
    "judy",
    "ken",
    "mallory",
    "o'brien",
    "wilma",
    "empty",
)
HEX = SECRET.hex()


@pytest.fixture(autouse=True)
def more_people(totpctl: Totpctl) -> None:
    totpctl.canonical = {name: name for name in (*OTHERS, "frank", "Jürgen")}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


def written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return str(path)


def kept(place: Place, name: str) -> tuple[Authenticator, ...]:
    """Return the authenticators of ``name``, with their secrets."""
    with place.open() as store, store.transaction(name) as transaction:
        return transaction.record.authenticators if transaction.record else ()


def secrets_of(place: Place) -> int:
    with place.open() as store:
        return sum(len(record.authenticators) for record in store.records())


# Every sample, through the command


def options(sample: Sample, folder: Path) -> list[str]:
    """Return what an administrator would add for ``sample``."""
    given = ["--strip-domain", "--skip-bad", "--partial", "--no-mac"]
    needs = sample.expected["needs"] or {}
    if "key_hex" in needs:
        given += ["--key-file", written(folder / "key", needs["key_hex"])]
    if "password" in needs:
        given += ["--passphrase-file", written(folder / "passphrase", needs["password"] + "\n")]
    if sample.name.startswith("google-authenticator"):
        given += ["--user", sample.person]
    for token, name in zip(
        [t for t in sample.tokens if not t["user"] and t["serial"]],
        ("bob", "carol", "dave", "erin", "grace"),
        strict=False,
    ):
        given += ["--assign", f"{name}={token['serial']}"]
    return given


def account(token: dict[str, Any]) -> str:
    return str(token["user"]).rpartition("\\")[2].partition("@")[0]


@pytest.mark.parametrize("sample", FILES, ids=lambda sample: str(sample.name))
def test_every_sample_is_imported_as_its_expectation_says(
    totpctl: Totpctl, place: Place, tmp_path: Path, sample: Sample
) -> None:
    at = int(time.time())
    zone = {"TZ": "UTC"}
    result = totpctl("import", str(sample.path), *options(sample, tmp_path), "--json", **zone)
    assert_no_secret(sample, result)
    wanted = [t for t in sample.tokens if t["user"] or t["serial"]]
    assert (0 if wanted else 1) == result.code, result.err
    assert ("" if not wanted else "changed") in result.out
    holders = {a.secret: a for name in everybody(place) for a in kept(place, name)}
    assert {t["secret_hex"] for t in wanted} == {str(secret.hex()) for secret in holders if secret}
    for token in wanted:
        of_person = kept(place, account(token)) if token["user"] else holders.values()
        (found,) = (
            a
            for a in of_person
            if a.secret == bytes.fromhex(token["secret_hex"])
            and (a.digits, a.period) == (token["digits"], token.get("period") or 30)
        )
        assert_same(found, token, at)
    for each in sample.rejected:
        for key in ("serial", "user"):
            assert str(each.get(key, "")) in result.err
        assert each.get("where", "file").replace("file", "") in result.err


def everybody(place: Place) -> list[str]:
    with place.open() as store:
        return [record.name for record in store.records()]


def assert_same(found: Authenticator, token: dict[str, Any], at: int) -> None:
    """Compare what is kept with an expectation; ``at``: when the import began."""
    assert found.secret is not None
    assert token["algorithm"] == found.algorithm
    assert (token["type"], token["digits"]) == (found.kind, found.digits)
    assert (token["serial"] or "") == found.serial
    check = token["check"]
    if token["type"] == "hotp":
        assert token["next_counter"] == found.counter == check["counter"]
        shown = otp.hotp(found.secret, found.counter, found.algorithm, found.digits)
        assert (check["code"], 0) == (shown, found.drift)
        return
    assert (token["period"], token["drift_steps"]) == (found.period, found.drift)
    step = otp.time_step(check["at"], found.period) + found.drift
    assert check["code"] == otp.hotp(found.secret, step, found.algorithm, found.digits)
    if token["user"] == "judy":  # in another zone: nothing used is good again
        assert found.last_accepted_step > token["last_accepted_step"]
    elif token["last_accepted_step"] is not None:
        assert token["last_accepted_step"] == found.last_accepted_step
    else:
        assert found.current_step(at) <= found.last_accepted_step <= found.current_step(at + 60)


@pytest.mark.parametrize("sample", FILES, ids=lambda sample: str(sample.name))
def test_nothing_is_imported_if_anything_is_bad(
    totpctl: Totpctl, place: Place, tmp_path: Path, sample: Sample
) -> None:
    """And neither the dry run nor the refusal shows a secret."""
    given = [o for o in options(sample, tmp_path) if o not in ("--skip-bad", "--partial")]
    bad = (
        not sample.expected["accepted"]
        or sample.expected.get("complete") is False
        or any("user" in r or "serial" not in r for r in sample.rejected)
    )
    more = () if bad else ("--dry-run", "--json")
    result = totpctl("import", str(sample.path), *given, *more, TZ="UTC")
    assert_no_secret(sample, result)
    assert (int(bad), 0) == (result.code, secrets_of(place)), result.err


def assert_no_secret(sample: Sample, result: Result) -> None:
    for token in sample.tokens:
        for secret in (token["secret_hex"], token["secret_base32"]):
            assert secret.lower() not in (result.out + result.err).lower()


@pytest.mark.parametrize("sample", ROSTERS, ids=lambda sample: str(sample.name))
def test_a_list_of_people_is_refused(totpctl: Totpctl, sample: Sample) -> None:
    result = totpctl("import", str(sample.path))
    assert 1 == result.code
    assert "is in no format that is known" in result.err


# Whose it is


def test_a_phone_that_was_imported_logs_in_with_its_next_code(
    totpctl: Totpctl, place: Place, file: Path, log: LogSocket
) -> None:
    result = totpctl.done("import", written(file, f"HOTP/T30 alice - {HEX}\n"))
    assert (
        "USER   AUTHENTICATOR  TYPE  ALGORITHM  DIGITS  PERIOD  DRIFT  LAST CODE  FROM    RESULT\n"
        "alice  phone          TOTP  SHA1       6       30      0      not known  line 1  new\n"
    ) == result.out
    assert (
        "1 of 1 tokens are new\n"
        "no recovery codes, as old ones are not imported: alice; issue new ones with: "
        "totpctl recovery-codes USER\n"
        f"the secrets are still in {file}: once everybody has logged in with a code, delete them "
        "with shred -u\n"
    ) == result.err
    assert ["enrolled"] == log.events()
    assert 6 == totpctl("verify", "alice", answers=code_now() + "\n").code  # counts as used
    assert 0 == totpctl("verify", "alice", answers=code_now(1) + "\n").code


def test_a_second_run_changes_nothing(totpctl: Totpctl, place: Place, file: Path) -> None:
    path = written(file, f"HOTP/T30 alice - {HEX}\nHOTP/T60/8 bob - {HEX}\n")
    totpctl.done("import", path)
    before = [kept(place, name) for name in ("alice", "bob")], place.record("alice")
    again = totpctl.done("import", path, "--json")
    assert before == ([kept(place, name) for name in ("alice", "bob")], place.record("alice"))
    assert ["already there"] * 2 == [token["result"] for token in again.json()["tokens"]]
    assert "0 of 2 tokens are new\n" in again.err


def test_what_was_used_since_the_first_run_is_not_good_again(
    totpctl: Totpctl, place: Place, file: Path
) -> None:
    text = 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\n" DISALLOW_REUSE {}\n" TOTP_AUTH\n'
    for step, expected in ((100, "new"), (200, "used since"), (150, "already there")):
        path = written(file, text.format(step))
        result = totpctl.done("import", path, "--user", "alice", "--json")
        assert [expected] == [token["result"] for token in result.json()["tokens"]]
    assert [200] == [a.last_accepted_step for a in kept(place, "alice")]


def test_two_tokens_of_a_person_have_two_names(totpctl: Totpctl, place: Place, file: Path) -> None:
    path = written(file, f"HOTP/T30 alice - {HEX}\nHOTP/T30 alice - {'ab' * 20}\n")
    totpctl.done("import", path)
    assert ["phone", "phone-2"] == [a.label for a in kept(place, "alice")]


def test_an_authenticator_that_is_there_stays(totpctl: Totpctl, place: Place, file: Path) -> None:
    place.enrol("alice", recovery_codes=("0123-4567-89AB-CDEF",))
    result = totpctl.done("import", written(file, f"HOTP/T30 alice - {'ab' * 20}\n"))
    assert [SECRET, b"\xab" * 20] == [a.secret for a in kept(place, "alice")]
    assert 1 == len(place.record("alice").recovery_digests)
    assert "recovery codes" not in result.err


def test_tokens_are_assigned_by_their_serials_and_the_others_passed_over(
    totpctl: Totpctl, place: Place, file: Path
) -> None:
    rows = [f"SN{n},{n:040x},totp,6,30" for n in range(1, 4)]
    path = written(file, "\n".join(rows))
    result = totpctl.done("import", path, "--assign", "alice=SN1", "--assign", "bob=SN3")
    assert [["SN1"], ["SN3"]] == [[a.label for a in kept(place, n)] for n in ("alice", "bob")]
    assert "1 tokens belong to nobody and were passed over\n" in result.err


@pytest.mark.parametrize(
    ("assigned", "code", "said"),
    [
        (["alice=SN9"], 3, "there is no token with the serial SN9"),
        (["alice"], 1, "alice is not USER=SERIAL"),
        (["alice=SN1", "bob=SN1"], 1, "the serial SN1 is assigned twice"),
        (["nosuchuser=SN1"], 1, "there is no user nosuchuser on this machine"),
    ],
)
def test_an_assignment_that_cannot_be_is_refused(
    totpctl: Totpctl, place: Place, file: Path, assigned: list[str], code: int, said: str
) -> None:
    path = written(file, f"SN1,{HEX},totp,6,30\n")
    given = [word for each in assigned for word in ("--assign", each)]
    result = totpctl("import", path, *given)
    assert code == result.code
    assert said in result.err
    assert 0 == secrets_of(place)


def test_a_token_of_nobody_is_refused_and_the_option_named(totpctl: Totpctl, file: Path) -> None:
    result = totpctl("import", written(file, f"SN1,{HEX},totp,6,30\n"))
    assert 1 == result.code
    assert "it belongs to nobody: name its user with --assign USER=SERIAL" in result.err


def test_a_map_names_the_accounts(
    totpctl: Totpctl, place: Place, file: Path, tmp_path: Path
) -> None:
    path = written(file, f"otpauth://totp/Alice%20A.?secret={'A' * 31}B\n")
    names = written(tmp_path / "map", "# names\nAlice A. alice\n\n")
    totpctl.done("import", path, "--map", names)
    assert 1 == len(kept(place, "alice"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("alice\n", "line 1 of the map is not NAME ACCOUNT"),
        ("a alice\na bob\n", "line 2 of the map names somebody for a second time"),
    ],
)
def test_a_map_that_says_too_little_or_two_things_is_refused(
    totpctl: Totpctl, file: Path, tmp_path: Path, text: str, said: str
) -> None:
    path = written(file, f"HOTP/T30 a - {HEX}\n")
    result = totpctl("import", path, "--map", written(tmp_path / "map", text))
    assert 1 == result.code
    assert said in result.err


def test_a_name_with_control_characters_is_shown_escaped(totpctl: Totpctl, file: Path) -> None:
    result = totpctl("import", written(file, "otpauth://totp/a%1B%5B2Jb?secret=" + "A" * 32))
    assert 1 == result.code
    assert "there is no user a\\x1b[2Jb on this machine\n" in result.err


def test_a_token_of_nobody_does_not_keep_back_what_is_assigned(
    totpctl: Totpctl, place: Place, file: Path
) -> None:
    """It is named all the same."""
    path = written(file, f"SN1,{HEX},totp,6,30\nSN2,{HEX},totp,5,30\nSN3,zz,totp,6,30\n")
    result = totpctl.done("import", path, "--assign", "alice=SN1")
    assert ["SN1"] == [a.label for a in kept(place, "alice")]
    assert "rejected: line 2: serial SN2: its codes have 5 digits" in result.err
    assert "rejected: line 3: serial SN3: the secret is not hexadecimal\n" in result.err
    assert 1 == totpctl("import", path, "--assign", "alice=SN1", "--assign", "bob=SN2").code


# Who may not get it


def test_a_record_of_another_account_gets_nothing(
    totpctl: Totpctl, place: Place, file: Path
) -> None:
    place.enrol(ME, uid=54321)
    result = totpctl("import", written(file, f"HOTP/T30 {ME} - {'ab' * 20}\n"))
    assert f"rejected: line 1: {ME}: {ME} was enrolled as uid 54321" in result.err
    assert (1, 1) == (result.code, len(kept(place, ME)))


def test_a_suspended_user_stays_suspended_and_it_is_said(
    totpctl: Totpctl, place: Place, file: Path
) -> None:
    place.enrol("alice", status=users.SUSPENDED)
    result = totpctl.done("import", written(file, f"HOTP/T30 alice - {'ab' * 20}\n"))
    assert users.SUSPENDED == place.record("alice").status
    assert "totpctl: warning: alice is suspended\n" in result.err


def test_a_user_who_must_enroll_is_active_afterwards(
    totpctl: Totpctl, place: Place, file: Path
) -> None:
    with place.open() as store, store.transaction("alice") as transaction:
        transaction.save(UserRecord("alice", status=users.MUST_ENROLL))
    totpctl.done("import", written(file, f"HOTP/T30 alice - {HEX}\n"))
    assert users.ACTIVE == place.record("alice").status


# What is said


def test_a_file_that_others_may_read_is_named(totpctl: Totpctl, file: Path) -> None:
    path = written(file, f"HOTP/T30 alice - {HEX}\n")
    file.chmod(0o640)
    result = totpctl.done("import", path)
    assert f"totpctl: warning: {path} can be read by others; run: chmod 0600 {path}\n" in result.err


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_have_written_is_refused(
    totpctl: Totpctl, place: Place, file: Path, mode: int
) -> None:
    """And a map, which says whose a token is; a key or a passphrase as well."""
    path = written(file, f"HOTP/T30 alice - {HEX}\n")
    names = written(file.with_name("names"), "alice bob\n")
    for changed, arguments in ((path, ()), (names, ("--map", names))):
        Path(changed).chmod(mode)
        result = totpctl("import", path, *arguments, "--skip-bad")
        assert 1 == result.code
        assert (
            f"totpctl: error: {changed} can be written by others (mode {mode:04o})\n"
            f"hint: check what is in it; then run: chmod 0600 {changed}\n"
        ) in result.err
        Path(changed).chmod(0o600)
    assert 0 == secrets_of(place)


def test_a_file_in_a_folder_that_others_may_have_written_is_refused(
    totpctl: Totpctl, place: Place, tmp_path: Path
) -> None:
    folder = tmp_path / "two of these"
    folder.mkdir()
    for name in ("alice", "bob"):
        written(folder / name, 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\n" TOTP_AUTH\n')
    (folder / "bob").chmod(0o660)
    result = totpctl("import", str(folder))
    assert 1 == result.code
    assert (
        f"rejected: {folder}/bob: can be written by others (mode 0660): check what is in it; "
        f"then run: chmod 0600 '{folder}/bob'\n"
    ) in result.err
    totpctl.done("import", str(folder), "--skip-bad")
    assert [1, 0] == [len(kept(place, name)) for name in ("alice", "bob")]


def test_a_file_of_somebody_else_is_named(
    totpctl: Totpctl, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one of the administrator who became root by sudo."""
    path = written(file, f"HOTP/T30 alice - {HEX}\n")
    owned = f"totpctl: warning: {path} is owned by {ME}, who can log in with whatever secret it has"
    really = trust.uids_of_administrator()
    assert os.geteuid() in really
    assert owned not in totpctl.done("import", path).err
    totpctl.prelude = "from admin_cli.importing import trust\ntrust.uids_of_administrator = set\n"
    assert owned in totpctl.done("import", path).err
    monkeypatch.setenv("SUDO_UID", "4321")
    assert {4321, *really} == trust.uids_of_administrator()


def test_one_secret_of_two_people_is_named(totpctl: Totpctl, file: Path) -> None:
    path = written(file, f"HOTP/T30 alice - {HEX}\nHOTP/T30 bob - {HEX}\n")
    result = totpctl.done("import", path)
    assert "alice, bob have the same secret: each can log in as the other" in result.err


def test_a_token_that_somebody_else_has_already_is_named(totpctl: Totpctl, file: Path) -> None:
    """Its counter begins again with the one of the file: used codes would be good for bob."""
    token = ("--secret-stdin", "--hotp", "--serial", "2600-1", "--label", "a fob", "--no-confirm")
    totpctl("enroll", "alice", *token, answers=f"hex:{HEX}\n")
    head = "upn,serial number,secret key,time interval,manufacturer,model\n"
    path = written(
        file, f"{head}b@example.org,2600-1,GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ,30,Contoso,x\n"
    )
    result = totpctl.done("import", path, "--assign", "bob=2600-1")
    assert (
        "warning: alice has the token 2600-1 as well: a code that one of them has used is good for "
        "the other; run: totpctl remove alice --label 'a fob'\n"
    ) in result.err
    again = totpctl.done("import", path, "--assign", "bob=2600-1", "--dry-run")
    assert "bob has the token" not in again.err


def test_what_is_not_carried_over_is_said(totpctl: Totpctl, file: Path) -> None:
    text = 'GEZDGNBVGY3TQOJQ\n" WINDOW_SIZE 17\n" TOTP_AUTH\n11112222\n'
    result = totpctl.done("import", written(file, text), "--user", "alice")
    assert "alice: its WINDOW_SIZE is not imported" in result.err
    assert "alice: its secret has 80 bits, fewer than the 128 of RFC 4226" in result.err
    assert "no recovery codes, as old ones are not imported: alice;" in result.err


def test_a_last_code_in_the_future_is_kept_and_said(
    totpctl: Totpctl, place: Place, file: Path
) -> None:
    ahead = int(time.time()) // 30 + 1000
    text = f'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\n" DISALLOW_REUSE {ahead}\n" TOTP_AUTH\n'
    result = totpctl.done("import", written(file, text), "--user", "alice")
    assert [ahead] == [a.last_accepted_step for a in kept(place, "alice")]
    assert "run: totpctl unlock alice" in result.err


def test_a_last_code_of_no_possible_time_is_refused(totpctl: Totpctl, file: Path) -> None:
    text = 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\n" DISALLOW_REUSE {}\n" TOTP_AUTH\n'
    totpctl.done("import", written(file, text.format(4 * 10**9)), "--user", "alice", "--dry-run")
    result = totpctl("import", written(file, text.format(4 * 10**9 + 1)), "--user", "alice")
    assert 1 == result.code
    assert "its last used code is of no possible time" in result.err


def test_a_dry_run_changes_nothing(totpctl: Totpctl, place: Place, file: Path) -> None:
    result = totpctl.done("import", written(file, f"HOTP/T30 alice - {HEX}\n"), "--dry-run")
    assert result.err.endswith("nothing was changed, because of --dry-run\n")
    assert "alice  phone" in result.out
    assert 0 == secrets_of(place)


def test_a_dry_run_writes_nothing_at_all(
    totpctl: Totpctl, place: Place, file: Path, log: LogSocket
) -> None:
    """No byte of the store and its log, no file beside them, no line in the audit log."""
    place.enrol("alice")
    path = written(file, f"HOTP/T30 alice - {'ab' * 20}\nHOTP/T30 bob - {HEX}\n")
    folder = place.store_path.parent

    def state() -> dict[str, tuple[int, bytes]]:
        return {
            entry.name: (entry.stat().st_ino, entry.read_bytes())
            for entry in folder.iterdir()
            if not entry.name.endswith("-shm")  # locks, of whoever reads
        }

    before = state()
    for more in ((), ("--json",)):
        totpctl.done("import", path, "--dry-run", *more)
        totpctl("import", path, "--dry-run", "--user", "nosuchuser", *more)
        assert before == state()
    assert [] == log.events()


def test_what_few_apps_show_takes_a_word_more(totpctl: Totpctl, place: Place, file: Path) -> None:
    """An app that knows no 7 digits shows 6, and its owner would not get in."""
    path = written(file, f"SN1,{HEX},totp,7,30\nSN2,{HEX},totp,6,45\nSN3,{HEX},hotp,7\n")
    mine = [part for n in (1, 2, 3) for part in ("--assign", f"alice=SN{n}")]
    refused = totpctl("import", path, *mine)
    assert (1, 0) == (refused.code, secrets_of(place))
    assert 2 == refused.err.count("few apps show codes of 7 digits; if its device does, add: --un")
    assert 1 == refused.err.count("few apps know a period of 45 s; if its device does, add: --un")
    totpctl.done("import", path, *mine, "--unusual")
    assert [(7, 30), (6, 45), (7, 30)] == [(a.digits, a.period) for a in kept(place, "alice")]


def test_bad_tokens_are_skipped_when_asked(totpctl: Totpctl, place: Place, file: Path) -> None:
    path = written(file, f"HOTP/T30 alice - {HEX}\nHOTP/T30 bob - zz\nHOTP/T9 carol - {HEX}\n")
    result = totpctl("import", path)
    assert (1, 0) == (result.code, secrets_of(place))
    assert (
        "totpctl: error: 2 of 3 tokens cannot be imported, so none was\n"
        "hint: fix them, or import the others with --skip-bad\n"
    ) in result.err
    result = totpctl.done("import", path, "--skip-bad")
    assert "rejected: line 2: bob: the secret is not hexadecimal\n" in result.err
    assert "rejected: line 3: carol: its period is 9 seconds" in result.err
    assert 1 == secrets_of(place)


@pytest.mark.parametrize("arguments", [(), ("--homes", "file")])
def test_a_source_or_the_homes_are_needed(totpctl: Totpctl, arguments: tuple[str, ...]) -> None:
    assert 2 == totpctl("import", *arguments).code


def test_a_secret_in_the_command_line_is_refused_and_not_repeated(totpctl: Totpctl) -> None:
    result = totpctl("import", "otpauth://totp/alice?secret=GEZDGNBVGY3TQOJQ")
    assert 1 == result.code
    assert "GEZDGNBVGY3TQOJQ" not in result.err


# Where it is read from


def test_standard_input_is_read(totpctl: Totpctl, place: Place) -> None:
    totpctl.done("import", "-", answers=f"HOTP/T30 alice - {HEX}\n")
    assert 1 == len(kept(place, "alice"))


def test_a_folder_is_read_file_by_file(totpctl: Totpctl, place: Place, tmp_path: Path) -> None:
    """As pam_google_authenticator has it with secret=/FOLDER/${USER}."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    for name, secret in (("alice", "A" * 32), ("bob", "B" * 32), ("nosuchuser", "C" * 32)):
        written(folder / name, f'{secret}\n" TOTP_AUTH\n')
    result = totpctl("import", str(folder))
    assert 1 == result.code
    assert f"rejected: {folder}/nosuchuser: the file: it belongs to nobody" in result.err
    totpctl.done("import", str(folder), "--skip-bad")
    assert [1, 1] == [len(kept(place, name)) for name in ("alice", "bob")]


def test_a_home_is_its_owners(totpctl: Totpctl, place: Place, tmp_path: Path) -> None:
    home = tmp_path / "homes" / "somebody"
    home.mkdir(parents=True)
    written(home / ".google_authenticator", 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\n" TOTP_AUTH\n')
    totpctl.done("import", str(home.parent))
    assert [SECRET] == [a.secret for a in kept(place, ME)]


def test_links_and_pipes_in_a_folder_are_refused(
    totpctl: Totpctl, place: Place, tmp_path: Path
) -> None:
    folder = tmp_path / "homes"
    for name in ("one", "two"):
        (folder / name).mkdir(parents=True)
    secret = written(tmp_path / "secret", 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\n" TOTP_AUTH\n')
    (folder / "one" / ".google_authenticator").symlink_to(secret)
    os.mkfifo(folder / "two" / ".google_authenticator")
    result = totpctl("import", str(folder), "--user", "alice")
    assert 1 == result.code
    assert "one/.google_authenticator: is a symbolic link" in result.err
    assert "two/.google_authenticator: is not a regular file" in result.err
    assert 0 == secrets_of(place)


def test_parts_of_an_export_in_several_files_are_one(
    totpctl: Totpctl, place: Place, tmp_path: Path
) -> None:
    (sample,) = (s for s in FILES if s.name == "otpauth-migration/batch-2-of-2-first.txt")
    first, second = sample.path.read_text(encoding="utf-8").split()
    paths = [written(tmp_path / "1", second), written(tmp_path / "2", first)]
    missing = totpctl("import", paths[0], "--user", "alice", "--skip-bad")
    assert "1 of the 2 QR codes of an export are missing: number 2; nothing was" in missing.err
    totpctl.done("import", *paths, "--user", "alice", "--skip-bad")
    assert 4 == len(kept(place, "alice"))


# Encrypted files


def pskc(name: str) -> tuple[str, str]:
    (sample,) = (s for s in FILES if s.name == f"pskc/{name}.xml")
    return str(sample.path), next(iter((sample.expected["needs"] or {"": ""}).values()))


@pytest.mark.parametrize(
    ("replaced", "by", "said"),
    [
        ("<pskc:ValueMAC>g4kV", "<pskc:ValueMAC>h4kV", "does not open"),
        ("<xenc:CipherValue>M49W", "<xenc:CipherValue>N49W", "does not open"),
        ("<pskc:ValueMAC>g4kVSrwMqFpHzfFnig3NUlrmU3U=</pskc:ValueMAC>", "", "without its MAC"),
        ('hmac-sha1"', 'hmac-md5"', "authenticated in a way that is not supported"),
        ("aes128-cbc", "aes128-ecb", "encrypted in a way that is not supported"),
    ],
)
def test_a_changed_file_is_refused_whole(
    totpctl: Totpctl, place: Place, file: Path, tmp_path: Path, replaced: str, by: str, said: str
) -> None:
    path, key = pskc("aes128-cbc")
    text = Path(path).read_text(encoding="utf-8")
    assert replaced in text
    written(file, text.replace(replaced, by))
    given = ("--key-file", written(tmp_path / "key", key), "--skip-bad", "--no-mac")
    result = totpctl("import", str(file), "--user", "alice", *given)
    assert (1, 0) == (result.code, secrets_of(place))
    assert said in result.err


def test_a_wrong_passphrase_is_told_from_a_damaged_file_by_nobody(
    totpctl: Totpctl, place: Place, tmp_path: Path
) -> None:
    path, _ = pskc("pbkdf2-aes128")
    given = written(tmp_path / "passphrase", "wrong\n")
    result = totpctl("import", path, "--passphrase-file", given, "--skip-bad")
    assert (1, 0) == (result.code, secrets_of(place))
    assert "the key or the passphrase is wrong, or the file was changed" in result.err


def test_a_file_without_macs_is_taken_only_when_asked(totpctl: Totpctl, tmp_path: Path) -> None:
    path, key = pskc("no-mac")
    given = ("--key-file", written(tmp_path / "key", key))
    result = totpctl("import", path, *given)
    assert 1 == result.code
    assert "hint: if you trust where it comes from, add: --no-mac\n" in result.err
    totpctl.done("import", path, *given, "--no-mac")


def test_without_a_terminal_the_option_for_a_passphrase_is_named(totpctl: Totpctl) -> None:
    path, _ = pskc("pbkdf2-aes128")
    result = totpctl("import", path)
    assert 1 == result.code
    assert "hint: use --passphrase-file\n" in result.err


@pytest.mark.parametrize(
    ("module", "package", "name"),
    [
        ("defusedxml", "python3-defusedxml", "pskc/c200-c100.xml"),
        ("ldif", "python3-ldap", "server/freeipa.ldif"),
        ("cryptography", "python3-cryptography", "pskc/aes128-cbc.xml"),
    ],
)
def test_a_package_that_is_missing_is_named(
    totpctl: Totpctl, tmp_path: Path, module: str, package: str, name: str
) -> None:
    hidden = tmp_path / "modules" / module
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError\n", encoding="utf-8")
    (sample,) = (s for s in FILES if s.name == name)
    path = f"{hidden.parent}:{totpctl.environment['PYTHONPATH']}"
    given = options(sample, tmp_path)
    result = totpctl("import", str(sample.path), *given, PYTHONPATH=path)
    assert 1 == result.code
    assert f"hint: run: apt-get install {package}\n" in result.err


def test_pictures_need_a_program_that_is_named(totpctl: Totpctl, file: Path) -> None:
    totpctl.prelude = "from admin_cli.importing import qr_pictures; qr_pictures.PATH = '/nowhere'\n"
    picture = FILES[0].path.parents[1] / "otpauth-migration/single.png"
    result = totpctl("import", str(picture))
    assert 1 == result.code
    assert "hint: run: apt-get install zbar-tools\n" in result.err


def test_json_is_one_document_without_secrets(totpctl: Totpctl, file: Path) -> None:
    result = totpctl.done("import", written(file, f"HOTP/T30 alice - {HEX}\n"), "--json")
    document = json.loads(result.out)
    assert {"changed", "formats", "tokens", "rejected", "unassigned", "missing"} == set(document)
    assert {str(file): "users-oath"} == document["formats"]
    assert HEX not in result.out


def test_an_import_that_fails_in_the_middle_imports_nobody(
    totpctl: Totpctl, place: Place, file: Path, log: LogSocket
) -> None:
    path = written(
        file, "".join(f"HOTP/T30 {n} - {n.encode().hex() * 5}\n" for n in ("alice", "carol"))
    )
    with place.open() as store, store.transaction("carol", unseal=False) as transaction:
        transaction.save(UserRecord("carol"))
    totpctl.prelude = (
        "from pam_totp.store.sqlite import transactions as t; save = t.Transaction.save\n"
        "def fails(self, record):\n"
        "    if record.name == 'carol': raise OSError(28, 'No space left on device')\n"
        "    save(self, record)\n"
        "t.Transaction.save = fails\n"
    )
    result = totpctl("import", path)
    totpctl.prelude = ""
    assert 1 == result.code
    assert "nothing was imported\n" in result.err
    assert [0, 0] == [len(kept(place, name)) for name in ("alice", "carol")]
    assert [] == log.events()
    totpctl.done("import", path)
    assert [1, 1] == [len(kept(place, name)) for name in ("alice", "carol")]


def test_a_counter_goes_on_and_never_back(totpctl: Totpctl, place: Place, file: Path) -> None:
    """In users.oath the counter is that of the last code, where there is one."""
    used = "755224 2026-11-01T00:00:00L"
    totpctl.done("import", written(file, f"HOTP/E/6 alice - {HEX} 41 {used}\n"))
    (token,) = kept(place, "alice")
    assert (otp.HOTP, 42) == (token.kind, token.counter)
    for counter, expected, result in (
        (41, 42, "already there"),
        (7, 42, "already there"),
        (99, 100, "used since"),
    ):
        path = written(file, f"HOTP/E/6 alice - {HEX} {counter} {used}\n")
        done = totpctl.done("import", path, "--json")
        assert [(result, counter + 1)] == [
            (each["result"], each["counter"]) for each in json.loads(done.out)["tokens"]
        ]
        assert [expected] == [a.counter for a in kept(place, "alice")]
    shown = totpctl.done("import", path, "--dry-run").out
    assert "HOTP  SHA1       6       -       0      counter 100  line 1  already there" in shown


def test_a_secret_of_both_kinds_is_two_authenticators(
    totpctl: Totpctl, place: Place, file: Path
) -> None:
    totpctl.done("import", written(file, f"HOTP alice - {HEX}\nHOTP/T30 alice - {HEX}\n"))
    assert [otp.HOTP, otp.TOTP] == sorted(a.kind for a in kept(place, "alice"))


@pytest.mark.parametrize("counter", [-1, 10**15 + 1, 2**64])
def test_a_counter_that_no_token_has_is_refused(
    totpctl: Totpctl, place: Place, file: Path, counter: int
) -> None:
    text = f"otpauth://hotp/alice?secret={'A' * 32}&counter={counter}\n"
    result = totpctl("import", written(file, text))
    assert (1, 0) == (result.code, secrets_of(place))
    assert "rejected: line 1: alice: " in result.err
