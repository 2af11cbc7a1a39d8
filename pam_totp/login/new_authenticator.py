"""A new secret is shown to its person, and counts once a code of it was typed.

Until whoever asked for it keeps it, it is in memory alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core import enrollment, verifier
from ..system import issuing
from . import messages
from .steps import Driver, need

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..core.users import Authenticator
    from ..core.verifier import Policy
    from ..system.config import Config
    from .conversation import Conversation
    from .steps import Flow, Reply
    from .texts import Text


class NewAuthenticator:
    """One authenticator of ``user``, from its secret to its first code.

    ``log`` takes an event and its fields.
    """

    def __init__(
        self,
        conversation: Conversation,
        user: str,
        settings: Config,
        policy: Policy,
        log: Callable[..., Flow[None]],
    ) -> None:
        self._conversation = conversation
        self._user = user
        self._settings = settings
        self._policy = policy
        self._log = log
        self._picture: list[str] = []

    def show(
        self, label: str, introduction: Sequence[Text], *, is_beside: bool = False
    ) -> Flow[Authenticator]:
        """Show a new secret, and return it.

        ``is_beside``: others stay valid, so that the app's entry has to name the label as well.
        """
        new, uri, picture = yield from need(
            Driver.issue_authenticator,
            self._user,
            self._settings.place,
            self._settings.issuer,
            label=label,
            is_beside=is_beside,
        )
        self._picture = picture if self._settings.qr_code else []
        shown = messages.enrollment(introduction, _to_type(new), uri, self._picture)
        yield from self._conversation.show(shown)
        return new

    def confirm(self, new: Authenticator) -> Flow[Authenticator | None]:
        """Ask for a code of the new authenticator; return it with that code used up, or None."""
        for number in range(enrollment.ATTEMPTS):
            reply = yield from self._ask_for_code(new, [] if number else self._picture)
            if reply.is_password:
                said = messages.THAT_WAS_THE_PASSWORD
                if (yield from self._conversation.is_answered_blindly(said)):
                    yield from self._log(verifier.MALFORMED, reason=messages.PASSWORD_AS_ANSWER)
                    return None
                yield from self._log(verifier.MALFORMED, reason=messages.PASSWORD_TYPED_AGAIN)
                continue
            answer = verifier.classify(reply.text, frozenset((new.digits,)))
            verdict, judged = enrollment.judge_first_code(new, answer, reply.at, self._policy)
            if verdict.outcome == verifier.ACCEPTED:
                return judged
            yield from self._log(verdict.outcome, reason="enrollment")
            text = messages.WRONG_CODE_OF_THE_APP
            if verdict.clock_offset:
                ahead = verdict.clock_offset * new.period
                text = messages.clock_of_phone(ahead, new.period)
            yield from self._conversation.tell(text, error=True)
        return None

    def _ask_for_code(self, new: Authenticator, picture: list[str]) -> Flow[Reply]:
        """Ask for a code of the app; Enter alone has ``picture`` shown for a light terminal."""
        reply = yield from self._conversation.ask(messages.CODE_OF_THE_APP)
        if not picture or reply.text or reply.is_password:
            return reply
        shown = messages.for_light_terminal(_to_type(new), picture)
        yield from self._conversation.show(shown)
        return (yield from self._conversation.ask(messages.CODE_OF_THE_APP))


def _to_type(new: Authenticator) -> str:
    """Return the secret as a person types it in."""
    assert new.secret is not None
    return issuing.to_type(issuing.base32(new.secret))
