"""pam_totp.conf as text: one key of it set, and every comment and other line kept."""

from __future__ import annotations


def with_setting(text: str, key: str, value: str) -> str:
    """Return ``text`` in which ``key`` has ``value``.

    The line that sets it is replaced, else the line goes below the default that is shown in a
    comment, else to the end.
    """
    line = f"{key} = {value}\n"
    lines = [
        kept if kept.endswith("\n") else f"{kept}\n" for kept in text.splitlines(keepends=True)
    ]
    setting = [number for number, kept in enumerate(lines) if _key(kept) == key]
    if setting:
        lines[setting[-1]] = line  # the last one counts
        for number in reversed(setting[:-1]):
            del lines[number]
        return "".join(lines)
    for number, kept in enumerate(lines):
        if kept.lstrip().startswith("#") and _key(kept.lstrip("# \t")) == key:
            return "".join([*lines[: number + 1], line, *lines[number + 1 :]])
    return "".join([*lines, line])


def _key(line: str) -> str:
    name, separator, _ = line.partition("=")
    return name.strip() if separator else ""
