"""Why self-service does not do what somebody asked, and what helps: as totpctl shows its errors.

In English, as all of totpctl's.
"""

from __future__ import annotations

from ..core import own_changes

_ASK = "ask an administrator of this machine"

IS_OFF = ("self-service is off: pam_totp.conf does not say self_service = yes", _ASK)
NO_ACCOUNT = ("your account is not known here, or is root's", _ASK)
NOTHING_TO_CHANGE = ("you have no enrollment that you can look at or change", _ASK)
OF_THE_FLEET = (
    "your enrollment is in the database of a fleet, where administrators alone change it",
    "ask one of them",
)
UNAVAILABLE = (
    "verification codes cannot be checked right now",
    "try again later; an administrator can find the reason in the system log",
)
TOO_MANY_GUESSES = (
    "too many wrong codes: nothing can be changed here for now",
    "log in with a right code first, and try again",
)
WHICH_ONE = ("you have several authenticators: {labels}", "run: totpctl me new-phone LABEL")
NOTHING_WAS_CHANGED = "nothing was changed"
NOT_KEPT = (
    "it could not be saved: nothing was changed, and what you were shown is void",
    "try again later; an administrator can find the reason in the system log",
)
CHANGED_MEANWHILE = "your enrollment was changed in the meantime; nothing of this was saved"
NO_CODE_OF_THE_NEW_APP = (
    "no correct code of the new entry was entered; nothing was changed",
    "delete the new entry from the app, and try again",
)
BUSY = ("another totpctl me of yours is running", "finish or close it, and try again")
UNFORESEEN = ("the service failed", "an administrator can find the reason in the system log")

BY_REASON = {  # of own_changes.refusal()
    own_changes.KNOWN_LABEL: (
        "you already have an authenticator {label}",
        "choose another LABEL, or replace it with: totpctl me new-phone LABEL",
    ),
    own_changes.NO_SUCH_LABEL: ("you have no authenticator {label}", "see: totpctl me"),
    own_changes.LAST_ONE: (
        "{label} is your only authenticator, and stays",
        "replace it with: totpctl me new-phone",
    ),
    own_changes.TOO_MANY: (
        "you have as many authenticators as people can give themselves",
        "remove one with: totpctl me remove LABEL",
    ),
}
