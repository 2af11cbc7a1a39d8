"""What pam_totp.conf and the PAM arguments say, as one frozen Config.

``key = value`` lines and ``#`` comments, like faillock.conf. PAM arguments are ``key=value`` with
the same keys and win. An unknown key or a bad value never stops a login: it is reported, and the
built-in default, the strict one, stays in force.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, NamedTuple

from ..core.verifier import Policy
from . import trusted_files
from .config_values import DENY, IN_FILE_ONLY, PARSERS, POSTGRESQL, SKIP, boolean
from .errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_PATH = "/etc/security/pam_totp.conf"
MAX_FILE_BYTES = 64 * 1024
FLEET_PREFIX = f"{POSTGRESQL}:"
# What a line that asks for no code is about: see first_factor in config_descriptions.py.
KEY, PASSWORD = "key", "password"
FIRST_FACTORS = (KEY, PASSWORD)
_PASSED = 1  # an end of time that is over: 1970


class Config(NamedTuple):
    """Every key with its default. Times are in seconds, ``window`` in steps."""

    store: str = "/var/lib/pam_totp/store.db"
    sealing_key: str = "/etc/security/pam_totp.key"
    local_store: str = "/var/lib/pam_totp/store.db"
    fleet_host: str = "/etc/security/pam_totp.fleet"
    fleet_admin: str = "/etc/security/pam_totp.fleet-admin"
    offline: str = DENY
    issuer: str = ""
    language: str = ""
    prompt: str = ""
    echo: bool = False
    one_prompt: bool = False
    one_prompt_text: str = ""
    window: int = 1
    look_ahead: int = 5
    attempts: int = 3
    throttle_after: int = 5
    throttle_base: int = 30
    throttle_max: int = 900
    max_failures: int = 100
    recovery_unlocks: bool = False
    remember: int = 0  # seconds; 0: every login is asked
    unenrolled: str = DENY
    unenrolled_until: int = 0  # the first second that SKIP does not hold for; 0: it has no end
    exempt_groups: tuple[str, ...] = ()
    skip_from: tuple[str, ...] = ()
    alternative: tuple[str, ...] = ()
    qr_code: bool = True
    quiet: bool = False
    unprivileged: bool = False
    self_service: bool = False

    @property
    def is_fleet(self) -> bool:
        """Tell whether the store is PostgreSQL, and shared by many hosts."""
        return self.store.startswith(FLEET_PREFIX)

    @property
    def place(self) -> str:
        """What apps show people to be at: their fleet, by its first server; "": this machine."""
        if not self.is_fleet:
            return ""
        from . import postgresql_url

        try:
            servers = postgresql_url.parse(self.store).servers
        except ValueError:
            return ""
        return servers[0][0] if servers else ""

    def of_this_machine(self) -> Config:
        """Return it with the store that this machine has for itself."""
        return self._replace(store=self.local_store) if self.is_fleet else self

    def policy(self) -> Policy:
        return Policy(
            self.window,
            self.throttle_after,
            self.throttle_base,
            self.throttle_max,
            self.max_failures,
            look_ahead=self.look_ahead,
            recovery_unlocks=self.recovery_unlocks,
        )


class Arguments(NamedTuple):
    """The arguments of a PAM line. ``first_factor``: KEY or PASSWORD, where it names one."""

    settings: tuple[tuple[str, str], ...] = ()
    path: str = DEFAULT_PATH
    debug: bool = False
    first_factor: str = ""
    problems: tuple[str, ...] = ()


class Loaded(NamedTuple):
    """A Config, and in words what was wrong with its sources."""

    config: Config
    problems: tuple[str, ...]


def load(path: str = DEFAULT_PATH, settings: Iterable[tuple[str, str]] = ()) -> Loaded:
    """Read ``path``, then apply ``settings``. Only the default path may be absent.

    Raises InsecureFile or Unavailable if the file is there but cannot be trusted or read.
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
    return _parse_arguments(tuple(argv))


@functools.lru_cache(maxsize=16)  # a machine has few PAM lines
def _parse_arguments(argv: tuple[str, ...]) -> Arguments:
    settings: list[tuple[str, str]] = []
    problems: list[str] = []
    path, debug, first_factor = DEFAULT_PATH, False, ""
    for argument in argv:
        key, separator, value = argument.partition("=")
        if argument == "nullok":
            settings.append(("unenrolled", SKIP))
        elif argument == "debug":
            debug = True
        elif key == "first_factor" and value in FIRST_FACTORS:
            first_factor = value
        elif key == "config" and os.path.isabs(value):
            path = value
        elif key in IN_FILE_ONLY:
            problems.append(f"PAM argument: {key} is allowed only in pam_totp.conf")
        elif key in PARSERS and not separator and PARSERS[key] is boolean:
            settings.append((key, "yes"))
        elif key in PARSERS and separator:
            settings.append((key, value))
        else:
            problems.append(f"PAM argument: unknown: {argument[:40]}")
    wants_one_prompt = any(key == "one_prompt" and v.lower() == "yes" for key, v in settings)
    if wants_one_prompt and first_factor != PASSWORD:
        problems.append(f"PAM argument: one_prompt counts only beside first_factor={PASSWORD}")
    return Arguments(tuple(settings), path, debug, first_factor, tuple(problems))


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
    parser = PARSERS.get(key)
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
        if key == "store" and value.startswith(FLEET_PREFIX):
            # In the default store are the local accounts: everybody else would seem unenrolled.
            values[key] = value
            problems.append(f"{where}: {key} must be {error}; accounts of the fleet are denied")
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
