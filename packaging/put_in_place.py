"""put_in_place.py NEW PLACE: let the folder NEW take the place of PLACE, kept as PLACE.previous.

Both names are exchanged in one step (renameat2(2), RENAME_EXCHANGE): a login, or a power cut,
at any moment finds either the old modules or the new ones, never none.
"""

import ctypes
import os
import shutil
import sys

AT_FDCWD = -100
RENAME_EXCHANGE = 2


def main() -> None:
    new, place = sys.argv[1:]
    if not os.path.isdir(place):
        os.rename(new, place)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    names = (os.fsencode(new), os.fsencode(place))
    if libc.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE) != 0:
        # Some file systems cannot: a moment without modules, in which logins are denied.
        os.rename(place, f"{new}.old")
        os.rename(new, place)
        os.rename(f"{new}.old", new)
    previous = f"{place}.previous"
    if new != previous:
        shutil.rmtree(previous, ignore_errors=True)
        os.rename(new, previous)


if __name__ == "__main__":
    main()
