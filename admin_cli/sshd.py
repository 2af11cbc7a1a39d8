"""sshd's part of a second factor: the drop-in, whether it is in force, and a reload.

For sshd_config(5) see sshd_files.py, which knows who set what.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from . import sshd_files, sshd_process, ui
from .sshd_command import check as check
from .sshd_command import effective as effective
from .sshd_files import Setting
from .sshd_process import reload as reload

DROP_IN = "/etc/ssh/sshd_config.d/00-pam_totp.conf"
BEGIN = "# BEGIN pam_totp (written by totpctl enable; taken out by: totpctl disable sshd)"
END = "# END pam_totp"
METHODS = {
    "code": "publickey,keyboard-interactive keyboard-interactive",
    "password+code": "publickey,keyboard-interactive",
    "skip": "publickey keyboard-interactive",
}
_NAMES = {
    "usepam": "UsePAM",
    "kbdinteractiveauthentication": "KbdInteractiveAuthentication",
    "passwordauthentication": "PasswordAuthentication",
    "pubkeyauthentication": "PubkeyAuthentication",
    "authenticationmethods": "AuthenticationMethods",
}


def needed(keys: str) -> dict[str, str]:
    """Return what must be in force, with the keywords in lower case as sshd -T has them."""
    settings = {
        "usepam": "yes",
        "kbdinteractiveauthentication": "yes",
        "passwordauthentication": "no",
        "pubkeyauthentication": "yes",
        "authenticationmethods": METHODS[keys],
    }
    if keys == "skip":
        del settings["pubkeyauthentication"]
    return settings


def drop_in(keys: str) -> str:
    """Return our block, which is all that stands in DROP_IN unless somebody edits it."""
    lines = (f"{_NAMES[keyword]} {value}" for keyword, value in needed(keys).items())
    return "\n".join((BEGIN, *lines, END, ""))


def drop_in_disabled(text: str) -> str:
    """Return ``text`` without our block; "" if nothing but blank lines is left."""
    left, inside = [], False
    for line in text.splitlines(keepends=True):
        if line.strip().startswith("# BEGIN pam_totp"):
            inside = True
        elif inside and line.strip() == END:
            inside = False
        elif not inside:
            left.append(line)
    return "".join(left) if "".join(left).strip() else ""


def has_match_blocks() -> bool:
    """Tell whether what is in force may differ from one user to the next."""
    return any(setting.match for setting in _settings_of_files())


def keys_in_force(settings: Mapping[str, str]) -> str:
    """Say what a key is worth under ``settings`` of effective(), by AuthenticationMethods.

    "skip": it logs in without a code. "code", "password+code": what PAM asks for decides, and
    somebody without a key may, or may not, log in too. "none": keys do not log in.
    """
    if settings.get("pubkeyauthentication", "yes") == "no":
        return "none"
    lists = _method_lists(settings.get("authenticationmethods", "any"))
    with_key = [methods for methods in lists if "publickey" in methods]
    if not lists or any("keyboard-interactive" not in methods for methods in with_key):
        return "skip"
    if not with_key:
        return "none"
    others = [methods for methods in lists if "publickey" not in methods]
    return (
        "code" if any("keyboard-interactive" in methods for methods in others) else "password+code"
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
    Raises ui.CommandFailed.
    """
    lines = _settings_of_files()
    found = _problems_of_all(keys, effective(), lines)
    in_blocks = [line for line in lines if line.match and not _is_good(keys, line)]
    affected: dict[Setting, list[str]] = {line: [] for line in in_blocks}
    for user in users if any(line.match for line in lines) else ():
        settings = effective(user)
        for keyword in needed(keys):
            setting = Setting("", 0, keyword, settings.get(keyword, ""), ("user",))
            if _is_good(keys, setting):
                continue
            guilty = [s for s in in_blocks if s.keyword == keyword and _same(s, setting.value)]
            if guilty:
                affected[guilty[0]].append(user)
            elif not found:
                found.append(f"{_NAMES[keyword]} {setting.value} is in force for {user}")
    for line, names in affected.items():
        whom = f" (that is {', '.join(names)})" if names else ""
        found.append(
            f"{line.place}: sets {_NAMES[line.keyword]} {line.value} for Match "
            f"{' and '.join(line.match)}{whom}, which wins over {DROP_IN}"
        )
    return found


