"""The PAM files: is a code asked for, at the right place, and can nobody get round it?"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from pam_totp.stack import pam_dispatch, pam_stack, pam_ways
from pam_totp.stack.pam_dispatch import Entry, Stack
from pam_totp.stack.pam_lines import Line, NotUnderstood
from pam_totp.stack.pam_stack import Judgement
from pam_totp.stack.pam_ways import NATIVE_MODULE, PAM_PYTHON_MODULE
from pam_totp.system import config
from pam_totp.system.errors import PamTotpError

from ..enable import enabled, reached, trial_record
from ..host import login_programs, pam_blocks, pam_file
from ..host.services import LOGINS, PamService, arguments_of, path_of, shown
from . import spelling
from .facts import Facts
from .finding import NOTE, WRONG, Found, check

PAM_PYTHON_IS_SAFE_IN = ("sshd", "sudo", "sudo-i")
_OURS_IN_A_COMMENT = re.compile(r"^\s*#.*\bauth\b.*\bpam_(totp|python)\.so.*$", re.MULTILINE)
_PASSWORD_STEP = "@include common-auth"  # Debian's
_KEY_LINES_ALONE = "its only pam_totp line has first_factor=key, which asks for no code"


@check(
    "pam-missing",
    WRONG,
    "it was enabled, but no longer asks for a code: an update? If it is intended: totpctl disable",
)
def missing(facts: Facts) -> Iterator[Found]:
    for name in facts.remembered:
        service = facts.service(name)
        if service.problem or (service.lines and not _has_key_lines_alone(service)):
            continue
        if pam_blocks.lets_keys_in(service.text):
            continue  # a finding of its own
        if not service.text:
            yield (
                f"{service.path}: this file no longer exists",
                f"install its package again, then {_enable_again(facts, name)}; if it is gone "
                f"for good, remove {name} from {enabled.PATH}",
            )
            continue
        commented = _OURS_IN_A_COMMENT.search(service.text)
        what = "its pam_totp line is a comment" if commented else "it has no pam_totp line"
        misspelled = next(spelling.misspelled(service.text), None)
        if misspelled is not None and not service.lines:
            what = f"line {misspelled.number} names {misspelled.module} instead of {NATIVE_MODULE}"
            yield f"{service.path}: {what}", spelling.fix_of(service.path, misspelled)
            continue
        if service.lines:
            what = _KEY_LINES_ALONE
        yield f"{service.path}: {what}", _enable_again(facts, name)
    for service, judgement in facts.judged:
        if service.name not in facts.remembered and not pam_blocks.lets_keys_in(service.text):
            for line in judgement.key_lines_alone[:1]:
                yield f"{service.path}: {_KEY_LINES_ALONE}", _rewrite_or_edit(facts, service, line)


@check("pam-unclear", WRONG, "it cannot be determined whether a code is asked for")
def not_understood(facts: Facts) -> Iterator[Found]:
    for service in facts.services.values():
        concerns_us = service.name in facts.remembered or _mentions_us(service)
        if service.problem and concerns_us:
            error = service.problem
            yield str(error), error.hint or "fix that line; see pam.d(5)"


@check("pam-bypass", WRONG, "users can get in without a code")
def bypasses(facts: Facts) -> Iterator[Found]:
    for service, judgement in facts.judged:
        for line in judgement.bypasses:
            problem = f"{service.name}: {shown(line)} can let users in without a code"
            fix = _rewrite_or_edit(facts, service, line)
            if line.module_name in facts.alternatives:
                problem, fix = _no_alternative(problem, line)
            yield problem, fix


def _no_alternative(problem: str, line: Line) -> tuple[str, str]:
    """Return why a module of ``alternative`` is no second factor there, and what makes it one."""
    path = path_of(line.file)
    for argument in line.arguments:
        if argument.partition("=")[0] in pam_ways.LET_PEOPLE_IN:
            why = f"{argument} lets in people without a key there"
            return f"{problem}: {why}", f"remove {argument} from that line of {path}"
    why = "no password comes before it"
    fix = f"move that line in {path} to after the lines that ask for the password"
    return f"{problem}: {why}", fix


@check("pam-alternative", NOTE, "whoever has that factor, and the password, needs no code there")
def alternative(facts: Facts) -> Iterator[Found]:
    for service, judgement in facts.judged:
        for line in judgement.alternatives:
            fix = f"if that is not intended: remove {line.module_name} from alternative in "
            fix += f"{facts.config_path}, and that line from {path_of(line.file)}"
            yield f"{service.name}: {shown(line)} lets users in instead of a code", fix


@check("pam-u2f-keys", NOTE, "whoever runs programs as a user can add a key there")
def keys_of_users(facts: Facts) -> Iterator[Found]:
    for service, judgement in facts.judged:
        for line in judgement.alternatives:
            if line.module_name == "pam_u2f.so" and not _has_central_file(line):
                yield (
                    f"{service.name}: {shown(line)} takes keys from the homes of users",
                    f"move the keys to /etc/u2f_mappings, and add authfile=/etc/u2f_mappings "
                    f"to that line of {path_of(line.file)}",
                )


def _has_central_file(line: Line) -> bool:
    """Whether the keys are in a file that no user chooses: not in a home, nor by a name in it."""
    files = [a.partition("=")[2] for a in line.arguments if a.startswith("authfile=")]
    return bool(files) and files[-1].startswith("/etc/")


@check(
    "pam-order",
    WRONG,
    "strangers without the password can use up a user's guesses and lock them out",
)
def before_password(facts: Facts) -> Iterator[Found]:
    return _lines(
        facts,
        lambda judgement: judgement.before_password,
        "{} asks for the code before the password",
    )


@check("pam-too-late", WRONG, "nobody gets in there with a code")
def too_late(facts: Facts) -> Iterator[Found]:
    return _lines(
        facts,
        lambda judgement: judgement.too_late,
        "{} asks for password and code after the password, or twice",
    )


@check("pam-asks-again", WRONG, "the answer with the code in it is tried as the password")
def asks_again(facts: Facts) -> Iterator[Found]:
    for service, judgement in facts.judged:
        for line in judgement.asks_again:
            yield (
                f"{service.name}: {shown(line)} asks again after password and code",
                f"add use_first_pass at the end of that line in {path_of(line.file)}",
            )


@check("pam-asks-once", WRONG, "nobody can log in there: the answer to the code is the password")
def asks_once(facts: Facts) -> Iterator[Found]:
    for service, judgement in facts.judged:
        name = service.name
        if not judgement.asks or _takes_both(service):
            continue
        if login_programs.is_shut_out_by_a_code(name):
            fix = f"run: totpctl disable {name}"
            if login_programs.can_ask_for_both(name):
                fix = f"run: totpctl enable {name} --one-prompt"
            if not pam_file.is_managed(service.text):
                file = path_of(service.lines[0].file)
                fix = f"take the pam_totp line out of {file}; then {fix}"
            yield login_programs.why_no_code(name) or "", fix


@check("pam-one-prompt", NOTE, "password and code are asked for one after the other")
def one_prompt(facts: Facts) -> Iterator[Found]:
    lines = [line for line in facts.lines if pam_ways.takes_both(line)]
    wanted = facts.config.one_prompt
    if wanted and not lines:
        yield (
            "one_prompt = yes, and no PAM line has first_factor=password",
            "run, for each program that can ask only once: totpctl enable SERVICE --one-prompt",
        )
    for line in lines:
        if not wanted and not _says_one_prompt(line):
            path = path_of(line.file)
            yield (
                f"{path}:{line.number}: first_factor=password without one_prompt asks for nothing",
                f"add one_prompt to that line, or set one_prompt = yes in {facts.config_path}",
            )


def _says_one_prompt(line: Line) -> bool:
    return config.parse(b"", arguments_of(line).settings).config.one_prompt


@check(
    "pam-after-wrong-password", WRONG, "strangers without the password can use up a user's guesses"
)
def after_wrong_password(facts: Facts) -> Iterator[Found]:
    return _lines(
        facts,
        lambda judgement: judgement.after_wrong_password,
        "{} asks for the code even after a wrong password",
    )


@check("pam-without-password", WRONG, "the code alone is enough: one factor, not two")
def without_password(facts: Facts) -> Iterator[Found]:
    return _lines(
        facts, lambda judgement: judgement.without_password, "after {} no password is needed"
    )


@check("pam-bad-jump", WRONG, 'PAM denies every login that takes this jump: "bad jump in stack"')
def bad_jumps(facts: Facts) -> Iterator[Found]:
    for service, judgement in facts.judged:
        for line in judgement.bad_jumps:
            yield (
                f"{service.name}: {shown(line)} can jump past the last line",
                f"edit {path_of(line.file)}: make that line skip fewer lines, or remove it",
            )


@check(
    "pam-other-code", WRONG, "users without a code there are denied; others must enter two codes"
)
def other_code(facts: Facts) -> Iterator[Found]:
    for service, judgement in facts.judged:
        if judgement.needs_other_code:
            for line in judgement.other_codes:
                yield f"{service.name}: {shown(line)} also asks for a code", _without(line)


@check("pam-other-code-optional", NOTE, "users with a code there must enter two codes")
def other_code_optional(facts: Facts) -> Iterator[Found]:
    for service, judgement in facts.judged:
        if judgement.asks and not judgement.needs_other_code:
            for line in judgement.other_codes:
                if line in judgement.alternatives:
                    continue  # a finding of its own
                yield f"{service.name}: {shown(line)} may ask for a code", _without(line)


@check("pam-dead-end", WRONG, "nobody can log in, even with the correct password and code")
def dead_end(facts: Facts) -> Iterator[Found]:
    for service, judgement in facts.judged:
        if judgement.nobody_gets_in and not judgement.too_late:
            yield (
                f"{service.path}: the correct password and code are not enough",
                f"run: totpctl disable {service.name}; then fix the file, see pam.d(5)",
            )


@check("pam-twice", NOTE, "the second answer must be the next code, so everyone has to wait for it")
def asked_twice(facts: Facts) -> Iterator[Found]:
    for service in facts.services.values():
        if len([line for line in service.lines if pam_ways.asks_for_a_code(line)]) < 2:
            continue
        asking = _asked_on_one_way(pam_stack.auth_stack(service.name))
        if asking:
            fix = "remove one of them"
            if len({line.file for line in asking}) > 1:
                fix += "; if it is pam-auth-update's: pam-auth-update --disable totp"
            lines = " and ".join(shown(line) for line in asking)
            yield f"{service.name}: {lines} ask for a code", fix


@check("pam-exempt", NOTE, "users who are exempt, or not enrolled and skipped, are denied there")
def exempt(facts: Facts) -> Iterator[Found]:
    for service, judgement in facts.judged:
        if judgement.can_succeed and not judgement.lets_exempt_in and facts.skips_somebody:
            yield (
                f"{service.path}: only a code is accepted",
                "check the control flag of the pam_totp line; see pam_totp(8)",
            )


@check("pam-arguments", WRONG, "an invalid setting is ignored, or the default is used instead")
def arguments(facts: Facts) -> Iterator[Found]:
    for line in facts.lines:
        given = arguments_of(line)
        problems = [*given.problems]
        if given.path != facts.config_path:
            try:
                problems += config.load(given.path, given.settings).problems
            except PamTotpError as error:
                problems.append(str(error))
        else:
            problems += config.parse(b"", given.settings).problems
        for problem in problems:
            path = path_of(line.file)
            yield f"{path}:{line.number}: {problem}", f"edit {path}; see pam_totp(8)"


@check(
    "pam-out-of-step", WRONG, "changes that a package update made to the other file have no effect"
)
def out_of_step(facts: Facts) -> Iterator[Found]:
    for service in facts.services.values():
        if pam_blocks.has_copies(service.text) and not any(
            _is_in_step(facts, service, alternatives)
            for alternatives in (facts.alternatives, frozenset[str](), _modules(service))
        ):  # a change of that setting is a finding of its own
            problem = f"{service.path}: the files that its block replaces have changed since"
            yield problem, _rewrite(facts, service)


@check("pam-alternative-new", NOTE, "users with that factor are asked for a code all the same")
def alternative_is_new(facts: Facts) -> Iterator[Found]:
    for service in facts.services.values() if facts.alternatives else ():
        if (
            pam_blocks.has_copies(service.text)
            and not _is_in_step(facts, service, facts.alternatives)
            and _is_in_step(facts, service, frozenset())
        ):
            names = ", ".join(sorted(facts.alternatives))
            problem = f"{service.path}: its block was written before alternative = {names}"
            yield problem, _rewrite(facts, service)


def _modules(service: PamService) -> frozenset[str]:
    try:
        entries = pam_stack.auth_stack(service.name).entries
    except NotUnderstood:
        return frozenset()
    return frozenset(entry.line.module_name for entry in entries)


def _is_in_step(facts: Facts, service: PamService, alternatives: frozenset[str]) -> bool:
    """Return whether enable would write our block as it is, with these as ``alternative``."""
    before, keys = pam_file.disabled(service.text), pam_file.keys_of(service.text)
    try:
        return _enabled(facts, service.name, before, keys, alternatives) == service.text
    except NotUnderstood:
        return False


@check("pam-python-elsewhere", WRONG, "there, pam_python.so lets any local user become root")
def python_elsewhere(facts: Facts) -> Iterator[Found]:
    for service in facts.services.values():
        for line in service.lines:
            if line.module_name == PAM_PYTHON_MODULE and service.name not in PAM_PYTHON_IS_SAFE_IN:
                yield f"{service.name}: {shown(line)}", "use pam_totp.so there instead"


@check("other-logins", NOTE, "a password alone is enough there")
def other_logins(facts: Facts) -> Iterator[Found]:
    if not facts.any_asks:
        return
    names = [
        name
        for name in LOGINS
        if name in facts.services and not facts.service(name).asks and name not in facts.remembered
    ]
    if facts.asks("sudo"):
        names = [name for name in names if name != "sudo-i"]  # a finding of its own
    able = [name for name in names if login_programs.why_no_code(name) is None]
    if able:
        yield (
            f"these ask for no code: {', '.join(able)}",
            "run, for those that should: totpctl enable SERVICE",
        )
    at_once = [name for name in names if name not in able and login_programs.can_ask_for_both(name)]
    if at_once:
        yield (
            f"these ask for no code, and can ask only once: {', '.join(at_once)}",
            "run, for those that should take both in one answer: "
            "totpctl enable SERVICE --one-prompt",
        )
    unable = [name for name in names if name not in (*able, *at_once)]
    if unable:
        yield (
            f"these cannot ask for a code: {', '.join(unable)}",
            "stop the ones that nobody needs, and block them from the network",
        )


@check("nothing-enabled", NOTE, "enrolled users are not asked for a code anywhere")
def nothing_enabled(facts: Facts) -> Iterator[Found]:
    """enable refuses where no administrator would get in any more: one has to be enrolled first."""
    if facts.any_asks or facts.remembered:
        return
    services = [name for name in ("sshd", "sudo") if facts.has_service(name)] or ["SERVICE"]
    enable = f"totpctl enable {' '.join(services)}"
    enrolled = {record.name for record in facts.records if record.authenticators}
    if not enrolled & {"root", *facts.administrators}:
        enable = f"totpctl enroll {(facts.administrators or ['USER'])[0]}; {enable}"
    yield "no service asks for a code", f"run: {enable}"


def _lines(
    facts: Facts, of: Callable[[Judgement], Iterable[Line]], problem: str
) -> Iterator[Found]:
    """Yield ``problem``, with the line in place of {}, for each line that the judge names."""
    for service, judgement in facts.judged:
        for line in of(judgement):
            fix = _rewrite_or_edit(facts, service, line)
            yield f"{service.name}: {problem.format(shown(line))}", fix


def _takes_both(service: PamService) -> bool:
    return service.name != "sshd" and any(map(pam_ways.takes_both, service.lines))


def _has_key_lines_alone(service: PamService) -> bool:
    return service.judgement is not None and bool(service.judgement.key_lines_alone)


def _mentions_us(service: PamService) -> bool:
    active = (line.split("#")[0] for line in service.text.splitlines())
    return any("pam_totp" in line for line in active)


def _asked_on_one_way(stack: Stack) -> tuple[Line, ...]:
    """Return two lines that both ask for a code on a way through ``stack`` that grants."""

    def asks(entry: Entry) -> bool:
        return not entry.begins_substack and pam_ways.asks_for_a_code(entry.line)

    def codes(entry: Entry) -> Iterable[str]:
        return ("success",) if asks(entry) else ("success", "ignore", "auth_err")

    def learn(asked: tuple[int, ...], at: int, _following: int, _code: str) -> tuple[int, ...]:
        return (*asked, at)[-2:] if asks(stack.entries[at]) else asked

    nothing: tuple[int, ...] = ()
    for state, asked in pam_dispatch.ways(stack, nothing, codes, learn):
        if state.at >= len(stack.entries) and state.granted and len(asked) == 2:
            return tuple(stack.entries[at].line for at in asked)
    return ()


def _enable_again(facts: Facts, name: str) -> str:
    if pam_file.is_part(name):
        return _enable_instead_of_part(facts, name)
    mode = facts.remembered.get(name)
    option = "" if mode in (None, "code") else f" --keys {mode}"
    if mode == pam_blocks.ONE_PROMPT or _takes_both(facts.service(name)):
        option = " --one-prompt"
    return f"run: totpctl enable {name}{option}"


def _enable_instead_of_part(facts: Facts, part: str) -> str:
    """Return what comes next where a file that others include has lost its line.

    ``part`` is forgotten last: as long as nothing else asks for good, this has to be found.
    """
    logins = reached.logins_by_part(part, facts.services)
    waiting = trial_record.pending()
    to_come = waiting.services if waiting else ()
    silent = [name for name in logins if not facts.service(name).asks]
    if silent or not logins:
        return (
            f"run: totpctl enable {' '.join(silent) or 'SERVICE'}; "
            f"once that is confirmed, run: totpctl disable {part}"
        )
    if set(logins) & set(to_come):
        return (
            "log in from a second terminal; "
            f"then run: totpctl confirm; once that is done, run: totpctl disable {part}"
        )
    return f"run: totpctl disable {part}"


def _without(line: Line) -> str:
    return f"remove that line from {path_of(line.file)} once all its users are enrolled here"


def _rewrite_or_edit(facts: Facts, service: PamService, line: Line) -> str:
    """Return the fix of a stack: enable again for our lines, an editor for the lines of others."""
    if pam_file.is_managed(service.text):
        again = _enable_again(facts, service.name)
        before, keys = pam_file.disabled(service.text), pam_file.keys_of(service.text)
        try:
            _enabled(facts, service.name, before, keys)
        except NotUnderstood:
            return f"take that line out of {path_of(line.file)}; then {again}"
        return _rewrite(facts, service)
    file = path_of(line.file) if pam_ways.runs_the_hook(line) else service.path
    again = _enable_again(facts, service.name)
    if not _can_be_enabled(facts, service):
        if _can_be_enabled(facts, service, _PASSWORD_STEP):
            return f"replace the pam_totp line in {file} by: {_PASSWORD_STEP}; then {again}"
        return f"put the lines that ask for the password in place of pam_totp's in {file}"
    return f"take the pam_totp line out of {file}; then {again}"


def _rewrite(facts: Facts, service: PamService) -> str:
    again = _enable_again(facts, service.name).removeprefix("run: ")
    return f"run: totpctl disable {service.name}; {again}"


def _enabled(
    facts: Facts,
    service: str,
    text: str,
    keys: str | None,
    alternatives: frozenset[str] | None = None,
) -> str:
    read = pam_stack.read_pam_file
    named = facts.alternatives if alternatives is None else alternatives
    return pam_file.enabled(service, text, keys=keys, read=read, alternatives=named)


def _can_be_enabled(facts: Facts, service: PamService, instead: str = "") -> bool:
    """Whether enable takes the file, with ``instead`` in place of the first of our lines."""
    lines = service.text.splitlines()
    for line in service.lines:
        if line.file == service.name:
            lines[line.number - 1 : line.last] = [""] * (line.last - line.number + 1)
            lines[line.number - 1], instead = instead, ""
    text = "".join(f"{line}\n" for line in lines)
    mode = pam_blocks.ONE_PROMPT if _takes_both(service) else None
    try:
        _enabled(facts, service.name, text, mode)
    except NotUnderstood:
        return False
    return True


CHECKS = (
    missing,
    not_understood,
    bypasses,
    alternative,
    alternative_is_new,
    keys_of_users,
    before_password,
    too_late,
    asks_again,
    asks_once,
    one_prompt,
    after_wrong_password,
    without_password,
    bad_jumps,
    other_code,
    other_code_optional,
    dead_end,
    asked_twice,
    exempt,
    arguments,
    out_of_step,
    python_elsewhere,
    other_logins,
    nothing_enabled,
)
