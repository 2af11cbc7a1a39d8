"""Loop: one thread that drives all logins of the service, and waits for none of them.

In rounds. First it takes every packet that is there; then each login goes on, up to what it has to
wait for; at last the answers that came together are judged in one transaction, and each login is
told its verdict once that is durable.

What a step needs decides where it is performed:

- at once, if it takes next to no time;
- at once, but with somebody ready to take over, if it may touch the disk: while a disk hangs, the
  thread that leads is held up in it, and the next one leads on (service/server.py);
- by a helper, if it may take long: a directory, a first enrollment, Argon2id;
- by a helper of that fleet, if the database of a fleet has to answer;
- by the person, who is waited for with the selector;
- together with those of others, if it is a critical section of the store.
"""

from __future__ import annotations

import functools
import os
import selectors
import signal
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast

from ..login import flow, hashing, steps
from ..login.steps import Request, Step
from ..system import embedding
from ..system.errors import (
    ConversationFailed,
    LoginAborted,
    PamTotpError,
    StoreBusy,
    Unavailable,
)
from . import batch, wire, worker
from .connection import (
    ANSWER_SECONDS,
    GONE,
    NOT_TOLD,
    TOO_LONG,
    heard,
    kept_by,
    message_packet,
    prompt_packet,
    reply_of,
    request_of,
    told_by,
)
from .crowd import Crowd
from .deadlines import Deadlines
from .helpers import Helpers
from .kept import InUse, in_use
from .kept_driver import Elsewhere, KeptDriver, OfTheFleet, Shared

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..login.steps import Flow
    from .kept import KeptStore
    from .worker import Peer

BACKLOG = 4096
ERROR_SECONDS = 0.1  # after what nobody foresaw
RETRY_SECONDS = 1.0  # after a connection that could not be taken
PAUSE_SECONDS = 0.5  # for which programs without root keep their place: nobody floods the log
MAX_TAKEN = 64  # connections, in one round
MAX_HELPERS = 64
DIRECTORY_SECONDS = 5.0  # that all of its helpers wait for it; then nobody else does
MAX_BATCH = 64  # answers in one transaction: more of them make the log grow
GRACE_SECONDS = 5.0  # for the logins under way when it is told to stop
PATIENCE = 20.0  # seconds of a login for disks that do not answer; less than pam_totp.so waits
BUSY_SECONDS = 5.0  # for another process that writes
# Between two looks whether who is in the way has finished: another process, a disk.
FIRST_PAUSE, LONGEST_PAUSE, LONGEST_FOR_A_DISK = 0.002, 0.05, 0.5

# Where each step of steps.Driver is performed; tests/unit/test_loop.py compares them.
AT_ONCE = frozenset(("log", "take_place", "issue_codes", "processes"))
ON_THE_DISK = {
    "check_name_services": "check_name_services",
    "check_files": "check_files",
    "read_config": "read_config",
    "find_catalog": "find_catalog",
    "look_up_account": "look_up_local_account",
    "look_up_user": "look_up_user_here",
    "look_up_groups": "look_up_local_groups",
}
BY_A_HELPER = frozenset(
    ("admit", "confirm_absence", "judge_stack", "issue_authenticator", "password_state")
)
SAID: dict[str, tuple[Callable[..., bytes], Callable[..., object]]] = {  # and how it is understood
    "ask": (prompt_packet, reply_of),
    "ask_for_both": (wire.ask_both, kept_by),
    "tell": (message_packet, told_by),
}
BY_THE_PERSON = frozenset(SAID)
USES_UP = frozenset(("verify", "enroll_first", "change_own"))
TOGETHER = frozenset(("verify", "have_told", "enroll_first", "change_own"))
IN_TURN = {"hash_answer": "prepare_answer", "hash_codes": "prepare_codes"}
PREPARED = {preparing: hashing for hashing, preparing in IN_TURN.items()}


class Replaced(BaseException):
    """This thread was away for so long that another one leads."""


