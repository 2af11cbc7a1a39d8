"""typing.NamedTuple for those in a hurry: immutable records, with neither typing nor eval.

Importing typing would add 5 ms to every login, and collections.namedtuple compiles a constructor
for each class. Type checkers are shown the real one; the classes made here behave like its.
"""

from __future__ import annotations

from _operator import itemgetter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple
else:

    class _Record(tuple):
        __slots__ = ()
        _fields = ()
        _field_defaults = {}

        def __new__(cls, *values, **named):
            if not named and len(values) == len(cls._fields):
                return tuple.__new__(cls, values)
            left = cls._fields[len(values) :]
            defaults = cls._field_defaults
            try:
                rest = [named.pop(f) if f in named else defaults[f] for f in left]
            except KeyError as missing:
                raise TypeError(f"{cls.__name__} needs {missing}") from None
            if named or len(values) > len(cls._fields):
                raise TypeError(f"{cls.__name__} has the fields {', '.join(cls._fields)}")
            return tuple.__new__(cls, (*values, *rest))

        def __getnewargs__(self):
            return tuple(self)

        def __repr__(self):
            pairs = zip(self._fields, self, strict=True)
            return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in pairs)})"

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def _replace(self, **changes):
            values = tuple(map(changes.pop, self._fields, self))
            if changes:
                raise TypeError(f"{type(self).__name__} has the fields {', '.join(self._fields)}")
            return tuple.__new__(type(self), values)

    class _NamedTupleMeta(type):
        def __new__(mcs, name, bases, namespace):
            if not bases:
                return super().__new__(mcs, name, bases, namespace)
            fields = tuple(namespace.pop("__annotations__"))
            defaults = {field: namespace.pop(field) for field in fields if field in namespace}
            for index, field in enumerate(fields):
                namespace[field] = property(itemgetter(index))
            namespace.update(__slots__=(), _fields=fields, _field_defaults=defaults)
            return type(name, (_Record,), namespace)

    class NamedTuple(metaclass=_NamedTupleMeta):
        """Base of a class whose annotated fields become those of a tuple."""
