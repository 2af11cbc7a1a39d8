"""Read a line of the log back, as strictly as a program would."""

from __future__ import annotations

import re

PAIR = re.compile(r'(\w+)=("(?:[^"\\]|\\["\\]|\\u\{[0-9a-f]+\})*"|[^" ]+)(?: |$)')


def unquote(value: str) -> str:
    """Undo the quoting, as a reader of the log would."""
    if not value.startswith('"'):
        return value

    def original(match: re.Match[str]) -> str:
        return chr(int(match[2], 16)) if match[2] else match[1]

    return re.sub(r'\\(?:(["\\])|u\{([0-9a-f]+)\})', original, value[1:-1])


def read(line: str) -> dict[str, str]:
    """Return the pairs of a line, which must be logfmt from ``pam_totp(...): `` to its end."""
    prefix, _, rest = line.partition("): ")
    assert prefix.startswith("pam_totp(")
    pairs, position = {}, 0
    while position < len(rest):
        match = PAIR.match(rest, position)
        assert match, f"no logfmt from here: {rest[position:]}"
        assert match[1] not in pairs
        pairs[match[1]] = unquote(match[2])
        position = match.end()
    return pairs
