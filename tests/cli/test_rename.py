"""totpctl rename: the enrollment goes with an account that was renamed."""

from __future__ import annotations

from pathlib import Path

import pytest

from admin_cli.enable import trial_record
from admin_cli.enable.trial_record import Trial
from admin_cli.host import key_only
from admin_cli.host.key_only import KeyOnly
from pam_totp.core import users, verifier
from pam_totp.core.places import KnownPlace
from pam_totp.core.users import UserRecord
from tests.cli.command import Totpctl
from tests.support.logs import LogSocket, fields
from tests.support.place import Place, code_now

RECOVERY = "7K2Q-0000-ABCD-WXYZ"
UID = 4000  # of everybody whom the directory of these tests knows
KNOWN = KnownPlace("192.0.2.7", 2_000_000_000, 2, 50, 60)
# Another account: the program's own directory knows those of one uid alone.
SOMEBODY_ELSE = """
import pwd
from admin_cli.host import directory
before = directory.person
def person_of_another_uid(name):
    if name in ("eve", "toor"):
        uid = 4001 if name == "eve" else 0
        return pwd.struct_passwd((name, "x", uid, uid, "", "/", "/bin/sh"))
    return before(name)
directory.person = person_of_another_uid
"""


@pytest.fixture(autouse=True)
def people(totpctl: Totpctl) -> None:
    totpctl.prelude = SOMEBODY_ELSE


def everything(place: Place) -> list[UserRecord]:
    with place.open() as store:
        assert [] == store.check()
        return list(store.records())


def test_everything_but_the_name_stays(totpctl: Totpctl, place: Place, log: LogSocket) -> None:
    place.enrol("alina", label="tablet")
    before = place.enrol(
        "alina",
        recovery_codes=(RECOVERY,),
        failures=3,
        throttled_until=70,
        untold=2,
        guesses_until=80,
        known_places=(KNOWN,),
        uid=UID,
        bound_at=7,
    )
    with place.open() as store, store.transaction("alina") as transaction:
        first, second = before.authenticators
        used = first._replace(last_accepted_step=5, drift=2, learned=3, clock_offset=9)
        before = before._replace(authenticators=(used, second))
        transaction.save(before)
    before = place.record("alina")
    result = totpctl.done("rename", "alina", "alice")
    assert (
        "",
        """\
alice has the enrollment of alina now
the app goes on working; it may go on showing the name alina
""",
    ) == (result.out, result.err)
    (after,) = everything(place)
    assert before._replace(name="alice", updated_at=after.updated_at) == after
    assert before.updated_at < after.updated_at
    (line,) = log.lines()
    event = fields(line)
    assert ("renamed", "alice", "alina") == (event["event"], event["user"], event["old"])


def test_codes_and_recovery_codes_of_before_let_the_new_name_in(
    totpctl: Totpctl, place: Place
) -> None:
    place.enrol("alina", recovery_codes=(RECOVERY,), uid=UID)
    totpctl.done("rename", "alina", "alice")
    for answer in (code_now(), RECOVERY):
        assert 0 == totpctl("verify", "alice", answers=f"{answer}\n").code
    assert 3 == totpctl("show", "alina").code


@pytest.mark.parametrize("status", users.STATUSES)
def test_the_status_goes_along_also_without_an_authenticator(
    totpctl: Totpctl, place: Place, status: str
) -> None:
    with place.open() as store, store.transaction("alina") as transaction:
        transaction.save(UserRecord("alina", status, exempt_until=9 * 10**9, uid=UID))
    result = totpctl.done("rename", "alina", "alice")
    assert "the app" not in result.err
    (after,) = everything(place)
    assert ("alice", status, 9 * 10**9) == (after.name, after.status, after.exempt_until)


