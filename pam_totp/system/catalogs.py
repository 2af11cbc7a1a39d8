"""The catalogs of translations, as msgfmt(1) compiles them. Not loaded where English is spoken.

They belong to root; a damaged one is not used, and never denies anybody.
"""

from __future__ import annotations

import functools
import gettext
import io
import os

from . import languages, trusted_files
from .errors import PamTotpError

FOLDER = "/usr/share/locale"
MAX_FILE_BYTES = 1024 * 1024


def path_of(name: str) -> str:
    return f"{FOLDER}/{name}/LC_MESSAGES/pam_totp.mo"


def installed() -> list[str]:
    """Return the languages that there are, but English."""
    try:
        names = os.listdir(FOLDER)
    except OSError:
        return []
    return sorted(name for name in names if os.path.lexists(path_of(name)))


@functools.lru_cache(maxsize=8)  # for as long as a process lives
def find(names: tuple[str, ...]) -> tuple[gettext.GNUTranslations | None, PamTotpError | None]:
    """Return the first catalog of ``names`` that there is, and what is wrong with it.

    None: English. Never raises.
    """
    for name in names:
        path = path_of(name)
        if not os.path.lexists(path):
            continue
        try:
            content = trusted_files.read_trusted(path, MAX_FILE_BYTES)
        except (PamTotpError, OSError) as error:
            return None, languages.problem_of(path, error)
        try:
            return gettext.GNUTranslations(io.BytesIO(content)), None
        except Exception:  # OSError, struct.error, UnicodeError, ValueError and others
            from .reinstalling import reinstall_hint

            return None, PamTotpError(path, "is damaged", reinstall_hint())
    return None, None
