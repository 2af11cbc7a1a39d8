"""Many small cases in one test: each is tried, and each that fails is named.

pytest takes milliseconds for a test, and most cases take none. For cases that share their fixtures:
what one leaves there, the next one meets. Others are parametrized.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import pytest

Ids = Callable[[Any], object] | Iterable[object] | None


def each(
    names: str | tuple[str, ...], cases: Iterable[Any], ids: Ids = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Have a test try all ``cases``; as pytest.mark.parametrize, and in place of it."""
    parameters = [name.strip() for name in names.split(",")] if isinstance(names, str) else names
    given = list(cases)
    labels = None if ids is None or callable(ids) else list(ids)
    assert given

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(test)
        others = [p for name, p in signature.parameters.items() if name not in parameters]

        def try_each(*arguments: Any, **fixtures: Any) -> None:
            failures = []
            for number, case in enumerate(given):
                values = case.values if hasattr(case, "marks") else case
                if len(parameters) == 1 and not hasattr(case, "marks"):
                    values = (case,)
                try:
                    test(*arguments, **dict(zip(parameters, values, strict=True)), **fixtures)
                except (Exception, BaseExceptionGroup, pytest.fail.Exception) as failure:
                    label = values if labels is None else labels[number]
                    failure.add_note(f"case {number}: {label!r}")
                    failures.append(failure)
            if failures:
                raise BaseExceptionGroup(f"{len(failures)} of {len(given)} cases", failures)

        try_each.__name__, try_each.__doc__ = test.__name__, test.__doc__
        try_each.__module__, try_each.__qualname__ = test.__module__, test.__qualname__
        try_each.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]
        if hasattr(test, "pytestmark"):
            try_each.pytestmark = test.pytestmark  # type: ignore[attr-defined]
        return try_each

    return decorate
