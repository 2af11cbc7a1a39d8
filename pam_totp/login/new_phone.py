"""After a login with a recovery code: a new phone there and then, for people who have lost theirs.

Nothing here denies the login, which was granted before: what cannot be said, or kept, is left. It
is offered where people may help themselves, and the password, or a key, was proven first: a
recovery code alone must not be enough to replace a phone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core import own_changes
from ..core.own_changes import NEW_PHONE, OwnChange
from ..system.errors import ConversationFailed, Unavailable
from . import messages
from .new_authenticator import NewAuthenticator
from .steps import Driver, need

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.users import Account, UserRecord
    from ..core.verifier import Policy
    from ..system.config import Config
    from .conversation import Conversation
    from .steps import Flow, Request

YES = "yes"


class NewPhone:
    """The offer to ``user``, who has logged in with a recovery code.

    ``log`` takes an event and its fields; ``complain`` says what could not be kept.
    """

    def __init__(
        self,
        conversation: Conversation,
        user: str,
        account: Account,
        settings: Config,
        policy: Policy,
        log: Callable[..., Flow[None]],
        complain: Callable[[Unavailable | OSError], Flow[object]],
    ) -> None:
        self._conversation = conversation
        self._user = user
        self._account = account
        self._settings = settings
        self._policy = policy
        self._log = log
        self._complain = complain
        self._is_shown = False  # the new secret

    def offer(self, request: Request, *, key: bool) -> Flow[None]:
        """Offer it, where it can be. ``key``: sshd accepted one."""
        try:
            if (yield from self._may_offer(request, key=key)):
                yield from self._offer(request)
        except ConversationFailed:  # the application asks no more, or is gone
            pass
        except (Unavailable, OSError) as error:
            yield from self._complain(error)
            if self._is_shown:
                yield from self._conversation.tell(messages.NEW_PHONE_NOT_KEPT, error=True)

    def _may_offer(self, request: Request, *, key: bool) -> Flow[bool]:
        if request.answer_kept or not self._conversation.shows_messages or self._account.uid == 0:
            return False
        if key:
            return True
        if not request.password_given:
            return False
        return (yield from need(Driver.judge_stack, request.service, key=False))

    def _offer(self, request: Request) -> Flow[None]:
        record = yield from self._own_record()
        if record is None:
            return
        if len(record.authenticators) > 1:  # nobody can tell which one is gone
            yield from self._conversation.tell(messages.NEW_PHONE_BY_COMMAND)
            return
        reply = yield from self._conversation.ask(messages.OFFER_OF_A_NEW_PHONE)
        if reply.is_password or reply.text.strip().lower() != YES:
            return
        label = record.authenticators[0].label
        handover = NewAuthenticator(
            self._conversation, self._user, self._settings, self._policy, self._log
        )
        new = yield from handover.show(label, messages.AT_A_NEW_PHONE)
        self._is_shown = True
        confirmed = yield from handover.confirm(new)
        if confirmed is None:
            yield from self._conversation.tell(messages.NO_NEW_PHONE, error=True)
            return
        where = ", ".join(filter(None, (request.rhost, request.service)))
        change = OwnChange(NEW_PHONE, label, where, confirmed)
        if not (yield from need(Driver.change_own, self._user, change, record)):
            yield from self._conversation.tell(messages.OVERTAKEN, error=True)
            return
        yield from self._log("replaced", authenticator=label, by=self._user)
        yield from self._conversation.tell(messages.changed(NEW_PHONE, label))

    def _own_record(self) -> Flow[UserRecord | None]:
        """Return it as it is after the recovery code; None where it cannot be changed from here."""
        known = yield from need(Driver.look_up_user, self._user, "")
        if known.policy is not None or known.is_offline or known.problem:
            return None
        record = known.record
        return record if own_changes.may_change(record, self._account) else None
