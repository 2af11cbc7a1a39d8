"""init, rotate-key, selftest: what they do is loaded when they run, as in logins.py."""

from __future__ import annotations

import click

from pam_totp.stack.pam_ways import NATIVE_MODULE, PAM_PYTHON_MODULE

from .. import output
from ..errors import CheckSaysNo, CommandFailed, need_root
from ..session import Session, pass_session
from .arguments import json_option, yes_option


@click.command()
@pass_session
def init(session: Session) -> None:
    """Create the sealing key and the store.

    Creates only what is missing, and never overwrites. Then checks both, and creates any missing
    spare files, which disable and revert need on a full disk. In a fleet, key and store are those
    of this host's own accounts.
    """
    from . import creating

    creating.init(session)


@click.command("rotate-key")
@yes_option
@pass_session
def rotate_key(session: Session, yes: bool) -> None:
    """Replace the sealing key, and reseal every secret.

    Nobody is denied meanwhile, and nobody has to enroll again. An interrupted rotation is finished
    by the next run. Back up key and store before, and again afterwards. In a fleet, they are those
    of this host's own accounts; for the fleet's, see: fleet rotate-key.
    """
    from . import rotation

    rotation.rotate_key(session, yes=yes)


@click.command()
@click.option(
    "--module",
    type=click.Choice((NATIVE_MODULE, PAM_PYTHON_MODULE)),
    help="PAM module to try (default: pam_totp.so if it is installed).",
)
@json_option
@pass_session
def selftest(_session: Session, module: str | None, as_json: bool) -> None:
    """Try logins through libpam, with a temporary store.

    Touches no user: creates a PAM service and a store, tries a correct code, the same code again, a
    wrong code and a recovery code, and removes both.
    """
    need_root("create a PAM service")
    from .. import selftest as chain

    try:
        checks = chain.run(module or chain.default_module())
    except KeyboardInterrupt:
        raise CommandFailed("interrupted; nothing was left behind") from None
    if as_json:
        output.result_json([check._asdict() for check in checks])
    else:
        for check in checks:
            output.result(f"{'ok' if check.passed else 'FAILED':8}{check.name}")
    failed = [check for check in checks if not check.passed]
    if failed:
        detail = failed[0].detail or "no output"
        raise CheckSaysNo(
            f"selftest: {failed[0].name}: {detail}",
            "the reason is in: journalctl -n 50 -g pam_totp",
        )
    if not as_json:
        output.message("selftest passed: codes are checked correctly through libpam")
