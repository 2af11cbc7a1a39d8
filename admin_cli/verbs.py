"""Groups of commands, each of which is loaded when it is run or completed.

All of them at once made ``--version`` and Tab take three times as long as click alone, so the table
of a group repeats the first sentence of each command's help; tests/unit/test_lazy_commands.py
compares them.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, MutableMapping
from typing import NamedTuple, cast

import click
from click.shell_completion import CompletionItem


class ListedCommand(NamedTuple):
    """Where a command is, as ``module.name`` in its group's package, and its line in the list.

    ``section``: the heading under which ``--help`` lists it.
    """

    place: str
    summary: str
    section: str = "Commands"


class _LoadedWhenUsed(Mapping[str, click.Command]):
    """The commands of a table, each loaded when it is looked up."""

    def __init__(self, listed: Mapping[str, ListedCommand], package: str) -> None:
        self.listed = listed
        self._package = package

    def __getitem__(self, name: str) -> click.Command:
        module, _, attribute = self.listed[name].place.rpartition(".")
        file = importlib.import_module(f"{self._package}.{module}")
        return cast(click.Command, getattr(file, attribute))

    def __contains__(self, name: object) -> bool:
        return name in self.listed

    def __iter__(self) -> Iterator[str]:
        return iter(self.listed)

    def __len__(self) -> int:
        return len(self.listed)


def loaded_when_used(
    listed: Mapping[str, ListedCommand], package: str
) -> MutableMapping[str, click.Command]:
    """Return the ``commands`` of a Verbs: those of ``listed``, from files of ``package``."""
    return cast(MutableMapping[str, click.Command], _LoadedWhenUsed(listed, package))


class Verbs(click.Group):
    """A group that lists commands without loading them, and guesses what a mistyped one was.

    Its ``commands`` are what loaded_when_used() returns.
    """

    @property
    def listed(self) -> Mapping[str, ListedCommand]:
        """Its table."""
        return cast(_LoadedWhenUsed, self.commands).listed

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.listed and not args[0].startswith("-"):
            import difflib

            meant = difflib.get_close_matches(args[0], self.listed, n=1)
            guess = f"; did you mean {meant[0]}?" if meant else ""
            ctx.fail(f"there is no command {args[0]}{guess}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        column = max(map(len, self.listed))  # the same in each section
        names = sorted(self.list_commands(ctx), key=list(self.listed).index)
        for section in dict.fromkeys(self.listed[name].section for name in names):
            with formatter.section(section):
                formatter.write_dl(
                    [
                        (name.ljust(column), self.listed[name].summary)
                        for name in names
                        if self.listed[name].section == section
                    ]
                )

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        commands = [CompletionItem(name, help=self.listed[name].summary) for name in names]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]
