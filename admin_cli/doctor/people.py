"""People: who is denied, who gets in without a code, and who soon may be in one of these places."""

from __future__ import annotations

from collections.abc import Iterator

from pam_totp.core import admission, dates, recovery, trusted_places, users, verifier
from pam_totp.stack import pam_stack
from pam_totp.stack.pam_lines import Line
from pam_totp.system import config_values

from .. import policy
from ..access import becoming_root
from ..host import directory
from ..host.services import arguments_of
from ..output import some_of
from .facts import CannotTell, Facts
from .finding import NOTE, SHOWN, WRONG, Found, check

_DENIED = "they are denied wherever a code is asked for"


@check("directory", WRONG, "each login waits for it; whom it exempts from codes is asked for one")
def directory_answers(facts: Facts) -> Iterator[Found]:
    """Find that the other checks looked at the files alone."""
    yield from _unseen(facts, directory.HANGS)


@check("slow-directory", NOTE, "somebody whom doctor did not look at may be denied, or not asked")
def directory_is_slow(facts: Facts) -> Iterator[Found]:
    """Find the same where each answer came in time, but there were too many questions."""
    yield from _unseen(facts, directory.SLOW)


def _unseen(facts: Facts, problem: str) -> Iterator[Found]:
    for entry in facts.people.values():
        directory.group_names(entry)
    if directory.problem() == problem:
        yield f"{problem}: only local users and groups were checked", directory.HINT


@check("administrators", WRONG, "no administrator can fix anything, except at the console")
def administrators(facts: Facts) -> Iterator[Found]:
    """Find that nobody can become root who could by sudo: enable judges by the same."""
    if not facts.any_asks or not facts.machine.administrators - {"root"}:
        return
    standings = facts.judge().standings()
    if standings and all(standing.obstacles for standing in standings):
        said = "; ".join(map(str, standings[:SHOWN]))
        yield f"no administrator can become root: {said}", becoming_root.way_out(standings)


@check("unenrolled-administrators", WRONG, _DENIED)
def unenrolled(facts: Facts) -> Iterator[Found]:
    names = [n for n in facts.administrators if facts.admission(n).kind == admission.DENY]
    others = (users.SUSPENDED, admission.OTHER_ACCOUNT)  # findings of their own
    names = [n for n in names if facts.admission(n).reason not in others]
    if names and facts.any_asks:
        yield (
            f"may use sudo, but not enrolled: {some_of(names)}",
            (f"run: totpctl enroll {names[0]}"),
        )


@check("skipped-administrators", NOTE, "they become root with only a password")
def skipped(facts: Facts) -> Iterator[Found]:
    names = [n for n in facts.administrators if facts.admission(n).kind == admission.SKIP]
    if names and facts.any_asks:
        yield (
            f"may use sudo, but not asked for a code: {some_of(names)}",
            _end_of_skip(facts, names[0]),
        )


@check("unenrolled-skip", NOTE, "users who are not enrolled get in with only a password")
def unenrolled_skip(facts: Facts) -> Iterator[Found]:
    config = facts.config
    fix = f"{_enroll_first(facts)}edit {facts.config_path}: unenrolled = deny"
    if config.unenrolled == admission.SKIP and facts.any_asks:
        if not config.unenrolled_until:
            yield "unenrolled = skip, with no end date", f"{fix}; or set unenrolled_until"
        elif users.has_ended(config.unenrolled_until, facts.now):
            return
        else:
            yield f"unenrolled = skip until {dates.last_day(config.unenrolled_until)}", fix
    for line in facts.lines:
        if ("unenrolled", admission.SKIP) in arguments_of(line).settings:
            yield (
                f"PAM file {line.file}, line {line.number}: skips users who are not enrolled",
                f"{_enroll_first(facts)}remove nullok and unenrolled=skip from that line",
            )


