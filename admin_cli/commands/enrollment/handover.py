"""Hand over the new secret: show it, check that the app works, report."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from pam_totp.core import enrollment, verifier
from pam_totp.core.users import Authenticator
from pam_totp.system import issuing

from ... import output
from ...errors import CommandFailed
from ...session import Session, now
from . import clocks, otpauth, qr


def hand_over(
    session: Session, name: str, new: Authenticator, *, no_confirm: bool, as_json: bool
) -> Authenticator:
    """Show the secret and, unless ``no_confirm``, keep asking until the app shows its codes.

    Returns the authenticator with that code used up. Raises CommandFailed after
    enrollment.ATTEMPTS wrong ones: nothing has been written by then.
    """
    if as_json and no_confirm:
        return new
    _show_secret(session, name, new, err=as_json)
    if no_confirm:
        return new
    for _ in range(enrollment.ATTEMPTS):
        answer = output.ask("Code shown by the app", "if nobody can answer, use --no-confirm")
        given = verifier.classify(answer, frozenset((new.digits,)))
        at = now()
        verdict, judged = enrollment.judge_first_code(new, given, at, session.policy)
        if verdict.outcome == verifier.ACCEPTED:
            return judged
        offset = clocks.nearest_offset(new, given.code, at)
        if offset is None:
            output.message("that code does not match the new secret")
        else:
            output.message(f"that code is not valid now: {clocks.explain(new, offset)}")
    raise CommandFailed("no correct code was entered; nothing was changed", "try again")


def _show_secret(session: Session, name: str, new: Authenticator, *, err: bool) -> None:
    """Show address, secret and QR code; the code last, so that a small screen shows it whole."""
    show = output.message if err else output.result
    stream = sys.stderr if err else sys.stdout
    assert new.secret is not None
    uri = otpauth.provisioning_uri(new, name, session.issuer)
    secret = issuing.base32(new.secret)
    reason = qr.reason_not_to_draw(uri, stream)
    if reason:
        show(f"No QR code here, because {reason}.")
        show("Enter this address or secret into an authenticator app:")
    else:
        show("Scan the QR code with an authenticator app, or enter this address or secret:")
        too_high = qr.lines_too_many(uri, stream)
        if too_high:
            show(f"(This window is too low for the QR code: make it {too_high} lines higher.)")
    show()
    show(f"  {uri}")
    show("  secret: " + issuing.to_type(secret))
    show(f"  {new.algorithm}, {new.digits} digits, {new.period} seconds")
    show()
    if not reason:
        output.picture(qr.draw(uri), stream)


def show_result(
    session: Session, name: str, new: Authenticator, codes: list[str], *, as_json: bool
) -> None:
    with once_committed(f"{name} has new secrets", f"totpctl reset {name}"):
        if as_json:
            assert new.secret is not None
            uri = otpauth.provisioning_uri(new, name, session.issuer)
            secret = issuing.base32(new.secret)
            output.result_json(document(name, new.label, secret, uri, codes))
            return
        if codes:
            show_recovery_codes(name, codes)
    output.message(f"{name} is enrolled with {new.label}")


@contextlib.contextmanager
def once_committed(what: str, fix: str) -> Iterator[None]:
    """Show what cannot be shown again. Raises CommandFailed, with the fix, where that fails."""
    try:
        yield
    except OSError as error:
        problem = f"{what}, but they could not be shown: {error.strerror}"
        raise CommandFailed(problem, f"make new ones with: {fix}") from None


def document(
    name: str, label: str, secret: str | None, uri: str | None, codes: list[str]
) -> dict[str, object]:
    return {"user": name, "label": label, "secret": secret, "uri": uri, "recovery_codes": codes}


def show_recovery_codes(name: str, codes: list[str]) -> None:
    output.result(f"Recovery codes of {name}, each good for one login without the phone:")
    output.result()
    for left, right in zip(codes[::2], codes[1::2], strict=True):
        output.result(f"  {left}   {right}")
    output.result()
    output.result("They are not shown again. Write them down and keep them away from the phone.")
    output.result()
