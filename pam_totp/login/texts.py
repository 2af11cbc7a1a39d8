"""Text: what is said to a person, in English, and how it is said in another language.

A sentence is translated whole, and then its values are put in, by name. What cannot be translated,
by a catalog that is damaged or of another release, is said in English: no sentence fails a login.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Protocol

    class Catalog(Protocol):
        """What is used of gettext.GNUTranslations."""

        def gettext(self, message: str, /) -> str: ...
        def ngettext(self, one: str, many: str, count: int, /) -> str: ...


# What may be in a sentence and is not printable, for Python: line ends, and blanks of French.
_ALLOWED = dict.fromkeys(map(ord, "\n\u00a0\u202f"))


class Text(str):
    """As a str, it is the English sentence with its values. Made by text(), counted(), as_is().

    What is said in a login takes a Text, so that mypy finds a sentence that nobody can translate.
    """

    __slots__ = ("_count", "_many", "_one", "_values")

    _one: str  # "": it is said as it stands
    _many: str  # "": it has no plural
    _count: int
    _values: dict[str, object]

    def said_in(self, catalog: Catalog | None) -> str:
        """Return it in the language of ``catalog``; None: English."""
        if catalog is None or not self._one:
            return str(self)
        try:
            if self._many:
                sentence = catalog.ngettext(self._one, self._many, self._count)
            else:
                sentence = catalog.gettext(self._one)
            values = {
                name: value.said_in(catalog) if isinstance(value, Text) else value
                for name, value in self._values.items()
            }
            said = sentence.format(**values)
        except Exception:  # of a damaged catalog
            return str(self)
        return said if said.translate(_ALLOWED).isprintable() else str(self)


def text(english: str, **values: object) -> Text:
    """Return a sentence in which ``{name}`` stands for each of ``values``.

    One that is a Text itself is translated as well.
    """
    return _made(english.format(**values), english, "", 0, values)


def counted(one: str, many: str, count: int, **values: object) -> Text:
    """Return ``one`` or ``many``, which both say ``{count}`` where they name the number."""
    values["count"] = count
    english = one if count == 1 else many
    return _made(english.format(**values), one, many, count, values)


def as_is(words: str) -> Text:
    """Return what is in no language, or in an administrator's: a secret, a picture, a setting."""
    return _made(words, "", "", 0, {})


def _made(said: str, one: str, many: str, count: int, values: dict[str, object]) -> Text:
    new = Text(said)
    new._one, new._many, new._count, new._values = one, many, count, values
    return new