def _problems_of_all(keys: str, in_force: Mapping[str, str], lines: list[Setting]) -> list[str]:
    wrong = [
        Setting("", 0, keyword, in_force.get(keyword, ""))
        for keyword in needed(keys)
        if not _is_good(keys, Setting("", 0, keyword, in_force.get(keyword, "")))
    ]
    if not wrong:
        return []
    main = _main_file()
    if not os.path.exists(DROP_IN):
        return [f"{DROP_IN} is missing; run: totpctl enable sshd"]
    if DROP_IN not in sshd_files.files_read(main):
        listed = ", ".join(f"{_NAMES[setting.keyword]} {setting.value}" for setting in wrong)
        return [
            f"{main}: does not include {DROP_IN}, so {listed} is in force; "
            f"put this line first: Include {os.path.dirname(DROP_IN)}/*.conf"
        ]
    return [_why(keys, setting, lines) for setting in wrong]


def _why(keys: str, wrong: Setting, lines: list[Setting]) -> str:
    name, need = _NAMES[wrong.keyword], needed(keys)[wrong.keyword]
    said = f"{name} {wrong.value} is in force, not {need}"
    for option in sshd_process.options().settings:
        if sshd_files.split(option)[0] == wrong.keyword:
            return f"{said}: sshd was started with -o {option}"
    for line in lines:
        if line.keyword == wrong.keyword and _counts_for_all(line):
            if line.file == DROP_IN:
                return f"{line.place}: {said}"
            return f"{line.place}: {said}; it comes before {DROP_IN}, and the first value counts"
    return f"{said}: no file that sshd reads sets it"


def _counts_for_all(line: Setting) -> bool:
    return all(condition.lower() == "all" for condition in line.match)


def _is_good(keys: str, setting: Setting) -> bool:
    """Tell whether a value will do: what is needed, and in a Match block also what is stricter."""
    if setting.keyword not in needed(keys):
        return True
    if setting.keyword != "authenticationmethods":
        if setting.match and setting.keyword == "pubkeyauthentication" and keys == "code":
            return True  # keys do not log in, passwords and codes do
        return setting.value.lower() == needed(keys)[setting.keyword]
    lists = _method_lists(setting.value)
    if not setting.match:
        return sorted(lists) == sorted(_method_lists(METHODS[keys]))
    return bool(lists) and all(_is_strict(keys, methods) for methods in lists)


def _is_strict(keys: str, methods: Sequence[str]) -> bool:
    if keys == "skip" and "publickey" in methods:
        return True
    if keys == "password+code" and "publickey" not in methods:
        return False
    return "keyboard-interactive" in methods


def _same(line: Setting, value: str) -> bool:
    if line.keyword == "authenticationmethods":
        return _method_lists(line.value) == _method_lists(value)
    return line.value.lower() == value.lower()


def _method_lists(value: str) -> list[tuple[str, ...]]:
    """Split AuthenticationMethods; [] for "any". "keyboard-interactive:pam" is all of it here."""
    if value.strip().lower() in ("", "any"):
        return []
    lists = (methods.lower().split(",") for methods in value.split())
    return [tuple(method.partition(":")[0] for method in methods) for methods in lists]


def _settings_of_files() -> list[Setting]:
    try:
        return sshd_files.settings(_main_file())
    except OSError as error:
        raise ui.CommandFailed(f"{error.filename}: {error.strerror}") from None


def _main_file() -> str:
    return sshd_process.options().file or sshd_files.MAIN
