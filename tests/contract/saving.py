"""Saves and loads a sample record by its name, and lists what a folder holds."""

from __future__ import annotations

from pathlib import Path

from tests.contract.sample_records import full_record
from tests.support.place import Place


def save(place: Place, name: str) -> None:
    with place.open() as opened, opened.transaction(name) as transaction:
        transaction.save(full_record(name))


def load(place: Place, name: str) -> object:
    with place.open() as opened, opened.transaction(name) as transaction:
        return transaction.record


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
