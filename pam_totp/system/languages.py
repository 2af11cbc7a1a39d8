"""Which languages this host asks for: by its locale, or by ``language`` in pam_totp.conf.

By files of root alone. The environment belongs to others: sshd takes LANG from its client, sudo
keeps that of its caller, and what is chosen here is opened by root.
"""

from __future__ import annotations

import os

from . import trusted_files
from .errors import PamTotpError

TYPE_CHECKING = False  # by hand: few modules need so little of typing
if TYPE_CHECKING:
    from collections.abc import Mapping

# The first one that names a locale counts. On Debian from 13 on, the second is a link to the first.
LOCALE_FILES = ("/etc/locale.conf", "/etc/default/locale")
MAX_FILE_BYTES = 16 * 1024
ENGLISH = ("en", "C", "POSIX")
_LOCALE = ("LC_ALL", "LC_MESSAGES", "LANG")  # locale(7): the first one that is set
_MAX_NAMES = 32


def asked_for(setting: str) -> tuple[tuple[str, ...], PamTotpError | None]:
    """Return the names of catalogs to look for, the best first, and what is wrong with the files.

    (): English. ``setting``: the value of ``language``; "": the locale of this host. Never raises.
    """
    if setting:
        return names_of(setting), None
    for path in LOCALE_FILES:
        try:
            content = trusted_files.read_trusted(os.path.realpath(path), MAX_FILE_BYTES)
        except FileNotFoundError:
            continue
        except (PamTotpError, OSError) as error:
            return (), problem_of(path, error)
        variables = assignments(content)
        if any(variables.get(name) for name in _LOCALE):
            return languages_of(variables), None
    return (), None


def problem_of(path: str, error: PamTotpError | OSError) -> PamTotpError:
    """Return what is wrong with ``path``, to be kept and logged: without what a traceback holds."""
    if isinstance(error, PamTotpError):
        return PamTotpError(error.subject, error.problem, error.hint)
    return PamTotpError(path, error.strerror or "cannot be read", f"look at: ls -l {path}")


def assignments(content: bytes) -> dict[str, str]:
    """Return the variables that a file in the way of locale.conf(5) sets, whatever bytes it has."""
    found = {}
    for line in content.decode("utf-8", "replace").split("\n"):
        name, separator, value = line.partition("=")
        if separator:
            found[name.strip().removeprefix("export ").lstrip()] = _unquoted(value.strip())
    return found


def languages_of(variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of catalogs for a locale: in the order of gettext(3), up to English.

    English where the locale is not in UTF-8: sshd takes UTF-8 alone, so that no encoding would be
    right everywhere.
    """
    locale = next((variables[name] for name in _LOCALE if variables.get(name)), "")
    name, codeset, _ = _parts(locale)
    if name in ("", "C", "POSIX") or not is_utf8(codeset):
        return ()
    found: dict[str, None] = {}
    for wanted in (variables.get("LANGUAGE") or locale).split(":"):
        if _is_english(wanted):
            break
        found |= dict.fromkeys(names_of(wanted))
    return tuple(found)[:_MAX_NAMES]


def names_of(locale: str) -> tuple[str, ...]:
    """Return the names that a catalog for ``locale`` may have, the best first; (): English.

    Whatever comes in, no name leads out of the folder of catalogs.
    """
    name, _, modifier = _parts(locale)
    language, _, territory = name.partition("_")
    if _is_english(locale) or not _is_language(language) or not _is_territory(territory):
        return ()
    modifiers = (f"@{modifier}", "") if modifier.isascii() and modifier.isalnum() else ("",)
    return tuple(dict.fromkeys(stem + end for stem in (name, language) for end in modifiers))


def is_utf8(codeset: str) -> bool:
    return codeset.lower().replace("-", "") == "utf8"


def is_setting(value: str) -> bool:
    """Tell whether ``language`` may be ``value``. "": the locale of this host."""
    _, codeset, _ = _parts(value)
    named = _is_english(value) or bool(names_of(value))
    return value == "" or (named and (not codeset or is_utf8(codeset)))


def _parts(locale: str) -> tuple[str, str, str]:
    """Split ``de_AT.UTF-8@euro`` into name, codeset and modifier."""
    rest, _, modifier = locale.partition("@")
    name, _, codeset = rest.partition(".")
    return name, codeset, modifier


def _is_english(locale: str) -> bool:
    name, _, _ = _parts(locale)
    return name in ENGLISH or name.startswith("en_")


def _is_language(name: str) -> bool:
    return len(name) in (2, 3) and name.isascii() and name.isalpha() and name.islower()


def _is_territory(name: str) -> bool:
    return not name or (len(name) in (2, 3) and name.isascii() and name.isalnum())


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value
