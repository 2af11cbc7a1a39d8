"""XML that may be hostile: no DTD, no entities, a limited size; elements by local names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..libraries import load
from .texts import refuse_too_many, text_of
from .tokens import Unreadable

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_MOST_MARKS = 200_000  # of elements and attributes: some 50 MB of memory
_ROOT = re.compile(r"<(?:[\w.-]+:)?(KeyContainer|Tokens)[\s/>]")


def root_name(text: str) -> str:
    """Return the name of the root if it is that of a format, else ""."""
    found = _ROOT.search(text)
    return found[1] if text.lstrip().startswith("<") and found else ""


def parse(data: bytes, what: str) -> Element:
    """Return the root element. Raises Unreadable, CommandFailed."""
    refuse_too_many(data, b"<=", _MOST_MARKS)
    trees = load("defusedxml.ElementTree", what, "python3-defusedxml")
    defused = load("defusedxml.common", what, "python3-defusedxml")
    try:
        root: Element = trees.fromstring(data, forbid_dtd=True)
    except defused.DTDForbidden:
        raise Unreadable("has a DTD, which such files never need") from None
    except defused.DefusedXmlException:
        raise Unreadable("has entities, which such files never need") from None
    except (trees.ParseError, ValueError, LookupError):
        raise Unreadable(_damage(text_of(data))) from None
    return root


def local_name(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def children(element: Element | None, name: str) -> Iterator[Element]:
    """Yield the children with this local name; of None there are none."""
    for child in element if element is not None else ():
        if isinstance(child.tag, str) and local_name(child) == name:
            yield child


def child(element: Element | None, *path: str) -> Element | None:
    """Return the first element at ``path``, a local name a level."""
    for name in path:
        element = next(children(element, name), None)
    return element


def text_at(element: Element | None, *path: str) -> str:
    """Return the text at ``path``, without blanks around it; "" where nothing is there."""
    found = child(element, *path)
    return (found.text or "").strip() if found is not None else ""


def _damage(text: str) -> str:
    name = root_name(text)
    if name and not re.search(rf"</(?:[\w.-]+:)?{name}\s*>", text):
        tool = ""
        if name == "KeyContainer":
            tool = ": Yubico's personalization tool leaves it out; add it as the last line"
        return f"is not well-formed: </{name}> is missing{tool}"
    return "is not well-formed XML"
