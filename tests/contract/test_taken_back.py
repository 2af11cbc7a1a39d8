"""packaging/take_back_schema.py: what an upgrade that failed did to the store."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pam_totp.core.admission import EXEMPT, REQUIRED, GroupRule
from pam_totp.store.sqlite import schema
from tests.contract.test_first_schema import ALICE, connect, dump, load, old
from tests.support.place import ROOT, Place

__all__ = ["old"]
SCRIPT = ROOT / "packaging" / "take_back_schema.py"


@pytest.fixture
def previous(tmp_path: Path) -> Path:
    """A copy of the modules that knows the first schema alone, as the first release."""
    library = tmp_path / "previous"
    ignored = shutil.ignore_patterns("__pycache__", "native")
    shutil.copytree(ROOT / "pam_totp", library / "pam_totp", ignore=ignored)
    schema_file = library / "pam_totp" / "store" / "sqlite" / "schema.py"
    with schema_file.open("a", encoding="utf-8") as file:
        file.write("\nMIGRATIONS = MIGRATIONS[:1]\n")
    return library


def take_back(place: Place, library: Path) -> subprocess.CompletedProcess[str]:
    command = ["/usr/bin/python3", "-I", str(SCRIPT), str(library), str(place.config_path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def shape(path: Path) -> list[tuple[object, ...]]:
    connection = connect(path)
    tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1")
    columns = [
        (table, *column[1:])
        for (table,) in tables.fetchall()
        for column in connection.execute(f"PRAGMA table_info({table})")
    ]
    connection.close()
    return [*columns, ("version", version_of(path))]


def version_of(path: Path) -> int:
    connection = connect(path)
    version = schema.version(connection)
    connection.close()
    return version


def test_every_migration_but_the_first_can_be_taken_back(old: Place, previous: Path) -> None:
    before = shape(old.store_path)
    old.open().close()
    assert len(schema.MIGRATIONS) == version_of(old.store_path)
    done = take_back(old, previous)
    assert (0, "") == (done.returncode, done.stderr)
    assert before == shape(old.store_path)
    connection = connect(old.store_path)
    assert [("ok",)] == connection.execute("PRAGMA integrity_check").fetchall()
    connection.close()
    assert ALICE == load(old)  # which takes it over again


def test_a_store_that_was_not_taken_over_is_left_alone(old: Place, previous: Path) -> None:
    before = dump(old.store_path)
    assert 0 == take_back(old, previous).returncode
    assert before == dump(old.store_path)
    old.open().close()
    before = dump(old.store_path)
    assert 0 == take_back(old, ROOT).returncode
    assert before == dump(old.store_path)


@pytest.mark.parametrize("written", ["a rule", "an end"])
def test_nothing_that_was_written_since_is_thrown_away(
    old: Place, previous: Path, written: str
) -> None:
    with old.open() as opened:
        if written == "a rule":
            opened.save_group_rule(GroupRule("staff", REQUIRED))
        else:
            with opened.transaction("alice") as transaction:
                transaction.save(ALICE._replace(status=EXEMPT, exempt_until=1))
    before = dump(old.store_path)
    done = take_back(old, previous)
    assert 1 == done.returncode
    assert f"{old.store_path}: the previous version cannot use it" in done.stderr
    assert before == dump(old.store_path)


def test_without_a_store_there_is_nothing_to_take_back(old: Place, previous: Path) -> None:
    old.store_path.unlink()
    assert 0 == take_back(old, previous).returncode
    assert not old.store_path.exists()
