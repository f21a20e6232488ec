"""The thread of one camera, and those whose place it takes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable

from overshoot_flow.timer_slack import EXACT_US, set_timer_slack
from overshoot_flow_connectors.rtsp_interrupt import interruptible


class CameraThread:
    """A thread that never has a session with a camera while an older one may still have it.

    Args:
        name: The camera.
        address: What two threads must not be connected to at the same time.
        run: What the thread does, until `stopping` is set.
        predecessors: Threads that were started and told to end; those of the same address are
            waited for.

    Attributes:
        address: See above.
        stopping: Set when the thread shall end; it ends PyAV's network calls too.
    """

    def __init__(
        self,
        name: str,
        address: Hashable,
        run: Callable[[], None],
        predecessors: Iterable[CameraThread] = (),
    ) -> None:
        self.address = address
        self._work = run
        self._predecessors = list(predecessors)
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"camera {name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._thread.is_alive()

    def join(self) -> None:
        """Wait until it has ended."""
        self._thread.join()

    def forget_ended(self) -> None:
        """Let go of predecessors that have ended."""
        if self._predecessors:
            self._predecessors = [each for each in self._predecessors if each.is_alive]

    def with_predecessors(self) -> list[CameraThread]:
        """Return those before this thread that have not ended, and this one."""
        self.forget_ended()
        return [*self._predecessors, self]

    def close(self) -> None:
        """End this thread and those before it, and wait for them."""
        threads = self.with_predecessors()
        for each in threads:
            each.stopping.set()
        for each in threads:
            each.join()
        self._predecessors = []

    def _await_predecessors(self) -> None:
        for each in list(self._predecessors):
            if each.address == self.address:
                each.join()

    def _run(self) -> None:
        # The engine's thread, which starts this one, may be woken late.
        set_timer_slack(EXACT_US)
        self._await_predecessors()
        with interruptible(self.stopping):
            self._work()
