"""HashingSlot: serializes Argon2id, which takes 19 MiB and one core for as long as it runs."""

from __future__ import annotations

import _thread

from ..system.errors import Unavailable

# Seconds that an answer may wait for its turn; then it was not looked at, and is not used up. Less
# than pam_totp.so waits, or a code would be used up by a login that has been given up.
PATIENCE = 20.0
_slot = _thread.allocate_lock()


class HashingSlot:
    """One login of this process at a time. Raises Unavailable where the turn does not come.

    Whoever has it first looks whether there is still something to hash for: otherwise one user
    with many prompts would hold up everybody else's recovery codes.
    """

    def __enter__(self) -> None:
        if not _slot.acquire(timeout=PATIENCE):
            raise too_many()

    def __exit__(self, *_: object) -> None:
        _slot.release()


def too_many() -> Unavailable:
    return Unavailable(
        "recovery codes",
        "too many logins are before this one",
        "try again; whose they are: journalctl -t pam_totp",
    )
