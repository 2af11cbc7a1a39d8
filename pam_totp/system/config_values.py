"""What a value of pam_totp.conf or of a PAM argument may be, key by key.

Each parser returns the value of the key's field in Config, or raises ValueError with what would be
right ("a whole number from 1 to 10").
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..core import dates
from . import languages

if TYPE_CHECKING:
    from collections.abc import Callable

DENY, SKIP, ENROLL = "deny", "skip", "enroll"
CACHE = "cache"
SQLITE, POSTGRESQL = "sqlite", "postgresql"
_SECONDS = {"m": 60, "h": 3600}
_LONGEST_MEMORY = 86_400  # of remember
STORE_SCHEMES = (SQLITE, POSTGRESQL)


def split_store_url(url: str) -> tuple[str, str]:
    """Split the URL of a store into its scheme and the rest. Raises ValueError.

    The rest is a path in ``sqlite:/path``; so is a URL without a scheme, which is SQLite's. Of
    PostgreSQL, postgresql_url.parse() knows more.
    """
    scheme, separator, rest = url.partition(":")
    if not separator or scheme.startswith("/"):
        scheme, rest = SQLITE, url
    if scheme not in STORE_SCHEMES:
        raise ValueError(f"one of {', '.join(STORE_SCHEMES)}, then ':'")
    return scheme, _absolute_path(rest) if scheme == SQLITE else rest


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse_integer(value: str) -> int:
        if not (value.isascii() and value.isdigit() and len(value) < 10):
            raise ValueError(f"a whole number from {low} to {high}")
        number = int(value)
        if not low <= number <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return number

    return parse_integer


def boolean(value: str) -> bool:
    if value.lower() in ("yes", "no"):
        return value.lower() == "yes"
    raise ValueError("yes or no")


def _absolute_path(value: str) -> str:
    # ASCII: under pam_python the C locale decides how a path is encoded.
    if not os.path.isabs(value) or not value.isprintable() or not value.isascii():
        raise ValueError("an absolute path in ASCII")
    return value


def _store(value: str) -> str:
    scheme, _ = split_store_url(value)
    if scheme == POSTGRESQL:
        from . import postgresql_url  # few hosts have one

        postgresql_url.parse(value)
    return value


def _offline(value: str) -> str:
    if value not in (DENY, CACHE):
        raise ValueError("deny or cache")
    return value


def _unenrolled(value: str) -> str:
    if value not in (DENY, SKIP, ENROLL):
        raise ValueError("deny, skip or enroll")
    return value


def _deadline(value: str) -> int:
    try:
        return 0 if value == "none" else dates.end_of_day(value)
    except ValueError as error:
        raise ValueError(f"{error}, or none") from None


def _remember(value: str) -> int:
    """Parse a time: minutes or hours. NIST SP 800-63B-4, 2.2.3: once a day."""
    number, unit = value[:-1], _SECONDS.get(value[-1:], 0)
    seconds = int(number) * unit if number.isascii() and number.isdigit() and unit else 0
    if value != "none" and not 0 < seconds <= _LONGEST_MEMORY:
        raise ValueError("a time of at most 24h, as 8h or 30m, or none")
    return seconds


def time_as_text(seconds: int) -> str | None:
    """Return a time as _remember() takes it; None: there is none."""
    if not seconds:
        return None
    return f"{seconds // 3600}h" if seconds % 3600 == 0 else f"{seconds // 60}m"


def _text(value: str) -> str:
    """Take text as it stands; double quotes around it keep blanks at its ends."""
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = value[1:-1]
    if not value.isprintable() or len(value) > 128:
        raise ValueError("printable text of at most 128 characters")
    return value


def _language(value: str) -> str:
    if not languages.is_setting(value):
        raise ValueError("a language, as de or pt_BR, or en")
    return value


def _names(value: str) -> tuple[str, ...]:
    names = tuple(value.replace(",", " ").split())
    if not all(name.isprintable() for name in names):
        raise ValueError("group names")
    return names


def _places(value: str) -> tuple[str, ...]:
    if not value:
        return ()
    from ..core import trusted_places  # few machines have any

    try:
        return trusted_places.parse(value)
    except ValueError as error:
        raise ValueError(f"networks as 10.0.0.0/8, and tty ({error})") from None


def _modules(value: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(value.replace(",", " ").split()))
    if not names:
        return ()
    from . import pam_modules  # few machines name one

    for name in names:
        stem = name.removesuffix(".so").replace("_", "").replace("-", "")
        if not (name.endswith(".so") and stem.isascii() and stem.isalnum()):
            raise ValueError("file names of PAM modules, as pam_u2f.so")
        if name in pam_modules.NO_SECOND_FACTORS:
            raise ValueError(f"modules of a second factor, as pam_u2f.so (remove {name})")
    return names


# Numbers, with the lowest and the highest.
RANGES = {
    "window": (0, 10),
    "look_ahead": (1, 20),
    "attempts": (1, 10),
    "throttle_after": (1, 100),
    "throttle_base": (1, 3600),
    "throttle_max": (1, 86400),
    "max_failures": (1, 100),
}
PARSERS: dict[str, Callable[[str], object]] = {
    "store": _store,
    "sealing_key": _absolute_path,
    "local_store": _absolute_path,
    "fleet_host": _absolute_path,
    "fleet_admin": _absolute_path,
    "offline": _offline,
    "issuer": _text,
    "language": _language,
    "prompt": _text,
    "echo": boolean,
    "one_prompt": boolean,
    "one_prompt_text": _text,
    **{key: _integer(low, high) for key, (low, high) in RANGES.items()},
    "recovery_unlocks": boolean,
    "remember": _remember,
    "unenrolled": _unenrolled,
    "unenrolled_until": _deadline,
    "exempt_groups": _names,
    "skip_from": _places,
    "alternative": _modules,
    "qr_code": boolean,
    "quiet": boolean,
    "unprivileged": boolean,
    "self_service": boolean,
}
# Its own subject could write the arguments; and what is about stacks, or no login at all, says so
# to no login.
IN_FILE_ONLY = ("unprivileged", "alternative", "self_service")
