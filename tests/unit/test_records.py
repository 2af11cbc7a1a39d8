"""records.NamedTuple beside the real one: the same fields, the same behaviour."""

from __future__ import annotations

import copy
import pickle
import typing

import pytest

from pam_totp.core.records import NamedTuple


class Ours(NamedTuple):
    name: str
    size: int = 3
    tags: tuple[str, ...] = ()

    def doubled(self) -> int:
        return 2 * self.size


class Theirs(typing.NamedTuple):
    name: str
    size: int = 3
    tags: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (("a",), {}),
        (("a", 5), {}),
        (("a", 5, ("x",)), {}),
        ((), {"name": "a"}),
        (("a",), {"tags": ("x", "y")}),
        ((), {"tags": (), "size": 0, "name": ""}),
    ],
)
def test_a_record_is_made_and_behaves_as_typings_is(values: tuple, named: dict) -> None:
    ours, theirs = Ours(*values, **named), Theirs(*values, **named)
    assert tuple(theirs) == tuple(ours)
    assert theirs._asdict() == ours._asdict()
    assert repr(theirs) == repr(ours).replace("Ours", "Theirs")
    assert hash(theirs) == hash(ours)
    assert (theirs.name, theirs.size, theirs.tags) == (ours.name, ours.size, ours.tags)
    assert tuple(theirs._replace(size=9)) == tuple(ours._replace(size=9))
    assert Theirs._fields == Ours._fields
    assert Theirs._field_defaults == Ours._field_defaults


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ((), {}),
        (("a", 1, (), "more"), {}),
        (("a",), {"name": "b"}),
        (("a",), {"colour": "red"}),
        ((), {"size": 1}),
    ],
)
def test_what_typings_record_refuses_is_refused(values: tuple, named: dict) -> None:
    for kind in (Ours, Theirs):
        with pytest.raises(TypeError):
            kind(*values, **named)


def test_a_record_cannot_be_changed_in_place() -> None:
    record = Ours("a")
    for change in ("name", "colour"):
        with pytest.raises(AttributeError):
            setattr(record, change, "b")


def test_replacing_a_field_that_is_not_there_is_refused() -> None:
    with pytest.raises((TypeError, ValueError)):
        Ours("a")._replace(colour="red")


def test_methods_pickles_and_copies_work() -> None:
    record = Ours("a", 4)
    assert 8 == record.doubled()
    assert record == pickle.loads(pickle.dumps(record))
    assert record == copy.deepcopy(record)
    assert isinstance(record._replace(size=1), Ours)
