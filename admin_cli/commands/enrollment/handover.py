"""Hand over the new secret: show it, check that the app works, report."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple, TextIO

from pam_totp.core import enrollment, verifier
from pam_totp.core.users import Authenticator, UserRecord
from pam_totp.system import issuing

from ... import output
from ...errors import CommandFailed
from ...session import Session, now
from .. import documents
from . import clocks, entries, otpauth, picture_option, qr, terminal


class How(NamedTuple):
    """How somebody wants it handed over. ``picture``: of picture_option.KINDS, a file, or ""."""

    no_confirm: bool
    as_json: bool
    picture: str


class Offer(NamedTuple):
    """A new authenticator of ``user``, and the names that the app shows for it.

    ``is_given``: it was made elsewhere, and has its secret already.
    """

    user: str
    authenticator: Authenticator
    entry: entries.AppEntry
    is_given: bool = False

    @property
    def uri(self) -> str:
        return otpauth.provisioning_uri(self.authenticator, self.entry.account, self.entry.issuer)

    @property
    def secret(self) -> str:
        assert self.authenticator.secret is not None
        return issuing.base32(self.authenticator.secret)

    def __repr__(self) -> str:
        return "<Offer>"


def offer(
    session: Session,
    user: str,
    new: Authenticator,
    beside: UserRecord | None = None,
    *,
    is_given: bool = False,
) -> Offer:
    """Return what to hand over. ``beside``: whose authenticators stay valid beside the new one."""
    is_first = beside is None or not beside.authenticators
    entry = entry_of(session, user, "" if is_first else new.label)
    offered = Offer(user, new, entry, is_given)
    if is_too_long(offered) and not is_given:
        output.warning(
            f"the app's entry {entry} has {entry.size(new.period)} bytes, and a YubiKey takes "
            f"{entries.MAX_BYTES}: choose a shorter --label, or a shorter issuer in the "
            "configuration"
        )
    return offered


def is_too_long(offered: Offer) -> bool:
    """Tell whether the names that an app shows are too long for a YubiKey."""
    return offered.entry.size(offered.authenticator.period) > entries.MAX_BYTES


def entry_of(session: Session, user: str, label: str = "") -> entries.AppEntry:
    return entries.entry_of(user, session.place, session.issuer, label)


def hand_over(session: Session, offered: Offer, how: How) -> Authenticator:
    """Show the secret and, unless ``how`` says no, keep asking until the app shows its codes.

    Returns the authenticator with that code used up. Raises CommandFailed after
    enrollment.ATTEMPTS wrong ones: nothing has been written by then.
    """
    new = offered.authenticator
    if how.as_json and how.no_confirm:
        return new
    if not offered.is_given:
        _show_secret(offered, how)
    if how.no_confirm:
        return new
    shown_by = "token" if offered.is_given else "app"
    for _ in range(enrollment.ATTEMPTS):
        answer = output.ask(
            f"Code shown by the {shown_by}", "if nobody can answer, use --no-confirm"
        )
        given = verifier.classify(answer, frozenset((new.digits,)))
        at = now()
        verdict, judged = enrollment.judge_first_code(new, given, at, session.policy)
        if verdict.outcome == verifier.ACCEPTED:
            return judged
        offset = clocks.nearest_offset(new, given.code, at)
        if offset is None:
            output.message("that code does not match the new secret")
        else:
            start_over = ""
            if new.counts and offset > 0:
                start_over = f"; start over with --counter {new.current_step(at) + offset}"
            output.message(f"that code is not valid now: {clocks.explain(new, offset)}{start_over}")
    raise CommandFailed("no correct code was entered; nothing was changed", "try again")


def _show_secret(offered: Offer, how: How) -> None:
    """Show address, secret and QR code; the code last, so that a small screen shows it whole."""
    show = output.message if how.as_json else output.result
    stream = sys.stderr if how.as_json else sys.stdout
    lines = _picture(offered.uri, how.picture, stream, show)
    new = offered.authenticator
    show()
    show(f"  {offered.uri}")
    show("  secret: " + issuing.to_type(offered.secret))
    show(f"  {parameters_in_words(new)}")
    show(f"  entry in the app: {offered.entry}")
    show()
    if lines:
        output.picture("\n".join(lines), stream)


def parameters_in_words(new: Authenticator) -> str:
    how_often = f"counter {new.counter}" if new.counts else f"{new.period} seconds"
    return f"{new.algorithm}, {new.digits} digits, {how_often}"


def _picture(uri: str, kind: str, stream: TextIO, show: Callable[[str], None]) -> list[str]:
    """Say what to do with the secret, and return the lines of the QR code to show below it."""
    rows = qr.modules(uri)
    reason = "" if kind else terminal.reason_not_to_draw(rows, stream)
    if picture_option.is_file(kind):
        show(f"The QR code is in {kind}, for root alone: remove the file once it was scanned.")
    elif reason:
        show(f"No QR code here, because {reason}.")
    if reason or kind == "none" or picture_option.is_file(kind):
        show("Enter this address or secret into an authenticator app:")
        return []
    lines = terminal.draw(rows, kind, stream)
    show("Scan the QR code with an authenticator app, or enter this address or secret:")
    too_high = terminal.lines_too_many(lines, stream)
    if too_high:
        show(f"(This window is too low for the QR code: make it {too_high} lines higher.)")
    return lines


def show_result(offered: Offer, codes: list[str], *, as_json: bool) -> None:
    user, new = offered.user, offered.authenticator
    with once_committed(f"{user} has new secrets", f"totpctl reset {user}"):
        if as_json:
            output.result_json(document(user, new, offered, codes))
            return
        if codes:
            show_recovery_codes(user, codes)
    output.message(f"{user} is enrolled with {new.label}")


def say_what_to_delete(session: Session, before: UserRecord) -> None:
    """Name the entry that the app of a user who was reset still shows, from before."""
    entry = entry_of(session, before.name)
    labels = ", ".join(authenticator.label for authenticator in before.authenticators)
    if labels:
        output.message(
            f"delete the void entry {entry} from the app ({labels}); "
            "if it shows two of that name, keep the newer one"
        )


@contextlib.contextmanager
def once_committed(what: str, fix: str) -> Iterator[None]:
    """Show what cannot be shown again. Raises CommandFailed, with the fix, where that fails."""
    try:
        yield
    except OSError as error:
        problem = f"{what}, but they could not be shown: {error.strerror}"
        raise CommandFailed(problem, f"make new ones with: {fix}") from None


def document(
    user: str, authenticator: Authenticator, offered: Offer | None, codes: list[str]
) -> dict[str, object]:
    """Return what --json prints. ``offered``: None where ``authenticator`` is an old one.

    A secret that was given is not repeated.
    """
    is_new = offered is not None and not offered.is_given
    return {
        "user": user,
        "label": authenticator.label,
        "secret": offered.secret if offered and is_new else None,
        "uri": offered.uri if offered and is_new else None,
        "recovery_codes": codes,
        **documents.how_codes_are_made(authenticator),
        "issuer": offered and offered.entry.issuer,
        "account": offered and offered.entry.account,
    }


def show_recovery_codes(name: str, codes: list[str]) -> None:
    output.result(f"Recovery codes of {name}, each good for one login without the phone:")
    output.result()
    for left, right in zip(codes[::2], codes[1::2], strict=True):
        output.result(f"  {left}   {right}")
    output.result()
    output.result("They are not shown again. Write them down and keep them away from the phone.")
    output.result()
