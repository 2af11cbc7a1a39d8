"""totpctl enroll --from: many people at once, and a sheet for each."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pam_totp.core import recovery, users
from pam_totp.core.users import UserRecord
from tests.cli.command import ME, PEOPLE, Totpctl
from tests.cli.terminal import Terminals, secret_of
from tests.cli.test_enroll import RECOVERY_CODE
from tests.cli.test_qr_option import read_file
from tests.support.logs import LogSocket
from tests.support.machine import Machine
from tests.support.place import Place

MANY = tuple(f"user{number}" for number in range(6))
# Everybody is committed alone, and the codes of the fourth are never hashed.
STUCK = """
import time
from admin_cli.commands.bulk import enrolling
from admin_cli.commands.enrollment.hashing import CodeMaker
enrolling.SECONDS = 0.0
begin, begun = CodeMaker.begin, []
def stuck(self):
    begun.append(begin(self))
    return (lambda: time.sleep(600)) if len(begun) == 4 else begun[-1]
CodeMaker.begin = stuck
"""
CSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def place(place_in_use: Place) -> Place:
    place_in_use.configure(issuer="web")
    return place_in_use


@pytest.fixture
def totpctl(totpctl: Totpctl) -> Totpctl:
    totpctl.canonical = {name: name for name in MANY}
    return totpctl


@pytest.fixture
def roster(tmp_path: Path) -> Path:
    path = tmp_path / "roster"
    path.write_text("# the first\nalice\n\nbob # he is new\ncarol\n")
    return path


@pytest.fixture
def sheets(tmp_path: Path) -> Path:
    return tmp_path / "sheets"


def enroll(totpctl: Totpctl, roster: Path, sheets: Path, *options: str, **environment: str) -> Any:
    to = ("--sheets", str(sheets))
    return totpctl("enroll", "--from", str(roster), *to, *options, **environment)


def record_of(place: Place, name: str) -> UserRecord:
    """Return the record of somebody, with secrets."""
    with place.open() as store, store.transaction(name) as transaction:
        record = transaction.record
    assert record is not None
    return record


def enrolled(place: Place) -> list[str]:
    with place.open() as store:
        return [record.name for record in store.records() if record.authenticators]


def words_of(pdf: Path) -> str:
    done = subprocess.run(["pdftotext", "-layout", pdf, "-"], capture_output=True, check=True)
    return done.stdout.decode("utf-8")


def uri_on(pdf: Path) -> str:
    """Return what a camera reads off the one page of a sheet."""
    picture = pdf.with_suffix("")
    drawn = ("pdftoppm", "-png", "-r", "100", pdf, picture.parent.parent / picture.name)
    subprocess.run(drawn, check=True)
    (page,) = picture.parent.parent.glob(f"{picture.name}-*.png")
    uri = read_file(page)
    page.unlink()
    return uri


def is_of(record: UserRecord, uri: str, words: str) -> bool:
    """Tell whether a sheet has the secret and all recovery codes of ``record``."""
    (authenticator,) = record.authenticators
    assert authenticator.secret is not None
    assert record.recovery_salt is not None
    codes = RECOVERY_CODE.findall(words)
    assert 10 == len(codes)
    typed = base64.b32encode(authenticator.secret).decode("ascii").rstrip("=")
    assert typed in words.replace(" ", "")
    salt = record.recovery_salt
    kept = {recovery.digest(recovery.normalise(code) or "", salt) for code in codes}
    return secret_of(uri) == authenticator.secret and kept == record.recovery_digests


def test_everybody_gets_a_page_with_picture_secret_and_recovery_codes(
    totpctl: Totpctl, place: Place, roster: Path, sheets: Path, log: LogSocket
) -> None:
    done = enroll(totpctl, roster, sheets)
    assert 0 == done.code, done.err
    assert [f"{name}: enrolled, {sheets}/{name}.pdf" for name in PEOPLE] == done.out.splitlines()
    assert "3 people were enrolled\n" in done.err
    assert "shred -u" in done.err
    assert list(PEOPLE) == enrolled(place)
    for name in PEOPLE:
        pdf = sheets / f"{name}.pdf"
        words, uri = words_of(pdf), uri_on(pdf)
        assert is_of(record_of(place, name), uri, words)
        assert f"web: {name}@" in words
        assert f"For {name}\n" in words
        account = uri.partition("otpauth://totp/web:")[2].partition("?")[0]
        secret = uri.partition("secret=")[2].partition("&")[0]
        assert f"otpauth://totp/web:{account}?secret={secret}&issuer=web" == uri
        assert account in words
    assert ["enrolled", "codes_issued"] * 3 == log.events()


def test_sheets_are_for_root_alone(totpctl: Totpctl, roster: Path, sheets: Path) -> None:
    assert 0 == enroll(totpctl, roster, sheets).code
    assert 0o700 == stat.S_IMODE(sheets.stat().st_mode)
    assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in sheets.iterdir()}
    assert {"README", *(f"{name}.pdf" for name in PEOPLE)} == {p.name for p in sheets.iterdir()}
    assert "shred -u" in (sheets / "README").read_text()


@pytest.mark.parametrize("form", ["png", "svg"])
def test_a_picture_alone_has_the_rest_beside_it_as_text(
    totpctl: Totpctl, place: Place, roster: Path, sheets: Path, form: str
) -> None:
    assert 0 == enroll(totpctl, roster, sheets, "--sheets-format", form).code
    for name in PEOPLE:
        words = (sheets / f"{name}.txt").read_text("utf-8")
        uri = read_file(sheets / f"{name}.{form}")
        assert is_of(record_of(place, name), uri, words)
        assert f"Address: {uri}\n" in words
        (sheets / f"{name}.drawn.png").unlink(missing_ok=True)


def test_csv_gives_each_device_its_label_and_serial(
    totpctl: Totpctl, place: Place, roster: Path, sheets: Path
) -> None:
    roster.write_text('User;Serial;Label\nalice;;\nbob;4711;"old ""brick"""\n\n# nobody\ncarol;x\n')
    assert 0 == enroll(totpctl, roster, sheets, "--label", "app", "--digits", "8").code
    kept = [record_of(place, name).authenticators[0] for name in PEOPLE]
    assert [("app", ""), ('old "brick"', "4711"), ("app", "x")] == [
        (device.label, device.serial) for device in kept
    ]
    assert [8, 8, 8] == [device.digits for device in kept]
    assert "SHA1, 8 digits" in words_of(sheets / "bob.pdf")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("alice\nmallory\n", "line 2: mallory: there is no user mallory on this machine"),
        ("alice\n\nalice\n", "line 3: alice: is named for a second time"),
        ("# x\nalice bob\n", "line 2: alice bob: is more than one name"),
        ("al\x1bice\n", "line 1: al\\x1bice: there is no user"),
        ("user,label\nalice,\n,phone\n", "line 3: names nobody"),
        ("user,label\nalice,ph\x07one\n", "line 2: alice: the label has to have 1 to 64 printable"),
        (f"user,serial\nalice,{'9' * 65}\n", "line 2: alice: the serial has to have at most 64"),
        ("user,label\nalice,a,b\n", "line 2: alice: has more cells than the header"),
    ],
)
def test_one_who_is_refused_is_named_with_the_line_and_then_nobody_is_enrolled(
    totpctl: Totpctl, place: Place, roster: Path, sheets: Path, text: str, said: str
) -> None:
    roster.write_text(text)
    done = enroll(totpctl, roster, sheets)
    assert (1, "", []) == (done.code, done.out, enrolled(place))
    assert f"rejected: {said}" in done.err
    assert "cannot be enrolled, so nobody was\nhint: fix them, or" in done.err
    assert not sheets.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names nobody"),
        ("# nobody\n", "names nobody"),
        ("name,label\nalice,\n", "has no column user in its first line"),
        ("user,secret\nalice,JBSWY3DP\n", "has columns that are not known: 'secret'"),
        ("user,user\nalice,bob\n", "has a column twice"),
        ('user,label\n"alice\n' + "x" * 200_000, "is not well-formed CSV: "),
    ],
)
def test_a_file_that_is_no_roster_is_refused(
    totpctl: Totpctl, place: Place, roster: Path, sheets: Path, text: str, said: str
) -> None:
    roster.write_text(text)
    done = enroll(totpctl, roster, sheets, "--skip-bad")
    assert (1, "", []) == (done.code, done.out, enrolled(place))
    assert f"totpctl: error: {roster} {said}" in done.err
    assert "JBSWY3DP" not in done.err