class Login:
    """One connection, from its request to its result."""

    __slots__ = (
        "driver",
        "flow",
        "for_a_disk",
        "has_spoken",
        "has_waited",
        "is_admitted",
        "is_heard",
        "limit",
        "pause",
        "peer",
        "service",
        "socket",
        "waits_for",
        "waits_since",
    )

    def __init__(self, connection: socket.socket, peer: Peer) -> None:
        self.socket = connection
        self.peer = peer
        self.service = "worker"
        self.flow: Flow[Request | None] | Flow[int] | None = None
        self.driver: KeptDriver | None = None
        self.is_admitted = False  # and so gets a result
        self.has_spoken = False  # to the person
        self.is_heard = False  # by the selector
        self.limit = 0.0  # seconds that the next packet may take: its line in Deadlines
        self.waits_for: Callable[..., object] | None = wire.parse_request
        # For others who are in the way: seconds of waits that are over, and the one that is not.
        self.has_waited = 0.0
        self.for_a_disk = 0.0  # of both, up to when a disk was last in the way
        self.waits_since = 0.0
        self.pause = 0.0  # until the next look; 0.0: it does not wait

    def is_typing(self) -> bool:
        """Tell whether it waits for a person, or has not even said what it wants."""
        return self.waits_for in (wire.parse_request, reply_of, kept_by)


class Leader:
    """The thread that leads. ``away_since``: when it began what may hold it up; 0.0: nothing."""

    def __init__(self) -> None:
        self.away_since = 0.0
        self.is_replaced = False


Result = TypeVar("Result")
Outcome: TypeAlias = "tuple[object, BaseException | None]"


