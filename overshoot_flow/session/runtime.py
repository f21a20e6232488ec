"""One asyncio thread per process that runs all sessions."""

from __future__ import annotations

import asyncio
import atexit
import logging
import threading
from collections.abc import Mapping
from typing import Final

from overshoot_flow.assignment import Assignment
from overshoot_flow.errors import OvershootFlowError
from overshoot_flow.log_context import log_context
from overshoot_flow.session.clients import Clients
from overshoot_flow.session.clock import SystemClock
from overshoot_flow.session.inbox import Inbox
from overshoot_flow.session.ledger import Account
from overshoot_flow.session.session import Session
from overshoot_flow.session.slot_pool import SlotPool
from overshoot_flow.session.status import STATUSES, SessionStatus
from overshoot_flow.timer_slack import EXACT_US, set_timer_slack
from overshoot_flow.transport.departures import DEPARTURES
from overshoot_flow.transport.native_threads import give_up_real_time
from overshoot_flow.transport.rooms_left import ROOMS_LEFT

SHUTDOWN_TIMEOUT_S: Final = 12.0
_DEPARTURES_TIMEOUT_S: Final = 2.0
_TENDING_INTERVAL_S: Final = 0.5
"""WebRTC starts threads whenever a track is published or an encoder changes."""

_logger = logging.getLogger(__name__)


class Runtime:
    """Owns the event loop's thread and the task of every session.

    The thread starts with the first session. At the end of the process every session still open
    is cancelled, which deletes its stream; `SIGTERM` without a handler ends Python before that,
    so programs use `overshoot_flow.flow.run`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tasks: dict[Session, asyncio.Task[None]] = {}
        self._clients = Clients(SystemClock())
        self._slots = SlotPool(SystemClock())
        self.failures: dict[str, OvershootFlowError] = {}

    def open_session(
        self,
        *,
        step_id: str,
        source: str,
        account: Account,
        assignment: Assignment,
        reassignable: bool = False,
    ) -> Session:
        """Attach a new session to `account` and start it; callable from any thread."""
        loop = self._started_loop()
        account.attach(step_id)
        session = Session(
            step_id=step_id,
            source=source,
            account=account,
            inbox=Inbox(loop),
            assignment=assignment,
            reassignable=reassignable,
            slots=self._slots,
            clients=self._clients,
            clock=SystemClock(),
        )
        loop.call_soon_threadsafe(self._start, session)
        return session

    def begin_run(self) -> None:
        """Forget what held for the run before alone."""
        self._slots.begin_run()

    def statuses(self) -> Mapping[tuple[str, str], SessionStatus]:
        """Return how the sessions are doing, ended ones too, by step id and stream key."""
        return STATUSES.all()

    def cancel(self, stream_key: str) -> None:
        """Cancel the sessions of a stream key; their streams are deleted."""
        with self._lock:
            loop = self._loop
        if loop is not None:
            loop.call_soon_threadsafe(self._cancel, stream_key)

    def _start(self, session: Session) -> None:
        with log_context(camera=session.stream_key, step=session.step_id):
            task = asyncio.get_running_loop().create_task(
                session.run(), name=f"session-{session.stream_key}"
            )
        self._tasks[session] = task
        task.add_done_callback(lambda done: self._session_done(session, done))

    def _cancel(self, stream_key: str) -> None:
        for session, task in self._tasks.items():
            if session.stream_key == stream_key:
                _cancel_once(task)

    def shutdown(self) -> None:
        """Cancel every session, wait until their streams are deleted, end the thread."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        done = asyncio.run_coroutine_threadsafe(self._cancel_all(), loop)
        try:
            done.result(SHUTDOWN_TIMEOUT_S)
        except TimeoutError:
            _logger.exception("sessions did not end in time; their streams end with their leases")
        loop.call_soon_threadsafe(loop.stop)
        thread.join(SHUTDOWN_TIMEOUT_S)

    def _started_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._loop.call_soon(_tend_process, self._loop)
                self._thread = threading.Thread(
                    target=_run_loop, args=(self._loop,), name="overshoot-runtime", daemon=True
                )
                self._thread.start()
                atexit.register(self.shutdown)
            return self._loop

    async def _cancel_all(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            _cancel_once(task)
        await asyncio.gather(*tasks, return_exceptions=True)
        await DEPARTURES.end(_DEPARTURES_TIMEOUT_S)
        await self._clients.aclose()

    def _session_done(self, session: Session, done: asyncio.Task[None]) -> None:
        if session.failure is not None:
            self.failures[session.stream_key] = session.failure
        if not done.cancelled() and (error := done.exception()) is not None:
            _logger.error(
                "defect in the session of %s",
                session.stream_key,
                exc_info=error,
                extra={"camera": session.stream_key, "step": session.step_id},
            )
            self.failures[session.stream_key] = OvershootFlowError(f"defect: {error!r}")
        del self._tasks[session]


def _cancel_once(task: asyncio.Task[None]) -> None:
    """A second cancellation would interrupt the teardown that the first one began."""
    if not task.cancelling():
        task.cancel()


def _tend_process(loop: asyncio.AbstractEventLoop) -> None:
    give_up_real_time()
    ROOMS_LEFT.free_if_many()
    loop.call_later(_TENDING_INTERVAL_S, _tend_process, loop)


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    # The engine's thread, which starts this one, may be woken late; what paces pictures, not.
    set_timer_slack(EXACT_US)
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


RUNTIME: Final = Runtime()
"""The process's runtime."""
