"""Write no core file of a process that holds a secret (core(5))."""

from __future__ import annotations

import resource


class NoCoreFile:
    """Inside the block, a crash writes nothing to disk."""

    def __enter__(self) -> None:
        self._limits = resource.getrlimit(resource.RLIMIT_CORE)
        if self._limits[0] != 0:  # a worker has seen to it, for all of its threads
            resource.setrlimit(resource.RLIMIT_CORE, (0, self._limits[1]))

    def __exit__(self, *_: object) -> None:
        if self._limits[0] != 0:
            resource.setrlimit(resource.RLIMIT_CORE, self._limits)
