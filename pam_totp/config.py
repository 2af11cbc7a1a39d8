"""What pam_totp.conf and the PAM arguments say, as one frozen Config.

``key = value`` lines and ``#`` comments, like faillock.conf. PAM arguments are ``key=value`` with
the same keys and win. An unknown key or a bad value never stops a login: it is reported, and the
built-in default, the strict one, stays in force.
"""

from __future__ import annotations

import os

from . import dates, trusted_files
from .errors import Unavailable
from .records import NamedTuple
from .verifier import Policy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DEFAULT_PATH = "/etc/security/pam_totp.conf"
MAX_FILE_BYTES = 64 * 1024
DENY, SKIP, ENROLL = "deny", "skip", "enroll"
STORE_SCHEMES = ("sqlite",)
_PASSED = 1  # an end of time that is over: 1970


class Config(NamedTuple):
    """Every key with its default. Times in seconds, ``window`` in steps."""

    store: str = "/var/lib/pam_totp/store.db"
    sealing_key: str = "/etc/security/pam_totp.key"
    issuer: str = ""
    prompt: str = "Verification code: "
    echo: bool = False
    window: int = 1
    attempts: int = 3
    throttle_after: int = 5
    throttle_base: int = 30
    throttle_max: int = 900
    max_failures: int = 100
    unenrolled: str = DENY
    unenrolled_until: int = 0  # the first second that SKIP does not hold for; 0: it has no end
    exempt_groups: tuple[str, ...] = ()
    quiet: bool = False
    unprivileged: bool = False

    def policy(self) -> Policy:
        return Policy(
            self.window,
            self.throttle_after,
            self.throttle_base,
            self.throttle_max,
            self.max_failures,
        )


class Arguments(NamedTuple):
    """The arguments of a PAM line. ``first_factor_key`` is what ``first_factor=key`` asks for."""

    settings: tuple[tuple[str, str], ...] = ()
    path: str = DEFAULT_PATH
    debug: bool = False
    first_factor_key: bool = False
    problems: tuple[str, ...] = ()


class Loaded(NamedTuple):
    """A Config, and in words what was wrong with its sources."""

    config: Config
    problems: tuple[str, ...]


def load(path: str = DEFAULT_PATH, settings: Iterable[tuple[str, str]] = ()) -> Loaded:
    """Read ``path``, then apply ``settings``. Only the default path may be absent.

    Raises InsecureFile or Unavailable if the file is there but cannot be believed or read.
    """
    try:
        content = trusted_files.read_trusted(path, MAX_FILE_BYTES)
    except FileNotFoundError:
        if path != DEFAULT_PATH:
            raise Unavailable(
                path, "there is no such file", "check config= and its spelling"
            ) from None
        content = b""
    return parse(content, settings, path)


