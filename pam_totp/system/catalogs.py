"""The catalogs of translations, as msgfmt(1) compiles them. Not loaded where English is spoken.

They belong to root; a damaged one is not used, and never denies anybody.
"""

from __future__ import annotations

import functools
import gettext
import io
import os

from . import trusted_files
from .errors import Unavailable

FOLDER = "/usr/share/locale"
MAX_FILE_BYTES = 1024 * 1024


def path_of(name: str) -> str:
    return f"{FOLDER}/{name}/LC_MESSAGES/pam_totp.mo"


@functools.lru_cache(maxsize=8)  # for as long as a process lives
def find(names: tuple[str, ...]) -> tuple[gettext.GNUTranslations | None, str]:
    """Return the first catalog of ``names`` that there is, and a problem in words, or "".

    None: English. Never raises.
    """
    for name in names:
        path = path_of(name)
        if not os.path.lexists(path):
            continue
        try:
            content = trusted_files.read_trusted(path, MAX_FILE_BYTES)
            return gettext.GNUTranslations(io.BytesIO(content)), ""
        except (Unavailable, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            return None, f"{path}: {reason}" if reason else str(error)
        except Exception:  # struct.error, UnicodeError, ValueError and others
            return None, f"{path}: is damaged"
    return None, ""
