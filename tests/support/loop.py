"""A disk of its own for a Machine: a file system in a file in memory, mounted at /mnt."""

from __future__ import annotations

from tests.support.machine import Machine

# The loop device goes with the last mount of it, which goes with the machine.
_MOUNT = """
mknod /dev/loop-control c 10 237
for n in $(seq 0 63); do mknod /dev/loop$n b 7 $n; done
truncate -s "$1" /run/disk
shift
"$@" /run/disk
mount -o loop /run/disk /mnt
"""


def mount(machine: Machine, size: str, *make: str) -> None:
    """Mount a disk of ``size``, as truncate(1) takes it, on which ``make`` makes a file system."""
    machine.run("sh", "-euc", _MOUNT, "sh", size, *make)