def parse(content: bytes, settings: Iterable[tuple[str, str]] = (), path: str = "") -> Loaded:
    """Return the Config that ``content`` and ``settings`` make, whatever bytes they hold."""
    values: dict[str, object] = {}
    problems: list[str] = []
    for number, line in enumerate(content.decode("utf-8", "replace").split("\n"), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        key, separator, value = line.partition("=")
        where = f"{path}:{number}"
        if not separator:
            problems.append(f"{where}: not 'key = value': {line[:40]}")
            continue
        if key.strip() in values:
            problems.append(f"{where}: {key.strip()} is set more than once; the last one counts")
        _apply(values, key.strip(), value.strip(), where, problems, in_file=True)
    idle = _has_idle_deadline(values)
    for key, value in settings:
        _apply(values, key, value, "PAM argument", problems)
        idle = idle or key == "unenrolled_until"
    config = Config(**values)  # type: ignore[arg-type]  # _apply made each value of its field's type
    if idle and _has_idle_deadline(values):
        problems.append("unenrolled_until has no effect without unenrolled = skip")
    if config.throttle_max < config.throttle_base:
        problems.append("throttle_max is below throttle_base; throttle_base is used for both")
        config = config._replace(throttle_max=config.throttle_base)
    return Loaded(config, tuple(problems))


def parse_arguments(argv: Iterable[str]) -> Arguments:
    """Sort the arguments of a PAM line, without the script's path that pam_python puts first."""
    settings: list[tuple[str, str]] = []
    problems: list[str] = []
    path, debug, first_factor_key = DEFAULT_PATH, False, False
    for argument in argv:
        key, separator, value = argument.partition("=")
        if argument == "nullok":
            settings.append(("unenrolled", SKIP))
        elif argument == "debug":
            debug = True
        elif argument == "first_factor=key":
            first_factor_key = True
        elif key == "config" and os.path.isabs(value):
            path = value
        elif key in _IN_FILE_ONLY:
            problems.append(f"PAM argument: {key} is for pam_totp.conf alone")
        elif key in _PARSERS and not separator and _PARSERS[key] is _boolean:
            settings.append((key, "yes"))
        elif key in _PARSERS and separator:
            settings.append((key, value))
        else:
            problems.append(f"PAM argument: unknown: {argument[:40]}")
    return Arguments(tuple(settings), path, debug, first_factor_key, tuple(problems))


def split_store_url(url: str) -> tuple[str, str]:
    """Split ``sqlite:/path`` into scheme and path; a bare path is SQLite's. Raises ValueError."""
    scheme, separator, path = url.partition(":")
    if not separator or scheme.startswith("/"):
        scheme, path = "sqlite", url
    if scheme not in STORE_SCHEMES:
        raise ValueError(f"one of {', '.join(STORE_SCHEMES)}, then ':' and an absolute path")
    return scheme, _absolute_path(path)


def _apply(
    values: dict[str, object],
    key: str,
    value: str,
    where: str,
    problems: list[str],
    *,
    in_file: bool = False,
) -> None:
    """Parse one value; on a bad one report it and fall back to the built-in default."""
    parser = _PARSERS.get(key)
    if parser is None:
        problems.append(f"{where}: unknown key: {key[:40]}")
        return
    try:
        if in_file and _has_comment(value):
            raise ValueError("without a comment behind it, or in double quotes")
        values[key] = parser(value)
    except ValueError as error:
        if key == "unenrolled_until":  # its default would let people in for ever
            values[key] = _PASSED
            problems.append(f"{where}: {key} must be {error}; it counts as passed")
            return
        default = Config._field_defaults[key]
        values[key] = default
        problems.append(f"{where}: {key} must be {error}; using the default {default!r}")


def _has_idle_deadline(values: dict[str, object]) -> bool:
    """Tell whether there is a deadline for what is not allowed anyway.

    One in the file is no mistake where the PAM lines of some services say ``unenrolled=deny``.
    """
    return bool(values.get("unenrolled_until")) and values.get("unenrolled") != SKIP


def _has_comment(value: str) -> bool:
    """Tell whether somebody may have meant the end of ``value`` as a comment."""
    return not value.startswith('"') and ("#" in value and f" {value}".split("#")[0][-1].isspace())


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse_integer(value: str) -> int:
        if not (value.isascii() and value.isdigit() and len(value) < 10):
            raise ValueError(f"a whole number from {low} to {high}")
        number = int(value)
        if not low <= number <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return number

    return parse_integer


def _boolean(value: str) -> bool:
    if value.lower() in ("yes", "no"):
        return value.lower() == "yes"
    raise ValueError("yes or no")


def _absolute_path(value: str) -> str:
    # ASCII: under pam_python the C locale decides how a path is encoded.
    if not os.path.isabs(value) or not value.isprintable() or not value.isascii():
        raise ValueError("an absolute path in ASCII")
    return value


def _store(value: str) -> str:
    split_store_url(value)
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


def _text(value: str) -> str:
    """Take text as it stands; double quotes around it keep blanks at its ends."""
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = value[1:-1]
    if not value.isprintable() or len(value) > 128:
        raise ValueError("printable text of at most 128 characters")
    return value


def _names(value: str) -> tuple[str, ...]:
    names = tuple(value.replace(",", " ").split())
    if not all(name.isprintable() for name in names):
        raise ValueError("group names")
    return names


_PARSERS: dict[str, Callable[[str], object]] = {
    "store": _store,
    "sealing_key": _absolute_path,
    "issuer": _text,
    "prompt": _text,
    "echo": _boolean,
    "window": _integer(0, 10),
    "attempts": _integer(1, 10),
    "throttle_after": _integer(1, 100),
    "throttle_base": _integer(1, 3600),
    "throttle_max": _integer(1, 86400),
    "max_failures": _integer(1, 100),
    "unenrolled": _unenrolled,
    "unenrolled_until": _deadline,
    "exempt_groups": _names,
    "quiet": _boolean,
    "unprivileged": _boolean,
}
_IN_FILE_ONLY = ("unprivileged",)  # whoever it is about writes the arguments