def test_an_account_that_is_called_user_is_enrolled(
    totpctl: Totpctl, place: Place, roster: Path, sheets: Path
) -> None:
    totpctl.canonical = {"user": "user"}
    roster.write_text("user\n")
    assert 0 == enroll(totpctl, roster, sheets).code
    assert ["user"] == enrolled(place)


def test_the_good_ones_are_enrolled_with_skip_bad(
    totpctl: Totpctl, place: Place, roster: Path, sheets: Path
) -> None:
    roster.write_text("alice\nmallory\nbob\n")
    done = enroll(totpctl, roster, sheets, "--skip-bad")
    assert (0, ["alice", "bob"]) == (done.code, enrolled(place))
    assert "rejected: line 2: mallory" in done.err
    roster.write_text("mallory\n")
    done = enroll(totpctl, roster, sheets, "--skip-bad")
    assert 1 == done.code
    assert "there is nobody who can be enrolled" in done.err


def test_names_are_those_that_the_directory_writes(
    totpctl: Totpctl, place: Place, roster: Path, sheets: Path
) -> None:
    totpctl.canonical = {"ALICE": "alice"}
    roster.write_text("ALICE\nalice\n")
    assert "line 2: alice: is named for a second time" in enroll(totpctl, roster, sheets).err
    roster.write_text("ALICE\n")
    assert 0 == enroll(totpctl, roster, sheets).code
    assert ["alice"] == enrolled(place)


