"""Options of enroll for many people. What it does with them is loaded when it runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ...completion import candidates

if TYPE_CHECKING:
    from ..enrollment.handover import How
    from ..enrollment.issuing import Wanted

FORMATS = ("pdf", "png", "svg")

_OPTIONS = (
    click.option(
        "--from",
        "source",
        metavar="FILE",
        type=click.Path(),
        help="Enroll everyone in this roster: one name a line, or CSV; - is standard input.",
    ),
    click.option(
        "--group",
        "groups",
        multiple=True,
        metavar="GROUP",
        shell_complete=candidates.groups,
        help="Enroll the members of this Unix group; can be repeated.",
    ),
    click.option(
        "--sheets",
        metavar="DIR",
        type=click.Path(),
        help="With --from, --group: write a sheet to hand out for each person into this folder.",
    ),
    click.option(
        "--sheets-format",
        "form",
        type=click.Choice(FORMATS),
        help="pdf: one page (the default); png, svg: a picture to scan, and the rest as text.",
    ),
    click.option(
        "--skip-bad",
        is_flag=True,
        help="With --from, --group: enroll the others although some cannot be.",
    ),
    click.option(
        "--dry-run", is_flag=True, help="With --from, --group: show who would be enrolled."
    ),
)


class Many(NamedTuple):
    """Those options, as they were given."""

    source: str | None
    groups: tuple[str, ...]
    sheets: str | None
    form: str | None  # of FORMATS
    skip_bad: bool
    dry_run: bool


def bulk_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options for many people, which ``command`` takes as ``many``."""

    @wraps(command)
    def with_many(*arguments: object, **given: Any) -> None:
        many = Many(*(given.pop(name) for name in Many._fields))
        command(*arguments, many=many, **given)

    for option in reversed(_OPTIONS):
        with_many = option(with_many)
    return with_many


def are_many(user: str | None, many: Many, wanted: Wanted, how: How) -> bool:
    """Tell whether many people are to be enrolled, and not USER. Raises UsageError."""
    ways = [many.source is not None, bool(many.groups), user is not None]
    if sum(ways) > 1:
        raise click.UsageError("name a USER, or many people with --from or --group")
    if not any(ways[:2]):
        if many != _NOTHING:
            raise click.UsageError("--sheets, --skip-bad and --dry-run are for --from and --group")
        return False
    if wanted.has_secret or wanted.serial:
        raise click.UsageError(
            "--secret-stdin and --serial are for one USER; tokens of many people: totpctl import"
        )
    if how.picture:
        raise click.UsageError("--qr is for one USER; with --from and --group: --sheets-format")
    if many.form and many.sheets is None:
        raise click.UsageError("--sheets-format is for --sheets")
    if many.sheets is None and not (how.as_json or many.dry_run):
        raise click.UsageError(
            "the secrets have nowhere to go: name a folder with --sheets, or print them with --json"
        )
    return True


_NOTHING = Many(None, (), None, None, skip_bad=False, dry_run=False)
