"""One window that is to be asked about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from overshoot_flow.inference import Inference
from overshoot_flow.protocol.v1_chat import ChatAnswer, MediaPart
from overshoot_flow.protocol.windows import Window
from overshoot_flow.session.outcomes import Delivery, PendingFrame

ShowTo: TypeAlias = Callable[[Inference], Sequence[MediaPart]]
"""Makes the media of a question, within the limits of the model that is asked.

It may be called again, for another model. A `ConfigurationError` from it ends the session."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WindowJob:
    """A window, and the frames that are settled with its answer.

    Every published frame is settled with exactly one window: that in whose stride it lies. So the
    windows of a stream, in order, settle all frames in order.

    Attributes:
        window: The stretch; the last one of a medium has its true length.
        seen: The frames that the model is shown, oldest first.
        settles: The frames that are settled with it, oldest first: those of the window and those
            after it that no window looks at, up to where the next window begins.
        frames_covered: How many of `settles` lie in the window.
        until_us: Media time up to which everything is finished with this window.
        show: Makes the media of the question.
        said: The first question's answer where it is known already; only the second one is asked.
        stream_id: The stream that has the frames, or None if they travel in the question.
        expires_at_s: Monotonic time at which the service forgets its first frame, or None.
        uncertainty_us: How exactly it is known which frames the service has for it.
        delivery: What the sender had counted.
    """

    window: Window
    seen: tuple[PendingFrame, ...]
    settles: tuple[PendingFrame, ...]
    frames_covered: int
    until_us: int
    show: ShowTo
    said: ChatAnswer | None = None
    stream_id: str | None = None
    expires_at_s: float | None = None
    uncertainty_us: int = 0
    delivery: Delivery = field(default_factory=Delivery)