class Loop:
    """See above. lead() is called by one thread after the other, never by two at once."""

    def __init__(self, listener: socket.socket, *, is_sandboxed: bool) -> None:
        self.crowd = Crowd()
        self.is_stopping = False
        self._stops_at = 0.0  # for those who are still typing; 0.0: it goes on
        self.last_used = time.monotonic()
        self._listener = listener
        self._is_sandboxed = is_sandboxed
        self._is_listening = False
        self._shared = Shared()
        self._selector = selectors.DefaultSelector()
        self._woken, self.wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._lock = threading.Lock()  # of what a Leader says
        self._leader = Leader()
        self._helpers = Helpers("helper", MAX_HELPERS)
        self._directory = Helpers("directory", MAX_HELPERS)  # who may all wait for a dead server
        self._hasher = Helpers("hasher", 1)
        self._hashes_for: Login | None = None
        self._logins: set[Login] = set()
        self._deadlines: Deadlines[Login] = Deadlines()
        self._pauses: deque[tuple[float, Peer]] = deque()
        self._seconds: float | None = 0.0  # that the next round may be away
        self._deaf_until = 0.0  # after a connection that could not be taken
        # What is to be done. A thread that is replaced leaves it to the next one.
        self._inbox: deque[tuple[Login, Callable[..., object], bytes]] = deque()
        self._done: deque[tuple[Login, Step, object, BaseException | None]] = deque()
        self._later: list[tuple[float, Login, Step]] = []
        # With what hashes, where that is known already.
        self._to_hash: deque[tuple[float, Login, Step, Callable[[], object] | None]] = deque()
        self._critical: deque[tuple[Login, Step]] = deque()
        self._again: deque[tuple[Login, Step]] = deque()

    # Leading

    def lead(self, look_round: Callable[[], float | None]) -> bool:
        """Drive all logins until the service stops: then True. False: another thread leads.

        ``look_round`` is called in each round, and returns the most seconds until the next one;
        None: there is no limit.
        """
        with self._lock:
            leader = self._leader = Leader()
        try:
            self._listen()
            while not self.is_stopping:
                self._do_round(look_round)
            self._wind_up()
        except Replaced:
            assert leader.is_replaced
            return False
        return True

    def replace_who_is_away(self, seconds: float) -> bool:
        """Where the thread that leads has been away for so long: tell it, and return True."""
        with self._lock:
            since = self._leader.away_since
            if not since or time.monotonic() - since < seconds:
                return False
            self._leader.is_replaced = True
            self._leader.away_since = 0.0
            return True

    def is_away(self) -> bool:
        """Tell whether the thread that leads does what may hold it up."""
        return bool(self._leader.away_since)

    def open_stores(self) -> tuple[str, ...]:
        return self._shared.kept.open_stores()

    def wake(self) -> None:
        try:
            os.write(self.wakes, b"\0")
        except BlockingIOError:  # it is full, so that it wakes anyway
            pass

    def _away(
        self,
        work: Callable[[], Result],
        leave: Callable[[Result | None, BaseException | None], None],
    ) -> tuple[Result | None, BaseException | None]:
        """Do what may hold this thread up, and return what came of it.

        If another thread leads by then, ``leave`` gets it for that one, and this one is done.
        """
        leader = self._leader
        leader.away_since = time.monotonic()
        result, problem = None, None
        try:
            result = work()
        except BaseException as error:
            problem = error
        with self._lock:
            leader.away_since = 0.0
            if not leader.is_replaced:
                return result, problem
        leave(result, problem)
        self.wake()
        raise Replaced

    def _wind_up(self) -> None:
        """Let those finish who are quick, and then those whose answer is here already."""
        self._stops_at = self._stops_at or time.monotonic() + GRACE_SECONDS  # once, whoever leads
        self._go_round_until(self._stops_at)
        end = self._stops_at + BUSY_SECONDS
        while self._logins and time.monotonic() < end:
            for login in [login for login in self._logins if login.is_typing()]:
                self._close(login)
            self._go_round_until(min(end, time.monotonic() + ERROR_SECONDS))
        self._close_all()

    def _go_round_until(self, end: float) -> None:
        while self._logins and time.monotonic() < end:
            self._seconds = end - time.monotonic()
            self._do_round(lambda: None)

    def _close_all(self) -> None:
        """Cut off people who are still typing: they have to log in again."""
        for login in list(self._logins):
            self._close(login)
        self._away(self._shared.kept.close, lambda *_: None)

    # A round

    def _do_round(self, look_round: Callable[[], float | None]) -> None:
        try:
            self._wait(self._seconds)
            self._seconds = look_round()
            # From here on nothing is received: so what is looked at is as its sender left it.
            self._shared.kept.look_again()
            self._work()
        except Exception as error:  # no memory, say; if this thread ended, who would lead?
            embedding.report("service", error)
            time.sleep(ERROR_SECONDS)

    def _wait(self, seconds: float | None) -> None:
        """Wait until there is something to do, and take all packets that have come."""
        is_called = False
        for key, _ in self._selector.select(self._wait_at_most(seconds)):
            if key.data is not None:
                self._receive(key.data)
            elif key.fileobj is self._listener:
                is_called = True
            else:
                self._read_wakes()
        if is_called:
            self._take_connections()

    def _work(self) -> None:
        while self._inbox:
            self._hear(*self._inbox.popleft())
        self._go_on_with_what_is_done()
        now = time.monotonic()
        self._try_again(now)
        self._give_up(now)
        while self._critical:
            self._judge()
            self._go_on_with_what_is_done()
        self._hash_next()  # after them: of somebody whom they throttle, nothing is hashed
        quiet = self._shared.kept.next_quiet_work()
        if quiet is not None and now >= quiet:
            self._away(lambda: self._shared.kept.tidy(now), lambda *_: None)
            self.wake()  # for a round that says what is open now

    def _wait_at_most(self, seconds: float | None) -> float | None:
        """Return the seconds until something is due; None: nothing is, until somebody comes."""
        is_hash_due = self._to_hash and self._hashes_for is None
        if self._inbox or self._done or self._again or self._critical or is_hash_due:
            return 0.0
        ends = [self._deadlines.next(), self._shared.kept.next_quiet_work()]
        ends += [at for at, _, _ in self._later]
        ends += [self._pauses[0][0]] if self._pauses else []
        ends += [self._deaf_until] if self._deaf_until else []
        now = time.monotonic()
        waits = [max(end - now, 0.0) for end in ends if end is not None]
        return min(waits + ([] if seconds is None else [max(seconds, 0.0)]), default=None)

    def _read_wakes(self) -> None:
        try:
            woken_by = os.read(self._woken, 4096)
        except BlockingIOError:
            return
        if signal.SIGTERM in woken_by or signal.SIGINT in woken_by:  # signal.set_wakeup_fd()
            self.is_stopping = True

    # Connections

    def _listen(self) -> None:
        if not self._is_listening:
            self._listener.settimeout(0)
            self._selector.register(self._listener, selectors.EVENT_READ)
            self._is_listening = True

    def _take_connections(self) -> None:
        for _ in range(MAX_TAKEN):
            try:
                connection, _ = self._listener.accept()
                peer = worker.peer_of(connection)
                connection.settimeout(0)
            except BlockingIOError:
                return
            except (OSError, MemoryError) as error:  # who waits in the queue waits longer
                problem = getattr(error, "strerror", None) or type(error).__name__
                worker.log_error(f"cannot take a connection: {problem}")
                self._selector.unregister(self._listener)
                self._is_listening = False
                self._deaf_until = time.monotonic() + RETRY_SECONDS
                return
            login = Login(connection, peer)
            self._logins.add(login)
            reason = self.crowd.enter(peer)
            if self.is_stopping:
                reason = "this worker is about to end"
            if reason:
                worker.refuse(connection, peer, reason, log=self.crowd.is_news(peer))
                self._close(login)
                continue
            try:
                self._wait_for_packet(login, peer.request_seconds())
                self._receive(login)  # it is there already, as a rule
            except BaseException:  # no memory to hear it with
                self._close(login)
                raise

    def _receive(self, login: Login) -> None:
        """Take what it sends, if something was asked: what comes too early is left for later."""
        waits_for = login.waits_for
        if waits_for is None:
            self._ignore(login)
            return
        try:
            packet = login.socket.recv(wire.MAX_PACKET + 1)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        self._deadlines.remove(login, login.limit)
        login.waits_for = None
        self._inbox.append((login, waits_for, packet))

    def _wait_for_packet(self, login: Login, seconds: float) -> None:
        if not login.is_heard:
            self._selector.register(login.socket, selectors.EVENT_READ, login)
            login.is_heard = True
        login.limit = seconds
        self._deadlines.add(login, seconds, time.monotonic())

    def _ignore(self, login: Login) -> None:
        """Hear nothing of it while something else is done for it."""
        if login.is_heard:
            self._selector.unregister(login.socket)
            login.is_heard = False

    def _hear(self, login: Login, waits_for: Callable[..., object], packet: bytes) -> None:
        if login.flow is None:
            self._begin(login, packet)
            return
        try:
            answer = waits_for(heard(packet))
        except ConversationFailed as problem:
            self._conversation_failed(login, waits_for, problem)
        else:
            self._advance(login, answer, None)

    def _conversation_failed(
        self, login: Login, waits_for: object, problem: ConversationFailed
    ) -> None:
        """A message that cannot be shown changes nothing about the login."""
        if waits_for is told_by:
            self._advance(login, NOT_TOLD, None)
        else:
            self._advance(login, None, problem)

    def _give_up(self, now: float) -> None:
        """Give up those who have said nothing for too long, and forget those who were to wait."""
        for login in self._deadlines.expired(now):
            if login.flow is None:
                worker.log_of(login.peer, "no request came: timed out")
                self._close(login)
                continue
            waits_for, login.waits_for = login.waits_for, None
            self._conversation_failed(login, waits_for, LoginAborted("conversation", TOO_LONG))
        while self._pauses and self._pauses[0][0] <= now:
            self.crowd.leave(self._pauses.popleft()[1])
        if self._deaf_until and self._deaf_until <= now:
            self._deaf_until = 0.0
            self._listen()

    def _refuse(self, login: Login, error: PamTotpError) -> None:
        self._ignore(login)
        worker.refuse(login.socket, login.peer, str(error), hint=error.hint, log=True)

    def _close(self, login: Login) -> None:
        if login not in self._logins:
            return
        self._ignore(login)
        self._deadlines.remove(login, login.limit)
        self._logins.discard(login)
        login.socket.close()
        if login.driver is not None:
            login.driver.leave_place()
        self.last_used = time.monotonic()
        if login.peer.is_trusted():
            self.crowd.leave(login.peer)
        else:
            self._pauses.append((self.last_used + PAUSE_SECONDS, login.peer))

    # Logins

    def _begin(self, login: Login, packet: bytes) -> None:
        if not packet:  # a login that was cut off
            self._close(login)
            return
        try:
            asked = wire.parse_request(packet)
            login.driver = KeptDriver(self._shared, asked)
            login.flow = self._admission(login, asked)
        except PamTotpError as error:
            self._refuse(login, error)
            self._close(login)
        except Exception as unexpected:
            self._break_off(login, unexpected)
        else:
            self._advance(login, None, None)

    def _admission(self, login: Login, asked: wire.RequestPacket) -> Flow[Request | None]:
        """Return the login's request if its peer may ask and its files can be seen; else None."""
        try:
            if self._is_sandboxed:
                yield Step("check_name_services", (), {})
            if not login.peer.is_trusted():
                asked = yield Step("admit", (login.peer, asked), {})
                login.driver = KeptDriver(self._shared, asked)
            if self._is_sandboxed:
                yield Step("check_files", (), {})
        except PamTotpError as error:
            self._refuse(login, error)
            return None
        login.is_admitted = True
        return request_of(asked)

    def _advance(self, login: Login, value: object, error: BaseException | None) -> None:
        """Have a login go on with what came of its step, up to what it has to wait for."""
        assert login.flow is not None
        while True:
            try:
                step = login.flow.send(value) if error is None else login.flow.throw(error)
            except StopIteration as ended:
                if not isinstance(ended.value, Request):
                    self._end(login, ended.value)
                    return
                login.service = ended.value.service
                login.flow = flow.login(ended.value)  # instead of the other: thousands may wait
                value, error = None, None
                continue
            except BaseException as unexpected:  # SystemExit and KeyboardInterrupt too: fail closed
                self._break_off(login, unexpected)
                return
            try:
                outcome = self._perform(login, step)
            except Exception as unexpected:
                self._break_off(login, unexpected)
                return
            if outcome is None:
                return
            value, error = outcome

    def _end(self, login: Login, result: object) -> None:
        """End a login with what its flow returned."""
        if not login.is_admitted:
            self._finish(login, None)
            return
        try:
            code = worker.code_of(result)
        except TypeError as unexpected:
            self._break_off(login, unexpected)
        else:
            self._finish(login, code)

    def _break_off(self, login: Login, unexpected: BaseException) -> None:
        """Deny it; where it has not begun, say nothing: a module of root starts a worker then."""
        embedding.report(login.service, unexpected)
        self._finish(login, flow.PAM_SERVICE_ERR if login.is_admitted else None)

    def _finish(self, login: Login, code: int | None) -> None:
        """End a login with the result ``code``; None: it has been refused."""
        if code is not None:
            worker.send_result(login.socket, login.peer, code)
        self._close(login)

    # Steps

    def _perform(self, login: Login, step: Step) -> Outcome | None:
        """Return what came of it, or None: the login goes on when something has."""
        name, driver = step.name, login.driver
        assert driver is not None
        if name in ON_THE_DISK:
            return self._on_the_disk(login, step)
        if name in BY_THE_PERSON:
            return self._say(login, step)
        if name in TOGETHER:
            if name in USES_UP and self._is_gone(login):
                return None, LoginAborted("conversation", GONE)
            if driver.fleet_to_ask() is not None:
                return self._ask_fleet(login, step)
            self._critical.append((login, step))
            return None
        if name in AT_ONCE:
            return _outcome_of(lambda: steps.perform(step, driver))
        if name in IN_TURN:
            if driver.fleet_to_ask() is not None:
                return self._ask_fleet(login, step._replace(name=IN_TURN[name]))
            self._ignore(login)
            self._to_hash.append((time.monotonic(), login, step, None))
            return None
        assert name in BY_A_HELPER
        helpers = self._directory if name == "admit" else self._helpers
        return self._have_done(helpers, login, step, lambda: steps.perform(step, driver))

    def _is_gone(self, login: Login) -> bool:
        """Tell whether the module has given up waiting: nothing is used up for nobody then."""
        try:
            return login.socket.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _on_the_disk(self, login: Login, step: Step) -> Outcome | None:
        driver = login.driver
        quick = getattr(driver, ON_THE_DISK[step.name])
        value, error = self._away(
            lambda: quick(*step.arguments, **step.options),
            lambda value, error: self._done.append((login, step, value, error)),
        )
        return self._unless_busy(login, step, value, error)

    def _say(self, login: Login, step: Step) -> Outcome | None:
        make, understand = SAID[step.name]
        try:
            login.socket.send(make(*step.arguments, **step.options))
        except OSError:
            if understand is not told_by:
                return None, LoginAborted("conversation", GONE)
            return NOT_TOLD, None
        login.has_spoken = True
        login.waits_for = understand
        self._wait_for_packet(login, ANSWER_SECONDS)
        return None

    def _have_done(
        self, helpers: Helpers, login: Login, step: Step, work: Callable[[], object]
    ) -> Outcome | None:
        """Have a helper do ``work``, which is what ``step`` needs."""
        self._ignore(login)

        def do() -> None:
            self._done.append((login, step, *_outcome_of(work)))
            self.wake()

        if helpers is self._directory and helpers.are_stuck(DIRECTORY_SECONDS):
            hint = "look at: getent passwd; cat /etc/nsswitch.conf"
            problem = Unavailable("directory", "it answers none of many questions", hint)
            return self._turn_away(login, problem)
        try:
            helpers.do(do)
        except RuntimeError:
            hint = "look at the limits of pam_totp.service"
            problem = Unavailable("service", "no thread could be started", hint)
            return self._turn_away(login, problem)
        return None

    def _ask_fleet(self, login: Login, step: Step) -> Outcome | None:
        """Have a helper of the fleet ask the database.

        Where none is left, this host answers alone, by another helper, or denies early.
        """
        driver = login.driver
        assert driver is not None
        kept = driver.fleet_to_ask()
        assert kept is not None
        helpers = kept.helpers
        if kept.is_stuck():
            if not kept.kit.may_answer:
                return None, kept.too_slow()
            driver.give_up_on_fleet()
            helpers = self._helpers
        driver.hand_over(login.has_waited)
        return self._have_done(helpers, login, step, lambda: steps.perform(step, driver))

    def _turn_away(self, login: Login, problem: Unavailable) -> Outcome | None:
        """Have a module of root start a worker of its own, where it has heard nothing so far."""
        if login.has_spoken:
            return None, problem
        self._refuse(login, problem)
        self._close(login)
        return None

    def _go_on_with_what_is_done(self) -> None:
        while self._done:
            self._go_on(*self._done.popleft())

    def _go_on(self, login: Login, step: Step, value: object, error: BaseException | None) -> None:
        """Go on with what came of ``step`` meanwhile."""
        if login is self._hashes_for:  # only now: the next one is hashed after this one is judged
            self._hashes_for = None
        if step.name in PREPARED and error is None:  # by a helper of a fleet
            of_login = step._replace(name=PREPARED[step.name])
            work = cast("Callable[[], object]", value)
            self._to_hash.append((time.monotonic(), login, of_login, work))
            return
        outcome = self._unless_busy(login, step, value, error)
        if outcome is not None:
            self._advance(login, *outcome)

    # What has to be tried again

    def _unless_busy(
        self, login: Login, step: Step, value: object, error: BaseException | None
    ) -> Outcome | None:
        """Return what came of ``step``; None: it is tried again, or by a helper."""
        if isinstance(error, OfTheFleet):
            return self._ask_fleet(login, step)
        if isinstance(error, Elsewhere):
            work = functools.partial(steps.perform, step, login.driver)
            return self._have_done(self._directory, login, step, work)
        if not isinstance(error, (InUse, StoreBusy)):
            if login.pause:
                login.has_waited += time.monotonic() - login.waits_since
                login.pause = 0.0
            return value, error
        now = time.monotonic()
        if not login.pause:
            login.pause, login.waits_since = FIRST_PAUSE, now
        has_waited = login.has_waited + now - login.waits_since
        if isinstance(error, InUse):
            login.for_a_disk = has_waited
        elif has_waited - login.for_a_disk >= BUSY_SECONDS:
            return value, error
        if has_waited >= PATIENCE:
            return value, error
        self._ignore(login)
        self._later.append((now + login.pause, login, step))
        longest = LONGEST_FOR_A_DISK if isinstance(error, InUse) else LONGEST_PAUSE
        login.pause = min(2 * login.pause, longest)
        return None

    def _try_again(self, now: float) -> None:
        due = [(login, step) for at, login, step in self._later if at <= now]
        self._later = [entry for entry in self._later if entry[0] > now]
        self._again.extend(due)
        while self._again:
            login, step = self._again.popleft()
            outcome = self._perform(login, step)
            if outcome is not None:
                self._advance(login, *outcome)

    # Recovery codes: one is hashed at a time

    def _hash_next(self) -> None:
        while self._to_hash and self._hashes_for is None:
            since, login, step, work = self._to_hash.popleft()
            if time.monotonic() - since > hashing.PATIENCE:
                self._go_on(login, step, None, hashing.too_many())
            else:
                self._hash(login, step, work)

    def _hash(self, login: Login, step: Step, work: object) -> None:
        """Have a helper hash, if it is still worth it: that is known only now.

        A fleet was asked before: nobody else's turn is to wait for its answer.
        """
        if work is None:
            prepare = step._replace(name=IN_TURN[step.name])
            work, error = self._away(
                lambda: steps.perform(prepare, login.driver),
                lambda *_: self._done.append((login, step, None, in_use("store"))),
            )
            if error is not None:
                self._go_on(login, step, None, error)
                return

        self._hashes_for = login
        is_under_way = False
        try:
            hashed = cast("Callable[[], object]", work)
            outcome = self._have_done(self._hasher, login, step, hashed)
            is_under_way = outcome is None and login in self._logins
        finally:
            if not is_under_way:
                self._hashes_for = None
        if outcome is not None:
            self._advance(login, *outcome)

    # Critical sections

    def _judge(self) -> None:
        """Judge what waits for the store of the first one, in one transaction."""
        kept = _store_of(self._critical[0][0])
        jobs: list[tuple[Login, Step]] = []
        others: deque[tuple[Login, Step]] = deque()
        for job in self._critical:
            is_one_of_them = len(jobs) < MAX_BATCH and _store_of(job[0]) is kept
            (jobs if is_one_of_them else others).append(job)
        self._critical = others
        ask = self._shared.kept.asking(kept)

        def judged() -> list[tuple[Login, Step, object, BaseException | None]]:
            try:
                return batch.judge(jobs, ask)
            except BaseException as error:  # which nobody foresaw: none of them is left waiting
                return [(login, step, None, error) for login, step in jobs]

        done, _ = self._away(judged, lambda done, _: self._done.extend(done or ()))
        self._done.extend(done or ())


def _store_of(login: Login) -> KeptStore:
    assert login.driver is not None
    return login.driver.store()


def _outcome_of(work: Callable[[], object]) -> Outcome:
    try:
        return work(), None
    except BaseException as error:
        return None, error
