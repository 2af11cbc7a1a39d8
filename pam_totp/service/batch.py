"""Judge the answers of many logins in one transaction, made durable by one sync."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..login import steps
from ..system.errors import StoreBusy
from .kept import InUse

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from ..login.steps import Step
    from ..store import Store

    Key = TypeVar("Key")
    Ask = Callable[[Callable[[Store], object]], object]


def judge(
    jobs: list[tuple[Key, Step]], ask: Ask
) -> list[tuple[Key, Step, object, BaseException | None]]:
    """Perform the critical sections ``jobs``, one after the other; return what came of each.

    ``ask`` runs a question on their store, which has the methods that the steps name. All results
    are durable on return. If one job fails, everything is rolled back and each job is performed
    alone, so only that one is denied. If the commit fails, all are denied.
    """
    values: list[object] = []

    def together(store: Store) -> None:
        with store.batch():
            values.extend(steps.perform(step, store) for _, step in jobs)

    try:
        ask(together)
    except BaseException as error:
        is_committing = len(values) == len(jobs)
        if is_committing or len(jobs) == 1 or isinstance(error, (InUse, StoreBusy)):
            return [(key, step, None, error) for key, step in jobs]
        return [alone for job in jobs for alone in judge([job], ask)]
    return [(key, step, value, None) for (key, step), value in zip(jobs, values, strict=True)]