@check("skip-from", NOTE, "anybody there, also who has broken in there, gets in without a code")
def skip_from(facts: Facts) -> Iterator[Found]:
    if facts.config.skip_from and facts.any_asks:
        yield (
            f"skip_from = {', '.join(facts.config.skip_from)}",
            f"edit {facts.config_path}: remove skip_from, or what is too wide in it",
        )
    for line in facts.lines:
        if any(key == "skip_from" and value for key, value in arguments_of(line).settings):
            named = [s.name for s in facts.services.values() if line in s.lines]
            says = "names places where nobody is asked"
            if not any(map(trusted_places.counts_in, named)):
                says = f"skip_from has no effect in {', '.join(sorted(named))}"
            yield (
                f"PAM file {line.file}, line {line.number}: {says}",
                "remove skip_from from that line",
            )


@check("remember", NOTE, "there a stolen password or key is enough, for as long as it says")
def remember(facts: Facts) -> Iterator[Found]:
    set_to = config_values.time_as_text(facts.config.remember)
    if set_to and facts.any_asks:
        yield f"remember = {set_to}", f"edit {facts.config_path}: remove remember"
    early = {
        service.name
        for service, judgement in facts.judged
        if judgement.asks and (judgement.before_password or judgement.after_wrong_password)
    }
    for line in filter(_remembers, facts.lines):
        named = [s.name for s in facts.services.values() if line in s.lines and s.asks]
        says = "names a time in which nobody is asked again"
        if named and set(named) <= early:
            says = f"remember has no effect in {', '.join(sorted(named))}"
        yield (
            f"PAM file {line.file}, line {line.number}: {says}",
            "remove remember from that line",
        )


def _remembers(line: Line) -> bool:
    given = [value for key, value in arguments_of(line).settings if key == "remember"]
    return bool(given) and given[-1] != "none"


@check("local-administrators", NOTE, "nobody could fix anything then, except at the console")
def local_administrators(facts: Facts) -> Iterator[Found]:
    """Find that nobody could become root while the fleet's database is away."""
    if not facts.config.is_fleet or not facts.any_asks:
        return
    standings = facts.judge(facts.machine_alone).standings()
    if all(standing.obstacles for standing in standings):
        yield (
            "while the database is away, no administrator can become root here",
            "enroll an account that may use sudo in the local store: totpctl enroll --local USER",
        )


@check("enrollment-at-login", NOTE, "users who must enroll cannot do so there, and are denied")
def enrollment_at_login(facts: Facts) -> Iterator[Found]:
    """Find services where nobody is offered it, though some people can get in no other way."""
    waiting = any(record.status == users.MUST_ENROLL for record in facts.records)
    required = any(rule.rule == admission.REQUIRED for rule in facts.group_rules)
    if not (waiting or required or facts.config.unenrolled == admission.ENROLL):
        return
    for service, judgement in facts.judged:
        if judgement.asks and not pam_stack.proves_password(service.name):
            yield (
                f"{service.path}: it asks for the code without a password check before it",
                f"remove the pam_totp line from {service.path}; "
                f"then run: totpctl enable {service.name}",
            )


@check(
    "locked",
    WRONG,
    "someone may be guessing their codes; until unlocked, they get in from known places alone",
)
def locked(facts: Facts) -> Iterator[Found]:
    for record in facts.records:
        if record.authenticators and verifier.is_locked(record, facts.login_policy):
            yield (
                f"{record.name} is locked after {record.failures} wrong codes",
                (f"find out who that was; then run: totpctl unlock {record.name}"),
            )


@check(
    "guesses-spent",
    WRONG,
    "someone may be guessing their codes; until unlocked, a code works from known places alone",
)
def guesses_spent(facts: Facts) -> Iterator[Found]:
    rules = facts.login_policy
    for record in facts.records:
        standing = verifier.standing(record, facts.now, rules)
        if standing is None or standing.outcome != verifier.THROTTLED:
            continue
        if record.authenticators and standing.codes_only:
            spent = verifier.guesses_spent(record, facts.now, rules)
            yield (
                f"{record.name} had {spent} wrong codes within a month",
                f"find out who that was; then run: totpctl unlock {record.name}",
            )