def test_a_dry_run_changes_nothing_and_needs_no_folder(
    totpctl: Totpctl, place: Place, roster: Path
) -> None:
    place.enrol("bob")
    done = totpctl("enroll", "--from", str(roster), "--dry-run")
    assert (0, ["bob"]) == (done.code, enrolled(place))
    expected = "bob: enrolled already\nalice: to be enrolled\ncarol: to be enrolled\n"
    assert expected == done.out


def test_standard_input_may_be_the_roster(totpctl: Totpctl, place: Place, sheets: Path) -> None:
    totpctl.done("enroll", "--from", "-", "--sheets", str(sheets), answers="\ufeffbob\r\nalice\r\n")
    assert ["alice", "bob"] == enrolled(place)


def test_who_is_enrolled_already_is_left_alone_and_listed(
    totpctl: Totpctl, place: Place, roster: Path, sheets: Path
) -> None:
    totpctl.done("require", "carol")
    totpctl.done("enroll", "bob", "--no-confirm", "--label", "own")
    before = record_of(place, "bob")
    done = enroll(totpctl, roster, sheets)
    assert 0 == done.code
    assert "bob: enrolled already" in done.out.splitlines()
    assert "2 people were enrolled; 1 were already\n" in done.err
    assert before == record_of(place, "bob")
    assert not (sheets / "bob.pdf").exists()
    assert users.ACTIVE == record_of(place, "carol").status
    written = (sheets / "alice.pdf").read_bytes()
    again = enroll(totpctl, roster, sheets)
    assert 0 == again.code
    assert [f"{name}: enrolled already" for name in PEOPLE] == again.out.splitlines()
    assert written == (sheets / "alice.pdf").read_bytes()


def test_who_is_suspended_is_enrolled_and_stays_so(
    totpctl: Totpctl, place: Place, roster: Path, sheets: Path
) -> None:
    totpctl.done("exempt", "alice")
    place.enrol("bob")
    with place.open() as store, store.transaction("carol") as transaction:
        transaction.save(UserRecord("carol", users.SUSPENDED))
    done = enroll(totpctl, roster, sheets)
    assert 0 == done.code
    assert "totpctl: warning: exempt: alice\n" in done.err
    assert "totpctl: warning: suspended: carol\n" in done.err
    assert users.SUSPENDED == record_of(place, "carol").status


def test_an_account_that_was_created_again_is_refused(
    totpctl: Totpctl, place: Place, roster: Path, sheets: Path
) -> None:
    roster.write_text(f"alice\n{ME}\n")
    place.enrol(ME, uid=4711)
    done = enroll(totpctl, roster, sheets)
    assert (1, [ME]) == (done.code, enrolled(place))
    said = f"rejected: line 2: {ME}: {ME} was enrolled as uid 4711, but the account now has uid "
    assert said in done.err


