"""Pictures of QR codes, PNG or JPEG: read by zbarimg, of the package zbar-tools.

It hands them to ImageMagick, which reads a hundred formats: no others are given to it, and of
these only the pixels. Its memory and time have a limit, and it does not run as root.
"""

from __future__ import annotations

import os
import resource
import subprocess

from pam_totp.system.embedding import PATH

from ..libraries import missing
from . import bare_pictures, otpauth
from .sources import TokenFile
from .tokens import Contents, Unreadable

_TYPES = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg"}
_NOBODY = 65534
_SECONDS = 20.0
_CPU_SECONDS = 5
_LIMITS = {
    "MAGICK_MEMORY_LIMIT": "76MiB",
    "MAGICK_MAP_LIMIT": "0",
    "MAGICK_DISK_LIMIT": "0",
    "MAGICK_AREA_LIMIT": "9MP",
    "MAGICK_WIDTH_LIMIT": "8KP",
    "MAGICK_HEIGHT_LIMIT": "8KP",
    "MAGICK_THREAD_LIMIT": "1",
}
_OPTIONS = ("--quiet", "--raw", "-Sdisable", "-Sqrcode.enable")
_NOTHING_FOUND = 4  # zbarimg(1)


def recognizes(data: bytes) -> bool:
    return _type(data) != ""


def read(source: TokenFile) -> Contents:
    """Return the tokens of every QR code in a picture. Raises Unreadable, CommandFailed."""
    lines = [line for line in _codes(source.data).splitlines() if line.strip()]
    if not lines:
        raise Unreadable("shows no QR code that can be read", "take a sharper picture")
    return otpauth.read_lines([(f"QR code {i}", line) for i, line in enumerate(lines, 1)])


def _type(data: bytes) -> str:
    return next((name for magic, name in _TYPES.items() if data.startswith(magic)), "")


def _bare(data: bytes) -> bytes:
    """Return the picture without what is not pixels. Raises Unreadable."""
    found = _type(data)
    if not found:
        raise Unreadable("is no PNG and no JPEG", "save it as PNG")
    return bare_pictures.of_png(data) if found == "png" else bare_pictures.of_jpeg(data)


def _limit_time() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))


def _codes(data: bytes) -> str:
    """Return what the QR codes say, one a line."""
    command = ["zbarimg", *_OPTIONS, f"{_type(data)}:-"]
    whom = _NOBODY if os.geteuid() == 0 else None
    try:
        done = subprocess.run(
            command,
            input=_bare(data),
            capture_output=True,
            timeout=_SECONDS,
            start_new_session=True,  # what it signals to its group is not for us
            env={"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": "/", **_LIMITS},
            cwd="/",
            user=whom,
            group=whom,
            extra_groups=None if whom is None else [],
            preexec_fn=_limit_time,
            check=False,
        )
    except FileNotFoundError:
        raise missing("pictures of QR codes", "zbar-tools") from None
    except subprocess.TimeoutExpired:
        raise Unreadable("takes too long to read", "take a smaller picture") from None
    if done.returncode not in (0, _NOTHING_FOUND):
        raise Unreadable("is damaged, or too large for a picture of a QR code")
    return done.stdout.decode("utf-8", "replace")
