"""When a receiver of encoded video can follow, and how long it had to wait for a key frame."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFrameStatistics:
    """Key frames asked for by the far side.

    A demuxer cannot make a key frame, so every request waits for the camera's next one.

    Attributes:
        requests: How often the far side has asked.
        waits: How many times a wait has ended; several requests may share one.
        waited_s: Sum of all waits that have ended.
        longest_wait_s: The longest of them.
        waiting_since_s: Monotonic time since which a request is unserved, or None.
    """

    requests: int = 0
    waits: int = 0
    waited_s: float = 0.0
    longest_wait_s: float = 0.0
    waiting_since_s: float | None = None


class KeyFrameGate:
    """Says which access units a receiver can follow.

    Attributes:
        is_closed: Whether only a key frame is of use: nothing was shown yet, or the connection
            was made anew.
    """

    def __init__(self) -> None:
        self.is_closed = True
        self._requests = 0
        self._waits = 0
        self._waited_s = 0.0
        self._longest_wait_s = 0.0
        self._waiting_since_s: float | None = None

    @property
    def statistics(self) -> KeyFrameStatistics:
        """What was counted so far."""
        return KeyFrameStatistics(
            requests=self._requests,
            waits=self._waits,
            waited_s=self._waited_s,
            longest_wait_s=self._longest_wait_s,
            waiting_since_s=self._waiting_since_s,
        )

    def close(self) -> None:
        """The receiver has lost what it had."""
        self.is_closed = True

    def requested(self, now_s: float) -> None:
        """The far side asks for a key frame."""
        self._requests += 1
        if self._waiting_since_s is None:
            self._waiting_since_s = now_s

    def published(self, now_s: float, *, is_keyframe: bool) -> None:
        """An access unit was handed to the sender.

        Raises:
            RuntimeError: The receiver cannot follow it: a defect of the caller.
        """
        if not is_keyframe:
            if self.is_closed:
                msg = "wait for a key frame"
                raise RuntimeError(msg)
            return
        self.is_closed = False
        if self._waiting_since_s is not None:
            wait_s = now_s - self._waiting_since_s
            self._waiting_since_s = None
            self._waits += 1
            self._waited_s += wait_s
            self._longest_wait_s = max(self._longest_wait_s, wait_s)