# Folders


def test_a_folder_that_others_may_look_into_is_refused(
    totpctl: Totpctl, place: Place, roster: Path, sheets: Path
) -> None:
    for mode in (0o750, 0o701, 0o777):
        sheets.mkdir(exist_ok=True)
        sheets.chmod(mode)
        done = enroll(totpctl, roster, sheets)
        assert (1, []) == (done.code, enrolled(place))
        assert f"{sheets} is not a folder for root alone\nhint: name another" in done.err
    sheets.rename(sheets.with_name("elsewhere"))
    sheets.symlink_to(sheets.with_name("elsewhere"))
    assert "is not a folder for root alone" in enroll(totpctl, roster, sheets).err
    assert "there is no folder for" in enroll(totpctl, roster, sheets / "a" / "b").err


def test_a_folder_below_one_that_others_may_change_is_refused(
    totpctl: Totpctl, place: Place, roster: Path, tmp_path: Path
) -> None:
    above = tmp_path / "above"
    above.mkdir()
    above.chmod(0o777)
    (above / "sheets").mkdir(0o700)
    done = enroll(totpctl, roster, above / "sheets")
    assert (1, []) == (done.code, enrolled(place))
    assert f"hint: run: chmod go-w {above}" in done.err


def test_a_folder_with_files_of_somebody_else_is_refused_and_an_empty_one_is_not(
    totpctl: Totpctl, place: Place, roster: Path, sheets: Path
) -> None:
    sheets.mkdir(0o700)
    own = sheets / "alice.pdf"
    own.write_text("letters")
    done = enroll(totpctl, roster, sheets)
    assert (1, [], "letters") == (done.code, enrolled(place), own.read_text())
    assert f"{sheets} has other files in it\nhint: name a new or an empty" in done.err
    own.unlink()
    assert 0 == enroll(totpctl, roster, sheets).code


def test_what_a_run_that_was_cut_off_left_is_replaced(
    totpctl: Totpctl, place: Place, roster: Path, sheets: Path
) -> None:
    roster.write_text("alice\n")
    assert 0 == enroll(totpctl, roster, sheets).code
    left = ("bob.pdf", "bob.svg", "bob.txt", ".pam_totp-new.bob.pdf", ".pam_totp-new.carol.png")
    for name in left:
        (sheets / name).write_text("void")
    kept = (sheets / "alice.pdf").read_bytes()
    roster.write_text("alice\nbob\n")
    assert 0 == enroll(totpctl, roster, sheets).code
    assert {"README", "alice.pdf", "bob.pdf"} == {path.name for path in sheets.iterdir()}
    assert kept == (sheets / "alice.pdf").read_bytes()
    assert is_of(record_of(place, "bob"), uri_on(sheets / "bob.pdf"), words_of(sheets / "bob.pdf"))


def test_two_at_once_do_not_share_a_folder(
    totpctl: Totpctl, place: Place, roster: Path, sheets: Path
) -> None:
    roster.write_text("alice\n")
    assert 0 == enroll(totpctl, roster, sheets).code
    roster.write_text("bob\n")
    with subprocess.Popen(["flock", sheets, "cat"], stdin=subprocess.PIPE) as holder:
        while subprocess.run(["flock", "-n", sheets, "true"], check=False).returncode == 0:
            pass
        done = enroll(totpctl, roster, sheets)
        assert holder.stdin is not None
        holder.stdin.close()
    assert (1, ["alice"]) == (done.code, enrolled(place))
    assert f"another run writes sheets to {sheets}\nhint: wait" in done.err


def test_a_name_of_a_directory_is_the_name_of_a_file(
    totpctl: Totpctl, place: Place, roster: Path, sheets: Path
) -> None:
    names = ["DOMAIN\\alice", "a/b", "..", "zoë@example.org"]
    totpctl.canonical = {name: name for name in (*names, "n" * 201)}
    roster.write_text("".join(f"{name}\n" for name in names))
    assert 0 == enroll(totpctl, roster, sheets).code
    expected = {"README", "DOMAIN\\alice.pdf", "a%2Fb.pdf", "%2E..pdf", "zoë@example.org.pdf"}
    assert expected == {path.name for path in sheets.iterdir()}
    roster.write_text("n" * 201)
    assert "the name has more than 200 bytes" in enroll(totpctl, roster, sheets).err


