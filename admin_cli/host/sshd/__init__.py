"""sshd's part of a second factor: what is in force, which line put it there, and a reload.

drop_in_text.py  our drop-in, and what must be in force
files.py         sshd_config and what it includes: which line set what
command.py       ask sshd (sshd -t, sshd -T)
process.py       the sshd that runs, and its reload
key_only_state.py  whether it lets in by a key alone whom our file of those says
access.py        whom sshd lets in, and how
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from ...errors import CommandFailed
from .. import key_only
from . import command as sshd_command
from . import files as sshd_files
from . import process as sshd_process
from .command import ask_once as ask_once
from .command import effective as effective
from .drop_in_text import BEGIN, NAMES, SERVICE_NAME, expected, is_good, is_same, method_lists
from .drop_in_text import DROP_IN as DROP_IN
from .drop_in_text import drop_in as drop_in
from .drop_in_text import drop_in_disabled as drop_in_disabled
from .files import Setting
from .process import reload as reload


def check() -> None:
    """Let sshd read its configuration.

    Raises CommandFailed with sshd's own words, and with the line that turns off what we need.
    """
    try:
        sshd_command.check()
    except CommandFailed as error:
        turned_off = "; ".join(_turned_off(settings_of_files()))
        if "cannot be satisfied" not in str(error) or not turned_off:
            raise
        raise CommandFailed(f"{turned_off}; {error}", "remove that line") from None


def has_match_blocks(keywords: Collection[str] | None = None) -> bool:
    """Return whether what is in force, of ``keywords``, may differ from one user to the next."""
    return _any_in_match(settings_of_files(), keywords)


def _any_in_match(lines: Iterable[Setting], keywords: Collection[str] | None) -> bool:
    return any(line.match and (keywords is None or line.keyword in keywords) for line in lines)


def keys_in_force(settings: Mapping[str, str]) -> str:
    """Say what a key is worth under ``settings`` of effective(), by AuthenticationMethods.

    "skip": it logs in without a code. "code", "password+code": what PAM asks for decides, and
    somebody without a key may, or may not, log in too: key+code is "password+code" here. "none":
    keys do not log in.
    """
    if settings.get("pubkeyauthentication", "yes") == "no":
        return "none"
    lists = method_lists(settings.get("authenticationmethods", "any"))
    with_key = [methods for methods in lists if "publickey" in methods]
    if not lists or any("keyboard-interactive" not in methods for methods in with_key):
        return "skip"
    if not with_key:
        return "none"
    keyless = [methods for methods in lists if "publickey" not in methods]
    by_password = any("keyboard-interactive" in methods for methods in keyless)
    return "code" if by_password else "password+code"


def keys_by_default() -> str:
    """Return the mode that lets nobody in by a way that sshd does not take now.

    By what is in force for all; ``enable`` refuses where a Match block says something else. Raises
    CommandFailed.
    """
    settings = effective()
    by_password = takes_passwords_alone(settings)
    if keys_in_force(settings) == "none":
        if by_password:
            return "none"
        raise CommandFailed(
            "sshd takes neither keys nor passwords now", "say which it should take, with --keys"
        )
    if by_password:
        return "code"
    lists = method_lists(settings.get("authenticationmethods", "any"))
    asks_more = any({"password", "keyboard-interactive"} & {*methods} for methods in lists)
    return "password+code" if asks_more and _types(settings) else "key+code"


def takes_passwords_alone(settings: Mapping[str, str]) -> bool:
    """Return whether sshd lets somebody in without a key who types a password."""
    typed = _types(settings)
    lists = method_lists(settings.get("authenticationmethods", "any"))
    if not lists:
        return bool(typed)
    return any(typed & {*methods} and "publickey" not in methods for methods in lists)


def _types(settings: Mapping[str, str]) -> set[str]:
    """Return the methods that are on of those with which people type."""
    typed = {"password"} if settings.get("passwordauthentication") == "yes" else set()
    if settings.get("kbdinteractiveauthentication") == settings.get("usepam") == "yes":
        typed.add("keyboard-interactive")
    return typed


def keys_come_first() -> bool:
    """Return whether sshd lets PAM ask only people whose key it has accepted.

    By AuthenticationMethods of all, and of every Match block: whom a block is for may depend on
    where they come from. Raises CommandFailed.
    """
    settings = effective()
    if settings.get("usepam") != "yes" or settings.get("pubkeyauthentication") != "yes":
        return False
    of_blocks = (
        line.value
        for line in settings_of_files()
        if line.match and line.keyword == "authenticationmethods"
    )
    return all(map(_key_first, (settings.get("authenticationmethods", "any"), *of_blocks)))


def _key_first(value: str) -> bool:
    lists = method_lists(value)
    return bool(lists) and all(
        "publickey" in methods[: methods.index(asking)]
        for methods in lists
        for asking in ("keyboard-interactive", "password")
        if asking in methods
    )


def keys_enabled() -> str | None:
    """Return what keys are worth if DROP_IN holds our block; None if it does not."""
    try:
        with open(DROP_IN, encoding="utf-8", errors="replace") as file:
            ours = BEGIN in file.read().splitlines()
    except OSError:
        return None
    return keys_in_force(effective()) if ours else None


def problems(keys: str, users: Sequence[str] = ()) -> list[str]:
    """Say which settings in force are not what ``keys`` needs, and which line put them there.

    For the server as a whole, for each of ``users``, and for whoever else a Match block is for.
    Those who log in by a key alone are left out, unless somebody has edited their file: see
    key_only_state. Raises CommandFailed.
    """
    check()
    exempt = key_only.accounts()
    lines = [x for x in settings_of_files() if exempt is None or x.file != key_only.FILE]
    users = [user for user in users if user not in {account.name for account in exempt or ()}]
    in_blocks = [line for line in lines if line.match and not is_good(keys, line)]
    of_all = _problems_of_all(keys, effective(), lines, in_blocks)
    of_users: dict[Setting, list[str]] = {line: [] for line in in_blocks}
    of_nothing = []
    for user in users if _any_in_match(lines, expected(keys)) else ():
        for wrong in _wrong(keys, effective(user), match=("user",)):
            guilty = [line for line in in_blocks if is_same(line, wrong)]
            if guilty:
                of_users[guilty[0]].append(user)
            elif not of_all:
                of_nothing.append(f"{NAMES[wrong.keyword]} {wrong.value} is in force for {user}")
    return of_all + [_of_block(line, names) for line, names in of_users.items()] + of_nothing


def of_other_servers(keys: str) -> list[str]:
    """Say which settings are not what ``keys`` needs where more than one sshd listens.

    Our drop-in is for the one that problems() is about; another reads files of its own.
    """
    found = []
    for started in sshd_process.all_options()[1:]:
        try:
            wrong = list(_wrong(keys, effective(started=started)))
            words = ", ".join(f"{NAMES[setting.keyword]} {setting.value}" for setting in wrong)
        except CommandFailed as error:
            words = str(error)
        if words:
            found.append(f"another sshd, started with {' '.join(started.words())}, has {words}")
    return found


def _wrong(
    keys: str, in_force: Mapping[str, str], match: tuple[str, ...] = ()
) -> Iterator[Setting]:
    for keyword in expected(keys):
        if keyword == SERVICE_NAME and keyword not in in_force:
            continue  # an sshd that does not know it
        setting = Setting("", 0, keyword, in_force.get(keyword, ""), match)
        if not is_good(keys, setting):
            yield setting


def _problems_of_all(
    keys: str, in_force: Mapping[str, str], lines: list[Setting], in_blocks: list[Setting]
) -> list[str]:
    """What a block for all does is left to it: such a block counts in ``in_force``, too."""
    for_all = [line for line in in_blocks if _is_for_all(line)]
    wrong = [
        setting
        for setting in _wrong(keys, in_force)
        if not any(is_same(line, setting) for line in for_all)
    ]
    if not wrong:
        return []
    main = _main_file()
    if not os.path.exists(DROP_IN):
        return [f"{DROP_IN} is missing; run: totpctl enable sshd"]
    if DROP_IN not in sshd_files.files_read(main):
        listed = ", ".join(f"{NAMES[setting.keyword]} {setting.value}" for setting in wrong)
        return [
            f"{main}: does not include {DROP_IN}, so {listed} is in force; "
            f"put this line first: Include {os.path.dirname(DROP_IN)}/*.conf"
        ]
    return [_why(keys, setting, lines) for setting in wrong]


def _why(keys: str, wrong: Setting, lines: list[Setting]) -> str:
    said = f"{NAMES[wrong.keyword]} {wrong.value} is in force, not {expected(keys)[wrong.keyword]}"
    for option in sshd_process.options().settings:
        if sshd_files.split(option)[0] == wrong.keyword:
            return f"{said}: sshd was started with -o {option}"
    for line in lines:
        if line.keyword == wrong.keyword and _is_for_all(line):
            if line.file == DROP_IN or wrong.keyword == SERVICE_NAME:
                return f"{line.place}: {said}"
            return f"{line.place}: {said}; it comes before {DROP_IN}, and the first value counts"
    return f"{said}: no file that sshd reads sets it"


def _of_block(line: Setting, users: Sequence[str]) -> str:
    whom = f" (that is {', '.join(users)})" if users else ""
    return (
        f"{line.place}: sets {NAMES[line.keyword]} {line.value} for Match "
        f"{' and '.join(line.match)}{whom}, which wins over {DROP_IN}"
    )


def _turned_off(lines: list[Setting]) -> Iterator[str]:
    """Name what keeps sshd from starting with a list of methods: one of them is off."""
    for keyword in ("kbdinteractiveauthentication", "pubkeyauthentication"):
        for option in sshd_process.options().settings:
            if sshd_files.split(option) == (keyword, "no"):
                yield f"sshd was started with -o {option}"
        first = next((line for line in lines if line.keyword == keyword and not line.match), None)
        if first is not None and first.value.lower() == "no":
            yield (
                f"{first.place}: {NAMES[keyword]} no is in force, not yes; "
                f"it comes before {DROP_IN}, and the first value counts"
            )


def _is_for_all(line: Setting) -> bool:
    return all(condition.lower() == "all" for condition in line.match)


def settings_of_files() -> list[Setting]:
    try:
        return sshd_files.settings(_main_file())
    except OSError as error:
        raise CommandFailed(f"{error.filename}: {error.strerror}") from None


def _main_file() -> str:
    return sshd_process.options().file or sshd_files.MAIN