def test_what_is_locked_stays_locked(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alina", failures=100, uid=UID)
    totpctl.done("rename", "alina", "alice")
    assert verifier.is_locked(place.record("alice"), verifier.Policy())


def test_without_a_uid_it_asks_and_then_notes_the_uid(totpctl: Totpctl, place: Place) -> None:
    before = place.enrol("alina")
    assert 1 == totpctl("rename", "alina", "alice").code  # nobody can be asked
    assert ["alina"] == [record.name for record in everything(place)]
    assert before.uid is None
    totpctl.done("rename", "alina", "alice", "--yes")
    assert UID == place.record("alice").uid


def test_a_younger_account_with_the_uid_of_the_old_one_is_asked_about(
    totpctl: Totpctl, place: Place
) -> None:
    """Somebody else may have it: useradd gives the last uid out again."""
    totpctl.prelude += """
from admin_cli.host import accounts, birth
accounts.read_shadow = lambda: {"alice": accounts.Shadow("*", changed=30_000)}
births = iter([10**9, 5] * 9)  # of the home folder, of the one above
birth.born_at = lambda path: next(births)
"""
    place.enrol("alina", uid=UID, bound_at=10**9 - 1)
    result = totpctl("rename", "alina", "alice")
    assert 1 == result.code
    assert "home folder and password of alice are newer than the enrollment" in result.err
    totpctl.done("rename", "alina", "alice", "--yes")
    place.enrol("alima", uid=UID, bound_at=10**9)
    assert ["alice", "alima"] == [record.name for record in everything(place)]
    totpctl.done("remove", "alice", "--yes")
    totpctl.done("rename", "alima", "alice")


def test_another_name_that_the_directory_has_for_the_new_one_is_no_account_of_its_own(
    totpctl: Totpctl, place: Place
) -> None:
    totpctl.canonical = {"alina": "alice"}
    place.enrol("alina", uid=UID)
    assert "warning" not in totpctl.done("rename", "alina", "alice").err


def test_a_second_name_of_the_same_account_is_told(totpctl: Totpctl, place: Place) -> None:
    place.enrol("bob", uid=UID)
    result = totpctl.done("rename", "bob", "alice")
    assert "warning: there still is an account bob, and it is no longer enrolled" in result.err


@pytest.mark.parametrize(
    ("old", "new", "code", "error", "hint"),
    [
        ("nobody-known", "alice", 3, "nobody-known is not enrolled", "totpctl list"),
        ("alina", "carol", 1, "carol has a record already", "totpctl remove alina"),
        ("alina", "alima", 3, "there is no user alima on this machine", "getent passwd"),
        ("alice", "alice", 1, "alice is the old name and the new one", "totpctl rename OLD NEW"),
        ("bob", "eve", 1, "with uid 4000 and 4001: they may be two", "totpctl enroll eve"),
        ("alina", "eve", 1, "enrolled as uid 4000, but eve has uid 4001", "remove alina; then: "),
        ("alina", "root", 1, "an enrollment of root is given to nobody", "totpctl enroll root"),
        ("alina", "toor", 1, "an enrollment of root is given to nobody", "totpctl enroll toor"),
        ("root", "alice", 1, "an enrollment of root is given to nobody", "totpctl enroll alice"),
        ("admin", "alice", 1, "an enrollment of root is given to nobody", "totpctl enroll alice"),
    ],
)
def test_what_is_refused_changes_nothing(
    totpctl: Totpctl, place: Place, log: LogSocket, old: str, new: str, code: int, error: str,
    hint: str,
) -> None:  # fmt: skip
    place.enrol("alina", uid=UID)
    place.enrol("carol", uid=UID)
    place.enrol("bob", uid=UID)
    place.enrol("root", uid=0)
    place.enrol("admin", uid=0)
    before = everything(place)
    result = totpctl("rename", old, new, "--yes")
    assert code == result.code, result.err
    assert error in result.err
    assert hint in result.err
    assert before == everything(place)
    assert [] == log.lines()


@pytest.mark.parametrize(
    "written",
    [
        "Match User {}",
        "Match User {}\n# edited",
        "Match User bob,{}",
        "match user {}",
        'Match User "{}" Address 192.0.2.7',
        "\tmatch\tuser={}",
    ],
)
@pytest.mark.parametrize("name", ["alina", "alice"])
def test_while_sshd_lets_a_name_in_by_a_key_alone_it_is_refused(
    totpctl: Totpctl, place: Place, tmp_path: Path, name: str, written: str
) -> None:
    file = tmp_path / "key-only.conf"
    text = key_only.text([KeyOnly(name), KeyOnly("backup")])
    edited = text.replace(f"Match User {name}", written.format(name))
    file.write_text(edited, encoding="utf-8")
    totpctl.prelude += f"from admin_cli.host import key_only\nkey_only.FILE = {str(file)!r}\n"
    place.enrol("alina", uid=UID)
    result = totpctl("rename", "alina", "alice")
    assert 1 == result.code
    assert f"{file}: sshd lets {name} in by a key alone" in result.err
    assert f"run: totpctl exempt --remove {name}; then: totpctl rename alina alice" in result.err
    assert (name == "alina") == ("; then: totpctl exempt --key-only alice" in result.err)
    assert ["alina"] == [record.name for record in everything(place)]
    file.write_text(key_only.text([KeyOnly("backup")]), encoding="utf-8")
    totpctl.done("rename", "alina", "alice")


def test_while_an_undo_would_look_for_the_old_name_it_is_refused(
    totpctl: Totpctl, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The undo of a move removes whom the move has enrolled, by name."""
    record = tmp_path / "unconfirmed.json"
    monkeypatch.setattr(trial_record, "RECORD", str(record))
    boot, boottime = trial_record.read_boot()
    waiting = Trial("id", 1, 600, boot, boottime, ("sshd",), None, (), moved_from="pam_oath.so")
    totpctl.prelude += "from admin_cli.enable import trial_record\n"
    totpctl.prelude += f"trial_record.RECORD = {str(record)!r}\n"
    place.enrol("alina", uid=UID)
    trial_record.write(waiting._replace(imported={"alina": ["phone"]}))
    result = totpctl("rename", "alina", "alice")
    assert (1, ["alina"]) == (result.code, [each.name for each in everything(place)])
    assert "alina is part of a change that waits for its confirmation: sshd\n" in result.err
    then = "hint: run: totpctl confirm, or: totpctl revert; then: totpctl rename alina alice\n"
    assert result.err.endswith(then)
    trial_record.write(waiting._replace(imported={"bob": ["phone"]}))
    totpctl.done("rename", "alina", "alice")


def test_of_an_exemption_by_key_alone_nothing_is_left_to_rename(
    totpctl: Totpctl, place: Place, tmp_path: Path
) -> None:
    file = tmp_path / "key-only.conf"
    file.write_text(key_only.text([KeyOnly("alina")]), encoding="utf-8")
    totpctl.prelude += f"from admin_cli.host import key_only\nkey_only.FILE = {str(file)!r}\n"
    with place.open() as store, store.transaction("alina") as transaction:
        transaction.save(UserRecord("alina", users.EXEMPT, uid=UID))
    result = totpctl("rename", "alina", "alice")
    assert 1 == result.code
    steps = "totpctl exempt --remove alina; then: totpctl exempt --key-only alice\n"
    assert result.err.endswith(steps)


def test_a_secret_that_does_not_open_is_given_to_nobody(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alina", uid=UID)
    with place.open() as store:
        store.database.execute(  # type: ignore[attr-defined]
            "UPDATE authenticators SET sealed_secret = zeroblob(80)"
        )
    result = totpctl("rename", "alina", "alice")
    assert 5 == result.code
    assert "hint: enroll this user again: totpctl reset USER" in result.err
    with place.open() as store:
        assert ["alina"] == [record.name for record in store.records()]
