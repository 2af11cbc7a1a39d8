"""A disk that answers nothing for as long as a test wants: for one process, in one folder."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# What SQLite writes and syncs with. All else that is on that disk is in memory already.
_PRELOADED = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void wait_for_the_disk(int file)
{
    const char *folder = getenv("SLOW_DISK"), *sign = getenv("SLOW_WHILE");
    char link[64], path[4096];
    int before = errno;

    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, sizeof path - 1);
    path[size < 0 ? 0 : size] = 0;
    if (folder && sign && strncmp(path, folder, strlen(folder)) == 0)
        while (access(sign, F_OK) == 0)
            usleep(10000);
    errno = before;
}

int fdatasync(int file)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");

    wait_for_the_disk(file);
    return real(file);
}

ssize_t pwrite64(int file, const void *bytes, size_t size, off64_t at)
{
    ssize_t (*real)(int, const void *, size_t, off64_t) =
        (ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");

    wait_for_the_disk(file);
    return real(file, bytes, size, at);
}
"""


class SlowDisk:
    """What lies in ``folder`` is on it. ``env`` is for the process that is to notice."""

    def __init__(self, library: Path, folder: Path, sign: Path) -> None:
        self._sign = sign
        self.env = {
            "LD_PRELOAD": str(library),
            "SLOW_DISK": f"{folder}/",
            "SLOW_WHILE": str(sign),
        }

    @contextmanager
    def hangs(self) -> Iterator[None]:
        self._sign.touch()
        try:
            yield
        finally:
            self._sign.unlink()


@pytest.fixture(scope="session")
def preloaded() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "slow.c"), Path(folder, "slow.so")
        source.write_text(_PRELOADED, encoding="ascii")
        command = ["cc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, source, "-ldl"]
        subprocess.run(command, check=True, timeout=60)
        yield library
