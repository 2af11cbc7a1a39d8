"""kill -9 at every step of an import: everybody is imported, or nobody."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest

from admin_cli import running
from admin_cli.host import directory
from admin_cli.main import totpctl
from tests.faults.processes import Meet, together
from tests.faults.tracing import kills
from tests.support.place import Place

NAMES = ("alice", "bob", "carol")


@pytest.fixture
def people(monkeypatch: pytest.MonkeyPatch) -> None:
    def person(name: str) -> pwd.struct_passwd:
        return pwd.struct_passwd((name, "x", 4000, 4000, "", "/", "/bin/sh"))

    monkeypatch.setattr(directory, "person", person)
    monkeypatch.setattr(directory, "expect", lambda _names: None)


def in_a_process(*arguments: str) -> int:
    def run(_number: int, _meet: Meet) -> int:
        return running.run(totpctl, list(arguments))

    (code,) = together(1, run)
    return int(code)


def test_a_killed_import_has_imported_everybody_or_nobody(
    place: Place, people: None, tmp_path: Path
) -> None:
    place.enrol("alice", b"her phone of before ")
    file = tmp_path / "tokens"
    lines = (f"HOTP/T30 {name} - {name.encode().hex() * 5}\n" for name in NAMES)
    file.write_text("".join(lines), encoding="utf-8")
    command = ["--config", str(place.config_path), "import", str(file)]

    def imported(pause: Meet) -> int:
        pause()
        return running.run(totpctl, command)

    states = set()
    for result, killed in kills(place.store_path.parent, imported):
        assert killed or 0 == result
        with place.open() as store:
            assert [] == store.check()
            found = {record.name: len(record.authenticators) for record in store.records()}
        assert found in ({"alice": 1}, {"alice": 2, "bob": 1, "carol": 1})
        states.add(len(found))
        assert 0 == in_a_process(*command)
        with place.open() as store:
            assert [2, 1, 1] == [len(record.authenticators) for record in store.records()]
    assert {1, 3} == states