@check("suspended-administrators", NOTE, _DENIED)
def suspended(facts: Facts) -> Iterator[Found]:
    others = any(not standing.obstacles for standing in facts.judge().standings())
    for record in facts.records:
        if record.status == users.SUSPENDED and record.name in facts.administrators:
            yield (
                f"{record.name} may use sudo, but is suspended",
                f"run: totpctl resume {record.name}" + ("; or revoke their sudo rights" * others),
            )


@check("recovery-codes", NOTE, "without phone and recovery codes, they need an administrator")
def recovery_codes(facts: Facts) -> Iterator[Found]:
    if not facts.recorded.is_whole:
        return  # a host is not told of them
    for left in range(recovery.FEW_LEFT + 1):
        names = [
            record.name
            for record in facts.records
            if record.authenticators and len(record.recovery_digests) == left
        ]
        if names:
            codes = f"{left or 'no'} recovery code{'s' * (left != 1)} left"
            yield f"{codes}: {some_of(names)}", f"run: totpctl recovery-codes {names[0]}"


@check("exemption-ended", NOTE, "it no longer counts: they are treated like everyone else")
def exemption_ended(facts: Facts) -> Iterator[Found]:
    for record in facts.records:
        if record.status == users.EXEMPT and users.has_ended(record.exempt_until, facts.now):
            day = dates.last_day(record.exempt_until)
            yield (
                f"the exemption of {record.name} ended on {day}",
                (f"run: totpctl exempt --remove {record.name}"),
            )
    for rule in facts.group_rules:
        if rule.rule == admission.EXEMPT and users.has_ended(rule.until, facts.now):
            yield (
                f"the exemption of group {rule.name} ended on {dates.last_day(rule.until)}",
                (f"run: totpctl exempt --remove --group {rule.name}"),
            )


@check(
    "missing-groups",
    NOTE,
    "it exempts nobody; if it is required, users who would be skipped are denied: mistyped?",
)
def missing_groups(facts: Facts) -> Iterator[Found]:
    for rule in facts.group_rules:
        if not policy.group_exists(rule.name):
            verb = "require" if rule.rule == admission.REQUIRED else "exempt"
            yield (
                f"there is a rule for group {rule.name}, but no such group",
                (f"run: totpctl {verb} --remove --group {rule.name}"),
            )
    for name in facts.config.exempt_groups:
        if not policy.group_exists(name):
            yield (
                f"exempt_groups names {name}, but there is no such group",
                (f"edit {facts.config_path}"),
            )


def _enroll_first(facts: Facts) -> str:
    """Return what has to come before nobody is skipped any more: else administrators are denied."""
    try:
        machine = facts.machine
    except CannotTell:
        return ""
    strict = machine.policy._replace(config=machine.policy.config._replace(unenrolled="deny"))
    left = facts.judge(machine._replace(policy=strict)).standings()
    if any(not standing.obstacles for standing in left):
        return ""
    first = becoming_root.way_out(left)
    return f"first {first}; then " if left else ""


def _end_of_skip(facts: Facts, name: str) -> str:
    """Return what makes an account be asked for a code, by why it is not; an app comes first."""
    record, admitted = facts.record(name), facts.admission(name)
    steps = [] if record and record.authenticators else [f"run: totpctl enroll {name}"]
    if admitted.reason == admission.EXEMPT_USER:
        steps.append(f"run: totpctl exempt --remove {name}")
    elif admitted.group in facts.config.exempt_groups:
        steps.append(f"remove {admitted.group} from exempt_groups in {facts.config_path}")
    elif admitted.reason == admission.EXEMPT_GROUP:
        steps.append(f"run: totpctl exempt --remove --group {admitted.group}")
    return "; then ".join(steps)


CHECKS = (
    directory_answers,
    directory_is_slow,
    administrators,
    unenrolled,
    local_administrators,
    enrollment_at_login,
    locked,
    guesses_spent,
    skipped,
    unenrolled_skip,
    skip_from,
    remember,
    suspended,
    recovery_codes,
    exemption_ended,
    missing_groups,
)
