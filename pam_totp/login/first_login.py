"""Enrollment while somebody logs in: what is shown, what is asked, and the one moment of keeping.

The password is all that says who enrolls, so this is offered only where the stack has proved it. A
login that is cut off, whenever that is, leaves nothing behind: until the last answer the secret
and the recovery codes are in memory alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core import enrollment, verifier
from ..system.errors import Unavailable
from . import messages
from .new_authenticator import NewAuthenticator
from .steps import Driver, need

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.users import Account, Authenticator, UserRecord
    from ..core.verifier import Policy
    from ..system.config import Config
    from .conversation import Conversation
    from .steps import Flow, Request

# What comes of it.
ENROLLED = "enrolled"
NO_RIGHT_CODE = "no right code was given"
OVERTAKEN = "somebody changed the enrollment in the meantime"


def reason_not_to_offer(
    request: Request, conversation: Conversation, *, key: bool, is_allowed: bool
) -> Flow[str]:
    """Say why nobody may enroll in this login; "" where they may.

    ``key``: sshd accepted one. ``is_allowed``: by the policy of the store.
    """
    if not is_allowed:
        return "the policy of the fleet does not allow it; see: totpctl fleet policy"
    if request.answer_kept:
        return "this login asks only once"
    if not conversation.shows_messages:
        return "messages are not shown"
    if not request.password_given:
        return "no password was given"
    if not (yield from need(Driver.judge_stack, request.service, key=key)):
        return "the PAM file does not see to it that the password was right; run: totpctl doctor"
    return ""


class FirstLogin:
    """One enrollment of ``user``, whom the store knows as ``before``, or not at all.

    ``log`` takes an event and its fields.
    """

    def __init__(
        self,
        conversation: Conversation,
        user: str,
        before: UserRecord | None,
        settings: Config,
        policy: Policy,
        log: Callable[..., Flow[None]],
        account: Account | None,
    ) -> None:
        self._conversation = conversation
        self._user = user
        self._before = before
        self._settings = settings
        self._policy = policy
        self._log = log
        self._account = account

    def run(self) -> Flow[str]:
        """Return ENROLLED, and it is durable; or why not, and nothing was written.

        Raises ConversationFailed where the login is cut off, and Unavailable or OSError where
        the enrollment cannot be kept.
        """
        handover = NewAuthenticator(
            self._conversation, self._user, self._settings, self._policy, self._log
        )
        new = yield from handover.show(enrollment.LABEL, messages.AT_A_FIRST_LOGIN)
        authenticator = yield from handover.confirm(new)
        if authenticator is None:
            yield from self._conversation.tell(messages.NO_RIGHT_CODE, error=True)
            return NO_RIGHT_CODE
        codes = yield from need(Driver.issue_codes)
        yield from self._conversation.show(messages.recovery_codes(codes))
        yield from self._conversation.ask(messages.PRESS_ENTER)
        try:
            is_kept = yield from self._keep(authenticator, codes)
        except (Unavailable, OSError):
            yield from self._conversation.tell(messages.NOT_KEPT, error=True)
            raise
        if not is_kept:
            yield from self._log(verifier.REJECTED, reason=OVERTAKEN)
            yield from self._conversation.tell(messages.OVERTAKEN, error=True)
            return OVERTAKEN
        yield from self._log("enrolled", authenticator=authenticator.label)
        yield from self._log("codes_issued", recovery_codes_left=str(len(codes)))
        yield from self._conversation.tell(messages.ENROLLED)
        return ENROLLED

    def _keep(self, authenticator: Authenticator, codes: list[str]) -> Flow[bool]:
        """Return whether it is kept, all of it: not if the record is not what it was before."""
        hashed = yield from need(Driver.hash_codes, self._user, codes, self._before)
        if hashed is None:
            return False
        kept = enrollment.Enrollment(authenticator, *hashed, self._account)
        return (yield from need(Driver.enroll_first, self._user, kept, self._before))
