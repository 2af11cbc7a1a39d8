"""sshd: whether its settings let PAM ask, and what else gets somebody in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from pam_totp.core import trusted_places
from pam_totp.login import identity
from pam_totp.stack import pam_stack
from pam_totp.stack.pam_lines import NotUnderstood
from pam_totp.system.errors import PamTotpError

from ..enable import blocks, trial_record
from ..errors import CommandFailed
from ..host import directory, files, key_only, pam_blocks, sshd
from ..host.sshd import files as sshd_files
from ..host.sshd import key_only_state
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


@check("sshd-names", NOTE, "a name is in no network, so people are asked for a code there, too")
def names(facts: Facts) -> Iterator[Found]:
    networks = [rule for rule in facts.config.skip_from if rule != trusted_places.TTY]
    if networks and _in_force(facts).get("usedns") == "yes":
        yield (
            f"sshd has usedns yes, and skip_from = {', '.join(networks)}",
            "set UseDNS no in sshd_config, and reload sshd",
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
        on_purpose = {account.name for account in key_only.accounts() or ()}
        for name in (name for name in facts.people_to_try if name not in on_purpose):
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


@check("sshd-key-only", WRONG, "a key alone lets in who must be asked, or not who should get in")
def key_only_drift(facts: Facts) -> Iterator[Found]:
    """Compare the accounts that sshd lets in by a key alone with the store, and with sshd.

    Such logins never get as far as PAM: whatever the store says, it denies none of them.
    """
    accounts = key_only.accounts()
    if accounts is None:
        yield (
            f"{key_only.FILE} is not what totpctl wrote",
            "rename it, so that it does not end in .conf; then exempt its accounts again: "
            "totpctl exempt USER --key-only",
        )
        return
    exempt = [account for account in accounts if _is_exempt_for_good(facts, account.name)]
    for account in accounts:
        if account not in exempt:
            yield (
                f"sshd lets {account.name} in by a key alone, but {account.name} is not exempt",
                f"run: totpctl exempt {account.name} --remove",
            )
        for other in key_only_state.other_names(account.name)[:1]:
            yield (
                f"this machine takes {other} for {account.name}, too, and sshd's Match does not: "
                f"a login as {other} is asked for no code, wherever it comes from",
                f"give the program a local account; then run: totpctl exempt {account.name} "
                "--remove",
            )
    if os.path.exists(sshd_process.program()):
        try:
            problems = key_only_state.problems(exempt)
        except CommandFailed:
            return  # sshd-refuses says why
        for problem in problems:
            yield problem, "correct that line; then see: sshd -t; totpctl doctor"


def _is_exempt_for_good(facts: Facts, name: str) -> bool:
    """Return whether the account of this name is exempt, by its own record and with no end."""
    record = next((record for record in facts.recorded.local if record.name == name), None)
    entry = directory.person(name)
    return (
        record is not None
        and entry is not None
        and record.is_exempt(facts.now)
        and record.exempt_until == 0
        and not record.is_of_another_account(identity.account(entry))
    )


@check("key-only", NOTE, "a key, even a stolen one, is enough to get in as them")
def key_only_accounts(_facts: Facts) -> Iterator[Found]:
    for account in key_only.accounts() or ():
        yield (
            f"sshd lets {account} in by a key alone",
            f"run, once that is no longer needed: totpctl exempt {account.name} --remove",
        )


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


CHECKS = (
    refuses,
    settings,
    names,
    keys,
    keys_skip,
    key_only_drift,
    key_only_accounts,
    other_methods,
    other_servers,
)