# Without what it needs


def test_without_reportlab_its_package_is_named_and_pictures_need_none(
    totpctl: Totpctl, place: Place, roster: Path, sheets: Path, tmp_path: Path
) -> None:
    (tmp_path / "reportlab.py").write_text("raise ImportError('reportlab')")
    path = f"{tmp_path}:{totpctl.environment['PYTHONPATH']}"
    done = enroll(totpctl, roster, sheets, PYTHONPATH=path)
    assert (1, []) == (done.code, enrolled(place))
    assert "for sheets in PDF, python3-reportlab is needed, which is not installed" in done.err
    assert "apt-get install python3-reportlab" in done.err
    assert 0 == enroll(totpctl, roster, sheets, "--sheets-format", "png", PYTHONPATH=path).code


def test_settings_of_reportlab_in_the_callers_home_are_not_run(
    totpctl: Totpctl, roster: Path, sheets: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    proof = tmp_path / "it was run"
    for name in (".reportlab_settings", ".reportlab_mods"):
        (home / name).write_text(f"open({str(proof)!r}, 'w').close()\n")
    totpctl.environment |= {"HOME": str(home), "RL_defaultPageSize": "A0"}
    assert 0 == enroll(totpctl, roster, sheets).code
    assert not proof.exists()
    shown = subprocess.run(["pdfinfo", sheets / "bob.pdf"], capture_output=True, check=True).stdout
    assert b"(A4)" in shown
    assert b"Pages:           1\n" in shown


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("", "the secrets have nowhere to go: name a folder with --sheets, or print them with"),
        ("alice --sheets DIR", "name a USER, or many people with --from or --group"),
        ("--group root --sheets DIR", "name a USER, or many people with --from or --group"),
        ("--sheets DIR --serial 1", "are for one USER; tokens of many people: totpctl import"),
        ("--sheets DIR --secret-stdin", "are for one USER"),
        ("--sheets DIR --qr none", "--qr is for one USER"),
        ("--json --sheets-format png", "--sheets-format is for --sheets"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    totpctl: Totpctl, place: Place, roster: Path, sheets: Path, options: str, said: str
) -> None:
    words = options.replace("DIR", str(sheets)).split()
    done = totpctl("enroll", "--from", str(roster), *words)
    assert (2, "", []) == (done.code, done.out, enrolled(place))
    assert said in done.err


def test_options_for_many_are_refused_for_one(totpctl: Totpctl, sheets: Path) -> None:
    for words in (("--sheets", str(sheets)), ("--skip-bad",), ("--dry-run",)):
        done = totpctl("enroll", "alice", *words)
        assert 2 == done.code
        assert "are for --from and --group" in done.err
    assert "name a USER, or many people" in totpctl("enroll").err


# JSON


def test_json_has_the_secrets_where_no_sheet_has_them(
    totpctl: Totpctl, place: Place, roster: Path
) -> None:
    place.enrol("carol")
    documents = totpctl.done("enroll", "--from", str(roster), "--json").json()
    assert {"user": "carol", "result": "enrolled already"} == documents[0]
    assert ["carol", "alice", "bob"] == [document["user"] for document in documents]
    single = totpctl.done("reset", "carol", "--yes", "--no-confirm", "--json").json()
    for document in documents[1:]:
        assert {*single, "result", "sheet"} == set(document)
        assert ("enrolled", None) == (document["result"], document["sheet"])
        words = " ".join((document["secret"], *document["recovery_codes"]))
        assert is_of(record_of(place, document["user"]), document["uri"], words)


def test_json_has_no_secret_where_sheets_have_them(
    totpctl: Totpctl, place: Place, roster: Path, sheets: Path
) -> None:
    done = enroll(totpctl, roster, sheets, "--json")
    assert [str(sheets / f"{name}.pdf") for name in PEOPLE] == [d["sheet"] for d in done.json()]
    for document in done.json():
        assert (None, None, []) == tuple(
            document[key] for key in ("secret", "uri", "recovery_codes")
        )
        assert (document["user"], "web") == (
            document["account"].partition("@")[0],
            document["issuer"],
        )
    assert not RECOVERY_CODE.search(done.out)
    everything = done.out + done.err
    for name in PEOPLE:
        secret = record_of(place, name).authenticators[0].secret
        assert base64.b32encode(secret or b"").decode("ascii") not in everything


def test_json_says_who_was_refused(totpctl: Totpctl, roster: Path) -> None:
    roster.write_text("alice\nmallory\n")
    done = totpctl("enroll", "--from", str(roster), "--json")
    assert 1 == done.code
    reason = "there is no user mallory on this machine"
    refused = {"user": "mallory", "result": "rejected", "place": "line 2", "reason": reason}
    assert [refused] == done.json()


# A terminal, and what cuts it off


@pytest.fixture
def crowd(roster: Path) -> Path:
    roster.write_text("".join(f"{name}\n" for name in MANY))
    return roster


def plain(shown: str) -> str:
    """Return the words on a terminal, wherever its lines end."""
    return " ".join(CSI.sub("", shown).split())


def test_a_terminal_shows_a_bar_and_who_was_enrolled_already(
    totpctl: Totpctl, terminals: Terminals, place: Place, roster: Path, sheets: Path
) -> None:
    place.enrol("carol")
    terminal = terminals.open("enroll", "--from", str(roster), "--sheets", str(sheets))
    assert 0 == terminal.end()
    shown = plain(terminal.shown)
    assert "Enrolling [####" in shown
    assert "] 2/2 " in shown
    assert "alice: enrolled" not in shown
    assert "enrolled already, and left alone: carol" in shown
    assert "2 people were enrolled; 1 were already" in shown


def test_a_terminal_that_can_show_no_bar_shows_none(
    terminals: Terminals, roster: Path, sheets: Path
) -> None:
    terminal = terminals.open("enroll", "--from", str(roster), "--sheets", str(sheets), TERM="dumb")
    assert 0 == terminal.end()
    assert "\x1b" not in terminal.shown
    assert "3 people were enrolled" in plain(terminal.shown)


def everybody_has_a_sheet_or_is_not_enrolled(place: Place, sheets: Path) -> int:
    """Return how many are enrolled: each of them has a sheet, and nobody else has one."""
    have = {path.stem for path in sheets.glob("*.png")}
    assert have == set(enrolled(place))
    for name in have:
        words = (sheets / f"{name}.txt").read_text("utf-8")
        assert is_of(record_of(place, name), read_file(sheets / f"{name}.png"), words)
    assert not list(sheets.glob(".*"))
    return len(have)


CUT_OFF = "3 of 6 people were enrolled; the same command enrolls the rest and changes nothing of"


def test_ctrl_c_leaves_people_whole_and_the_same_command_goes_on(
    terminals: Terminals, place: Place, crowd: Path, sheets: Path, totpctl: Totpctl
) -> None:
    command = ("enroll", "--from", str(crowd), "--sheets", str(sheets), "--sheets-format", "png")
    totpctl.prelude = STUCK
    terminal = terminals.open(*command)
    terminal.wait_for("3/6")
    terminal.press_ctrl_c()
    assert 1 == terminal.end()
    assert 3 == everybody_has_a_sheet_or_is_not_enrolled(place, sheets)
    assert f"totpctl: error: interrupted {CUT_OFF}" in plain(terminal.shown)
    assert terminal.shown.rindex("\x1b[?25h") > terminal.shown.rindex("\x1b[?25l")  # the cursor
    kept = {path: path.read_bytes() for path in sheets.iterdir()}
    totpctl.prelude = ""
    assert 0 == totpctl(*command).code
    assert len(MANY) == everybody_has_a_sheet_or_is_not_enrolled(place, sheets)
    assert kept == {path: path.read_bytes() for path in kept}


def interrupted(
    totpctl: Totpctl, number: signal.Signals, stdout: int, *arguments: str
) -> tuple[int, str]:
    """Send a signal to a command that has enrolled three of MANY; return what became of it."""
    totpctl.prelude = STUCK
    process = subprocess.Popen(
        totpctl.command("enroll", *arguments),
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=totpctl.environment,
        preexec_fn=lambda: [signal.signal(s, signal.SIG_DFL) for s in (number, signal.SIGINT)],
    )
    while len(enrolled(totpctl.place)) < 3:
        assert process.poll() is None
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    return process.returncode, err.decode("utf-8")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["SIGTERM", "SIGHUP"])
def test_a_signal_that_ends_it_is_as_ctrl_c(
    totpctl: Totpctl, place: Place, crowd: Path, sheets: Path, number: signal.Signals
) -> None:
    options = ("--from", str(crowd), "--sheets", str(sheets), "--sheets-format", "png")
    code, err = interrupted(totpctl, number, subprocess.DEVNULL, *options)
    assert (1, 3) == (code, everybody_has_a_sheet_or_is_not_enrolled(place, sheets))
    assert CUT_OFF in err


