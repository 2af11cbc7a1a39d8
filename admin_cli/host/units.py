"""What systemd says of units, and what it wants before it starts one that is masked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from . import programs

TIMEOUT = 20.0  # seconds
_PROPERTIES = "LoadState,ActiveState,UnitFileState,Result,Environment"

Properties = Mapping[str, str]


def show(names: Sequence[str]) -> dict[str, Properties]:
    """Return the properties of each unit (systemctl(1)). Raises OSError, TimeoutExpired."""
    command = ["systemctl", "show", f"--property={_PROPERTIES}", *names]
    blocks = programs.run(command, timeout=TIMEOUT).stdout.split("\n\n")
    shown = [
        dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks
    ]
    shown += [{}] * (len(names) - len(shown))  # systemd did not answer
    return dict(zip(names, shown, strict=False))


def is_masked(properties: Properties) -> bool:
    return properties.get("UnitFileState", "").startswith("masked")


def unmask(shown: Mapping[str, Properties]) -> str:
    """Return the commands that come before a start of any of them: "" where none is masked."""
    commands = ""
    for state, option in (("masked", ""), ("masked-runtime", "--runtime ")):
        names = [name for name, found in shown.items() if found.get("UnitFileState") == state]
        commands += f"systemctl unmask {option}{' '.join(names)}; " if names else ""
    return commands
