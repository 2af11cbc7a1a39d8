"""import: its options."""

from __future__ import annotations

import click

from ...completion import candidates
from ...importing.formats import FORMATS
from ...session import Session, pass_session
from ..arguments import json_option, local_option


@click.command("import")
@click.argument("source", nargs=-1, type=click.Path())
@click.option(
    "--format",
    "given_format",
    type=click.Choice(FORMATS),
    help="In which format it is, if that is not recognized.",
)
@click.option(
    "--homes", is_flag=True, help="Read the .google_authenticator of every account's home."
)
@click.option("--user", help="Whose all tokens are.", shell_complete=candidates.accounts)
@click.option(
    "--map",
    "map_file",
    type=click.Path(),
    help="A file with the accounts of names: NAME ACCOUNT in each line.",
)
@click.option("--strip-domain", is_flag=True, help="Take alice@example.com for alice.")
@click.option(
    "--assign",
    multiple=True,
    metavar="USER=SERIAL",
    help="Give a token to USER; tokens of nobody are then passed over. May be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be imported, without secrets.")
@click.option("--skip-bad", is_flag=True, help="Import the good tokens although others are bad.")
@click.option(
    "--unusual",
    is_flag=True,
    help="Take tokens of 7 digits, and of periods other than 30 and 60 s.",
)
@click.option("--partial", is_flag=True, help="Import some QR codes of an export without the rest.")
@click.option(
    "--passphrase-file",
    type=click.Path(),
    help="The passphrase of an encrypted file; /dev/fd/3 is a descriptor.",
)
@click.option(
    "--key-file", type=click.Path(), help="The key of an encrypted file, in hex; or /dev/fd/3."
)
@click.option("--no-mac", is_flag=True, help="Take encrypted files that have no MACs.")
@json_option
@local_option
@pass_session
def import_tokens(
    session: Session,
    source: tuple[str, ...],
    given_format: str | None,
    homes: bool,
    user: str | None,
    map_file: str | None,
    strip_domain: bool,
    assign: tuple[str, ...],
    dry_run: bool,
    skip_bad: bool,
    unusual: bool,
    partial: bool,
    passphrase_file: str | None,
    key_file: str | None,
    no_mac: bool,
    as_json: bool,
) -> None:
    """Import authenticators from other programs: their phones and tokens go on working.

    SOURCE is a file, a folder of files, or - for standard input. Everything is checked first, and
    nothing is imported if anything is bad. People who are imported already are left alone.
    """
    if bool(source) == homes:
        raise click.UsageError("name a SOURCE, or use --homes")
    from . import carrying_out
    from .carrying_out import ImportRequest

    carrying_out.carry_out(
        session,
        ImportRequest(
            source,
            given_format or "",
            user or "",
            map_file,
            strip_domain,
            assign,
            passphrase_file,
            key_file,
            accepts_no_mac=no_mac,
            dry_run=dry_run,
            skip_bad=skip_bad,
            takes_unusual=unusual,
            partial=partial,
            as_json=as_json,
        ),
    )
