"""sshd: whether its settings let PAM ask, and what else gets somebody in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from pam_totp.stack import pam_stack
from pam_totp.stack.pam_lines import NotUnderstood
from pam_totp.system.errors import PamTotpError

from ..enable import blocks, trial_record
from ..errors import CommandFailed
from ..host import files, pam_blocks, sshd
from ..host.sshd import files as sshd_files
from ..host.sshd import process as sshd_process
from ..host.sshd.drop_in_text import method_lists
from .facts import SSHD as SERVICE
from .facts import CannotTell, Facts
from .finding import NOTE, WRONG, Finding, Found, check

_KEYS_WHY = "a key, even a stolen one, is enough to get in without a code"


@check("sshd-refuses", WRONG, "sshd will not start again: nobody will get in")
def refuses(facts: Facts) -> Iterator[Found]:
    """Run sshd -t, also while an undo is unfinished: it then waits for sshd to accept its files."""
    if not _concerns_us(facts) or not os.path.exists(sshd_process.program()):
        return
    try:
        sshd.check()
    except CommandFailed as error:
        yield str(error), error.hint


@check("sshd-settings", WRONG, "users get in without a code, or cannot be asked and are denied")
def settings(facts: Facts) -> Iterator[Found]:
    """Compare what is in force with what enable set; or with what any form needs."""
    in_force = _in_force(facts)
    wanted = _wanted(facts)
    if wanted:
        for problem in sshd.problems(wanted, facts.people_to_try):
            again = f"run: totpctl enable sshd --keys {wanted}"
            is_there = os.path.exists(sshd.DROP_IN)
            yield problem, f"correct that line; then {again}" if is_there else again
        return
    for keyword, value in (
        ("usepam", "yes"),
        ("kbdinteractiveauthentication", "yes"),
        ("passwordauthentication", "no"),
        ("pamservicename", SERVICE),
    ):
        if keyword == "passwordauthentication" and not _lists_passwords(in_force):
            continue
        if in_force.get(keyword) not in (value, None):
            yield (
                f"sshd has {keyword} {in_force[keyword]}, not {value}",
                "fix that in sshd_config; or run: totpctl enable sshd",
            )


@check("sshd-keys", WRONG, _KEYS_WHY)
def keys(facts: Facts) -> Iterator[Found]:
    """Where enable set it, sshd-settings compares it."""
    in_force = _in_force(facts)
    if _wanted(facts):
        return
    fix = "run: totpctl enable sshd; or with --keys skip, if that is intended"
    service = facts.service(SERVICE)
    if not pam_blocks.is_managed(service.text):  # enable refuses lines that somebody wrote by hand
        fix = f"remove the pam_totp lines from {service.path}; then {fix}"
    if sshd.keys_in_force(in_force) == "skip":
        yield "sshd does not ask key logins for a code", fix
    elif sshd.has_match_blocks():
        for name in facts.people_to_try:
            if sshd.keys_in_force(sshd.effective(name)) == "skip":
                yield (
                    f"sshd does not ask key logins of {name} for a code (Match)",
                    "remove AuthenticationMethods from that Match block: "
                    f"grep -rniE '^ *(match|auth)' {sshd_files.FOLDER}/sshd_config*",
                )


@check("sshd-keys-skip", NOTE, _KEYS_WHY)
def keys_skip(facts: Facts) -> Iterator[Found]:
    _needs_sshd(facts)
    if _wanted(facts) == "skip":
        yield "sshd was enabled with --keys skip", "run: totpctl enable sshd --keys code"


@check("sshd-other-methods", WRONG, "these logins bypass PAM's prompts, and so the code")
def other_methods(facts: Facts) -> Iterator[Found]:
    in_force = _in_force(facts)
    methods = in_force.get("authenticationmethods", "any")
    for keyword, method in (
        ("gssapiauthentication", "gssapi-with-mic"),
        ("hostbasedauthentication", "hostbased"),
    ):
        enough = methods == "any" or method in methods.split()
        if in_force.get(keyword) == "yes" and enough:
            yield f"sshd lets in by {method} alone", f"set {keyword} no in sshd_config"


@check("sshd-other-server", WRONG, "logins to that server may not need a code")
def other_servers(facts: Facts) -> Iterator[Found]:
    _needs_sshd(facts)
    for problem in sshd.of_other_servers(_wanted(facts) or "code"):
        yield (
            problem,
            f"copy the settings of {sshd.DROP_IN} into its file and reload it; or stop it",
        )


def keys_now(facts: Facts) -> str | None:
    """Return what keys are worth, as enable's --keys, or "none"; None where there is no sshd.

    sshd's settings say whether PAM asks people with a key; what it asks them stands in its file.
    """
    try:
        keys = sshd.keys_in_force(_in_force(facts))
        if keys in ("skip", "none"):
            return keys
        stack = pam_stack.auth_stack(SERVICE)
    except (CannotTell, NotUnderstood):
        return None
    if pam_stack.asks_password_of_keys(stack):
        return "password+code"
    return "key+code" if keys == "password+code" else "code"


def uses_pam(facts: Facts) -> bool:
    """Whether sshd uses PAM at all; True where that is not known."""
    try:
        return _in_force(facts).get("usepam") != "no"
    except CannotTell:
        return True


def faults(facts: Facts) -> list[Finding]:
    """Return what is wrong with the settings that logins go by."""
    looked = (settings, keys, other_methods)
    return [finding for each in looked for finding in each.findings(facts)]


def _lists_passwords(in_force: Mapping[str, str]) -> bool:
    """Return whether AuthenticationMethods allows sshd's own "password" method."""
    lists = method_lists(in_force.get("authenticationmethods", "any"))
    return not lists or any("password" in methods for methods in lists)


def _in_force(facts: Facts) -> Mapping[str, str]:
    _needs_sshd(facts)
    try:
        return sshd.effective()
    except CommandFailed:
        raise CannotTell from None  # sshd-refuses says why


def _needs_sshd(facts: Facts) -> None:
    if not facts.asks(SERVICE) or not os.path.exists(sshd_process.program()):
        raise CannotTell


def _concerns_us(facts: Facts) -> bool:
    if facts.asks(SERVICE) or pam_blocks.is_managed(facts.service(SERVICE).text):
        return True
    try:
        waiting = trial_record.pending()
    except PamTotpError:  # a finding of its own
        waiting = None
    return (waiting is not None and SERVICE in waiting.services) or os.path.exists(sshd.DROP_IN)


def _wanted(facts: Facts) -> str | None:
    """Return what enable was told about keys; None where somebody set sshd up by hand."""
    if SERVICE in facts.remembered:
        return facts.remembered[SERVICE] or "code"
    return blocks.keys_of(sshd.DROP_IN, files.read(sshd.DROP_IN)) or None


CHECKS = (refuses, settings, keys, keys_skip, other_methods, other_servers)
