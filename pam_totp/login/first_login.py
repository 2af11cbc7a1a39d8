"""Enrolment while somebody logs in: what is shown, what is asked, and the one moment of keeping.

The password is all that says who enrols, so this is offered only where the stack has proved it. A
login that is broken off, whenever that is, leaves nothing behind: until the last answer the secret
and the recovery codes are in memory alone.
"""

from __future__ import annotations

import os
import time

from ..core import admission, clock_skew, users, verifier
from ..core.users import UserRecord
from ..system import issuing
from ..system.errors import Unavailable
from ..system.uninterrupted import Uninterrupted
from . import decision, identity, messages, picture

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..core.admission import Account
    from ..system.config import Config
    from .conversation import Conversation

LABEL, ALGORITHM, DIGITS, PERIOD = "phone", "SHA1", 6, 30  # what every app understands
ATTEMPTS = 3

# What comes of it.
ENROLLED = "enrolled"
NO_RIGHT_CODE = "no right code was given"
OVERTAKEN = "somebody changed the enrolment meanwhile"


def reason_not_to_offer(pamh: Any, conversation: Conversation) -> str:
    """Say why nobody may enrol in this login; "" where they may."""
    if not conversation.shows_messages:
        return "messages are not shown"
    if not identity.password_given(pamh):
        return "no password was given"
    from ..stack import pam_stack

    service, key = identity.item(pamh, "service"), identity.came_with_a_key(pamh)
    if not pam_stack.proves_password(service, key=key):
        return "the PAM file does not see to it that the password was right; run: totpctl doctor"
    return ""


class FirstLogin:
    """One enrolment of ``user``, whom the store knows as ``before``, or not at all.

    ``password`` is what no answer may be; ``log`` takes an event and its fields.
    """

    def __init__(
        self,
        conversation: Conversation,
        user: str,
        before: UserRecord | None,
        settings: Config,
        password: str | None,
        log: Callable[..., None],
        account: Account | None = None,
    ) -> None:
        self._conversation = conversation
        self._user = user
        self._before = before
        self._settings = settings
        self._password = password
        self._log = log
        self._account = account
        self._new = issuing.new_authenticator(LABEL, ALGORITHM, DIGITS, PERIOD, int(time.time()))

    def run(self) -> str:
        """Return ENROLLED, and it is durable; or why not, and nothing was written.

        Raises ConversationFailed where the login is broken off, and Unavailable or OSError where
        the enrolment cannot be kept.
        """
        self._show_secret()
        if not self._confirm():
            self._conversation.tell(messages.NO_RIGHT_CODE, error=True)
            return NO_RIGHT_CODE
        codes = issuing.new_recovery_codes()
        self._conversation.show(messages.recovery_codes(codes))
        self._conversation.ask(messages.PRESS_ENTER)
        try:
            is_kept = self._keep(codes)
        except (Unavailable, OSError):
            self._conversation.tell(messages.NOT_KEPT, error=True)
            raise
        if not is_kept:
            self._log(verifier.REJECTED, reason=OVERTAKEN)
            self._conversation.tell(messages.OVERTAKEN, error=True)
            return OVERTAKEN
        self._log("enrolled", authenticator=LABEL)
        self._log("codes_issued", recovery_codes_left=str(len(codes)))
        self._conversation.tell(messages.ENROLLED)
        return ENROLLED

    def _show_secret(self) -> None:
        assert self._new.secret is not None
        issuer = self._settings.issuer or os.uname().nodename
        uri, lines = picture.draw(self._new.secret, self._user, issuer)
        secret = issuing.to_type(issuing.base32(self._new.secret))
        self._conversation.show(messages.enrolment(secret, uri, lines))

    def _confirm(self) -> bool:
        """Ask for a code of the new authenticator, which is used up by it."""
        record = UserRecord(self._user, authenticators=(self._new,))
        for _ in range(ATTEMPTS):
            text = self._conversation.ask(messages.CODE_OF_THE_APP)
            answer = verifier.classify(text, self._password, frozenset((DIGITS,)))
            policy, now = self._settings.policy(), int(time.time())
            verdict, changed = verifier.verify(record, answer, now, policy)
            if verdict.outcome == verifier.ACCEPTED:
                (confirmed,) = changed.authenticators
                self._new = confirmed._replace(last_used_at=None)  # that is for logins with it
                return True
            if verdict.outcome == verifier.PASSWORD:
                if self._conversation.is_answered_blindly(messages.THAT_WAS_THE_PASSWORD):
                    self._log(verifier.MALFORMED, reason=messages.PASSWORD_AS_ANSWER)
                    return False
                self._log(verifier.MALFORMED, reason=messages.PASSWORD_TYPED_AGAIN)
                continue
            self._log(verdict.outcome, reason="enrolment")
            text = messages.WRONG_CODE_OF_THE_APP
            if verdict.clock_offset:
                words = clock_skew.in_words("your phone", verdict.clock_offset, PERIOD)
                text = words[0].upper() + words[1:]
            self._conversation.tell(text, error=True)
        return False

    def _keep(self, codes: list[str]) -> bool:
        """Write all of it in one transaction; False if the record is not what it was before.

        A record without authenticators has no secrets, so that the two can be compared: whoever
        enrolled, suspended, exempted or reset this user since the beginning is not overruled.
        """
        with Uninterrupted(), decision.TurnToHash():
            with decision.open_configured(self._settings) as store:
                if store.load(self._user) != self._before:
                    return False
            salt, digests = issuing.salt_and_digests(codes)
        now = int(time.time())
        record = self._before or UserRecord(self._user, created_at=now)
        if self._account is not None:
            record = admission.bound_to(record, self._account, now)
        record = record._replace(
            status=users.ACTIVE,
            exempt_until=0,
            failures=0,
            throttled_until=0,
            guesses_until=0,
            recovery_salt=salt,
            recovery_digests=digests,
            authenticators=(self._new,),
            updated_at=now,
        )
        with (
            Uninterrupted(),
            decision.open_configured(self._settings) as store,
            store.transaction(self._user) as transaction,
        ):
            if transaction.record != self._before:
                return False
            transaction.save(record)
        return True
