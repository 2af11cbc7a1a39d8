"""The drop-in that makes sshd ask PAM, and whether a setting of somebody else's does as well."""

from __future__ import annotations

from collections.abc import Sequence

from . import files as sshd_files
from .files import Setting

DROP_IN = "/etc/ssh/sshd_config.d/00-pam_totp.conf"
BEGIN = "# BEGIN pam_totp (written by totpctl enable; taken out by: totpctl disable sshd)"
END = "# END pam_totp"
METHODS = {
    "code": "publickey,keyboard-interactive keyboard-interactive",
    # The same for sshd, and other words: by these the file tells which of the two it was.
    "key+code": "publickey,keyboard-interactive:pam",
    "password+code": "publickey,keyboard-interactive",
    "none": "keyboard-interactive",
    "skip": "publickey keyboard-interactive",
}
KEY_COMES_FIRST = ("key+code", "password+code")  # nobody gets in without a key
NAMES = {
    "usepam": "UsePAM",
    "kbdinteractiveauthentication": "KbdInteractiveAuthentication",
    "passwordauthentication": "PasswordAuthentication",
    "pubkeyauthentication": "PubkeyAuthentication",
    "authenticationmethods": "AuthenticationMethods",
    "pamservicename": "PAMServiceName",
}
SERVICE_NAME, SERVICE = "pamservicename", "sshd"  # since OpenSSH 9.8; before, nobody can set it


def needed(keys: str) -> dict[str, str]:
    """Return what must be in force, with the keywords in lower case as sshd -T has them."""
    settings = {
        "usepam": "yes",
        "kbdinteractiveauthentication": "yes",
        "passwordauthentication": "no",
        "pubkeyauthentication": "yes",
        "authenticationmethods": METHODS[keys],
    }
    if keys in ("none", "skip"):
        del settings["pubkeyauthentication"]
    return settings


def expected(keys: str) -> dict[str, str]:
    """Return needed(), and what an sshd that knows it must have by itself."""
    return {**needed(keys), SERVICE_NAME: SERVICE}


def drop_in(keys: str) -> str:
    """Return our block, which is all that stands in DROP_IN unless somebody edits it."""
    lines = (f"{NAMES[keyword]} {value}" for keyword, value in needed(keys).items())
    return "\n".join((BEGIN, *lines, END, ""))


def drop_in_disabled(text: str) -> str:
    """Return ``text`` without our block; "" if nothing but blank lines is left.

    A line in the block that sets something else than ours is somebody's own, and stays. A block
    that has lost its end goes as far as our settings do.
    """
    left: list[str] = []
    lines = text.splitlines(keepends=True)
    while lines:
        line = lines.pop(0)
        if not line.startswith("# BEGIN pam_totp"):
            left.append(line)
            continue
        has_end = END in (line.strip() for line in lines)
        while lines and lines[0].strip() != END:
            if sshd_files.split(lines[0])[0] in needed("code"):
                lines.pop(0)
            elif has_end:
                left.append(lines.pop(0))
            else:
                break
        del lines[: int(has_end)]
    return "".join(left) if "".join(left).strip() else ""


def is_good(keys: str, setting: Setting) -> bool:
    """Return whether a value will do: the needed one, and in a Match block also a stricter one."""
    if setting.keyword not in expected(keys):
        return True
    if setting.keyword != "authenticationmethods":
        if setting.match and setting.keyword == "pubkeyauthentication" and keys == "code":
            return True  # keys do not log in, passwords and codes do
        return setting.value.lower() == expected(keys)[setting.keyword]
    lists = method_lists(setting.value)
    if not setting.match:
        return sorted(lists) == sorted(method_lists(METHODS[keys]))
    return bool(lists) and all(_is_strict(keys, methods) for methods in lists)


def _is_strict(keys: str, methods: Sequence[str]) -> bool:
    if keys == "skip" and "publickey" in methods:
        return True
    if keys in KEY_COMES_FIRST and "publickey" not in methods:
        return False
    return "keyboard-interactive" in methods


def is_same(one: Setting, other: Setting) -> bool:
    """Return whether two lines say the same, wherever they stand."""
    if one.keyword != other.keyword:
        return False
    if one.keyword == "authenticationmethods":
        return method_lists(one.value) == method_lists(other.value)
    return one.value.lower() == other.value.lower()


def method_lists(value: str) -> list[tuple[str, ...]]:
    """Split AuthenticationMethods; [] for "any". "keyboard-interactive:pam" is all of it here."""
    if value.strip().lower() in ("", "any"):
        return []
    lists = (methods.lower().split(",") for methods in value.split())
    return [tuple(method.partition(":")[0] for method in methods) for methods in lists]