def test_json_that_is_cut_off_is_whole_and_of_those_who_are_enrolled(
    totpctl: Totpctl, place: Place, crowd: Path, tmp_path: Path
) -> None:
    document = tmp_path / "document"
    with document.open("wb") as file:
        options = ("--from", str(crowd), "--json")
        code, err = interrupted(totpctl, signal.SIGINT, file.fileno(), *options)
    assert 1 == code
    assert CUT_OFF in err
    listed = json.loads(document.read_text("utf-8"))
    assert list(MANY[:3]) == [each["user"] for each in listed] == enrolled(place)
    for each in listed:
        words = " ".join((each["secret"], *each["recovery_codes"]))
        assert is_of(record_of(place, each["user"]), each["uri"], words)


def test_a_reader_that_goes_away_costs_nobody_a_sheet(
    totpctl: Totpctl, place: Place, crowd: Path, sheets: Path
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = ("enroll", "--from", str(crowd), "--sheets", str(sheets), "--sheets-format", "png")
    totpctl.prelude = "from admin_cli.commands.bulk import enrolling\nenrolling.SECONDS = 0\n"
    assert 1 == totpctl.into(writer, *command).code
    os.close(writer)
    assert 1 == everybody_has_a_sheet_or_is_not_enrolled(place, sheets)


# As installed, with the accounts and groups of a machine


@pytest.mark.root
def test_members_of_a_group_are_enrolled_whichever_way_they_are_its_members(
    machine: Machine,
) -> None:
    machine.install_product()
    machine.run(
        *("sh", "-ec"),
        "groupadd crew; groupadd empty; groupadd others; useradd -g crew -c 'Ann Ärm,1' ann;"
        "useradd -G crew,others bea; useradd -G others cyd; useradd -g crew dot;"
        "totpctl enroll dot --no-confirm",
    )
    command = ("totpctl", "enroll", "--group")
    first = machine.run(*command, "crew", "--sheets", "/root/sheets")
    shown = sorted(line.partition(",")[0] for line in first.stdout.splitlines())
    assert ["ann: enrolled", "bea: enrolled", "dot: enrolled already"] == shown
    text = machine.run("pdftotext", "/root/sheets/ann.pdf", "-").stdout
    assert "For ann (Ann Ärm)\n" in text
    second = machine.run(
        *command, "others", "--group", "crew", "--sheets", "/root/sheets", "--json"
    )
    results = {each["user"]: each["result"] for each in json.loads(second.stdout)}
    already = "enrolled already"
    assert {"ann": already, "bea": already, "dot": already, "cyd": "enrolled"} == results
    nobody = machine.run(*command, "empty", "--json", check=False)
    assert (3, "") == (nobody.returncode, nobody.stdout)
    assert "no account is a member of empty" in nobody.stderr
    unknown = machine.run(*command, "crow", "--json", check=False)
    assert (3, "") == (unknown.returncode, unknown.stdout)
    assert "there is no group crow on this machine" in unknown.stderr
    machine.run("sh", "-ec", "useradd eve; usermod -aG crew eve; sed -i /^eve:/d /etc/passwd")
    gone = machine.run(*command, "crew", "--json", check=False)
    assert 1 == gone.returncode
    assert "rejected: group crew: eve: there is no user eve on this machine" in gone.stderr
