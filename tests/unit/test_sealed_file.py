"""The file that export seals: what opens it, what does not, and what is taken out of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from admin_cli.exporting import sealed_file
from admin_cli.exporting.sealed_file import Carried, NotSealed, WrongPassphrase
from admin_cli.importing import recognition
from admin_cli.importing.sources import TokenFile
from admin_cli.importing.xml_encryption import Unlocking
from pam_totp.core import users
from pam_totp.core.users import Authenticator, UserRecord
from tests.support.place import SECRET

PASSPHRASE = "päss with spaces"
PHONE = Authenticator("id", "phone", SECRET, "SHA512", 8, 60, -3, 1234, 5, 6)
ALICE = UserRecord("jürgen\udcff", authenticators=(PHONE,), failures=3).with_recovery_codes(
    bytes(16), frozenset((bytes(32), bytes([1] * 32)))
)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_file, "_PASSES", 1)
    monkeypatch.setattr(sealed_file, "_MEMORY_BYTES", 8192)


@pytest.fixture
def text() -> str:
    return sealed_file.seal([ALICE], PASSPHRASE).decode("ascii")


def asked() -> str:
    return PASSPHRASE


def unseal(text: str, passphrase: Callable[[], str]) -> list[Carried]:
    return sealed_file.unseal(text.encode("utf-8"), passphrase)


def sealed_document(monkeypatch: pytest.MonkeyPatch, document: object) -> str:
    """Return a file that holds ``document``, by somebody who knows the passphrase."""
    with monkeypatch.context() as patch:
        patch.setattr(sealed_file, "_person", lambda _record: document)
        return sealed_file.seal([ALICE], PASSPHRASE).decode("ascii")


def test_the_key_is_that_of_the_second_option_of_rfc_9106(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three passes over 64 MiB, one lane: whoever guesses takes as long for each passphrase."""
    monkeypatch.undo()
    expected = "8d533cec69082b55362c3468b1d4e07025aa25ded2887ef3524cca6df4bb2205"
    assert expected == sealed_file._key(PASSPHRASE, bytes(range(16))).hex()


def test_what_was_sealed_comes_out(text: str) -> None:
    (person,) = unseal(text, asked)
    assert (ALICE.name, users.ACTIVE, 3) == (person.name, person.status, person.failures)
    assert (ALICE.recovery_salt, ALICE.recovery_digests) == person[5:7]
    assert (PHONE._replace(id=""),) == person.authenticators


def test_it_survives_the_ways_of_text(text: str) -> None:
    """A mail client ends lines otherwise, and an editor begins a file with a mark."""
    changed = text.replace("\n", "\r\n") + "\n\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        file = TokenFile("file", changed.encode(encoding))
        _, contents = recognition.read(file, Unlocking(lambda: b"", asked))
        assert [ALICE.name] == [person.name for person in contents.people]


def test_another_width_of_its_lines_changes_nothing(text: str) -> None:
    version, salt, *lines = text.split("\n")
    for width in (1, 3, 77):
        body = "".join(lines)
        folded = [body[at : at + width] for at in range(0, len(body), width)]
        assert unseal("\n".join((version, salt, *folded)), asked)


def test_a_large_file_comes_out_whole() -> None:
    """It is decoded in pieces, whose ends are anywhere in a group of four characters."""
    people = [ALICE._replace(name=f"user {number}") for number in range(500)]
    data = sealed_file.seal(people, PASSPHRASE)
    assert len(data) > 3 * sealed_file._PIECE
    assert [p.name for p in people] == [p.name for p in sealed_file.unseal(data, asked)]


def test_nothing_may_follow_its_end() -> None:
    for name in ("a", "ab", "abc"):  # one of them ends with =
        data = sealed_file.seal([ALICE._replace(name=name)], PASSPHRASE)
        for more in (b"=", b"A", b"AAAA", b"====", b"\n" * sealed_file._PIECE + b"AAAA"):
            with pytest.raises((WrongPassphrase, NotSealed)):
                sealed_file.unseal(data + more, asked)


@pytest.mark.parametrize("passphrase", ["", PASSPHRASE + " ", PASSPHRASE.upper()])
def test_another_passphrase_does_not_open_it(text: str, passphrase: str) -> None:
    with pytest.raises(WrongPassphrase):
        unseal(text, lambda: passphrase)


def test_no_change_of_it_opens(text: str) -> None:
    """Each character in turn becomes another one of its alphabet."""
    for at, character in enumerate(text):
        if character == "\n":
            continue
        changed = text[:at] + ("1" if character != "1" else "2") + text[at + 1 :]
        with pytest.raises((WrongPassphrase, NotSealed)):
            unseal(changed, asked)


def test_no_part_of_it_opens(text: str) -> None:
    for end in range(0, len(text) - 2, 7):
        with pytest.raises((WrongPassphrase, NotSealed)):
            unseal(text[:end], asked)


def test_the_salt_of_one_file_does_not_open_another(text: str) -> None:
    other = sealed_file.seal([ALICE], PASSPHRASE).decode("ascii").split("\n")
    lines = text.split("\n")
    with pytest.raises(WrongPassphrase):
        unseal("\n".join((*other[:2], *lines[2:])), asked)


def test_a_file_of_a_newer_release_is_named(text: str) -> None:
    with pytest.raises(NotSealed, match="newer than this one"):
        unseal(text.replace("export 1", "export 2"), asked)


def changed(**fields: Any) -> dict[str, Any]:
    return sealed_file._person(ALICE) | fields


def of_device(**fields: Any) -> dict[str, Any]:
    return changed(authenticators=[sealed_file._device(PHONE) | fields])


@pytest.mark.parametrize(
    "person",
    [
        *(None, 7, "alice", [], {}),
        *(
            changed(name=None),
            changed(status="root"),
            changed(failures="3"),
            changed(failures=True),
        ),
        *(changed(failures=1 << 70), changed(failures=1.5), changed(recovery_salt="00")),
        *(changed(recovery_digests=["00"]), changed(recovery_salt=""), changed(recovery_digests=7)),
        *(changed(authenticators=None), changed(authenticators=[{}])),
        *(of_device(secret="x"), of_device(secret=None), of_device(algorithm="MD5")),
        *(of_device(digits="6"), of_device(label=7), of_device(last_used_at="now")),
    ],
    ids=lambda person: json.dumps(person)[-40:],
)
def test_what_export_would_not_write_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, person: object
) -> None:
    with pytest.raises(NotSealed, match="something other than people"):
        unseal(sealed_document(monkeypatch, person), asked)
