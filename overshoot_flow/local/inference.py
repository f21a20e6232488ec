"""The inference clock of one stream: when to look, at what, and what to send."""

from __future__ import annotations

import asyncio
import logging
import math
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import Any, Final

from overshoot_flow.local.clock import SteadyClock
from overshoot_flow.local.engines.base import (
    Engine,
    EngineAnswer,
    FinishReason,
    Question,
    SeenFrame,
)
from overshoot_flow.local.faults import ModelFaults
from overshoot_flow.local.ring import FrameRing
from overshoot_flow.local.stream_request import StreamRequest

CHARACTERS_PER_TOKEN: Final = 4
"""A rule of thumb, good enough to make long answers end with `length`."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One result before it is sent. `message` is the contract's result message."""

    message: Mapping[str, Any]
    facts: Mapping[str, Any]


def next_tick_s(first_s: float, period_s: float, now_s: float) -> float:
    """Return the first moment after `now_s` on the grid `first_s + k * period_s`, k >= 1.

    Ticks that passed while the engine was busy are thereby skipped, never queued.
    """
    return first_s + period_s * max(1, math.floor((now_s - first_s) / period_s) + 1)


def cut(text: str, max_output_tokens: int) -> tuple[str, FinishReason]:
    """Cut `text` at the token cap; say whether that happened."""
    allowed = max_output_tokens * CHARACTERS_PER_TOKEN
    return (text[:allowed], "length") if len(text) > allowed else (text, "stop")


def capped(answer: EngineAnswer, max_output_tokens: int | None) -> EngineAnswer:
    """Cut `answer` at the token cap, unless its engine counts tokens and so kept to it."""
    if max_output_tokens is None or answer.usage is not None:
        return answer
    text, cap_says = cut(answer.text, max_output_tokens)
    finish_reason = cap_says if cap_says == "length" else answer.finish_reason
    return replace(answer, text=text, finish_reason=finish_reason)


@dataclass(slots=True, kw_only=True)
class InferenceClock:
    """Asks the engine about the newest window, on the stream's clock, one answer at a time.

    Args:
        stream_id: Id of the stream.
        request: What the stream was created for.
        engine: Who answers.
        ring: The pictures.
        clock: The server's clock.
        executor: Where the engine runs.
        faults: Faults that tests ordered.
        deliver: Takes each answer.
        prompt: The question; a new one counts from the next tick on.
    """

    stream_id: str
    request: StreamRequest
    engine: Engine
    ring: FrameRing
    clock: SteadyClock
    executor: Executor
    faults: ModelFaults
    deliver: Callable[[Answer], None]
    prompt: str
    ticks_skipped: int = 0
    first_frame_s: float | None = None
    _started: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self, first_frame_s: float) -> None:
        """Let the clock run from the first picture's arrival on."""
        if self.first_frame_s is None:
            self.first_frame_s = first_frame_s
            self._started.set()

    async def run(self) -> None:
        """Answer until cancelled."""
        await self._started.wait()
        first_s = self.first_frame_s or self.clock.now_s()
        period_s = self.request.period_s
        tick_s = first_s + period_s
        while True:
            await asyncio.sleep(max(0.0, tick_s - self.clock.now_s()))
            self.deliver(await self._answer())
            following_s = next_tick_s(first_s, period_s, self.clock.now_s())
            self.ticks_skipped += max(0, round((following_s - tick_s) / period_s) - 1)
            tick_s = following_s

    async def _answer(self) -> Answer:
        window_end_s = self.clock.now_s()
        frames = self.ring.window(self.request.clip_length_s, window_end_s)
        prompt = self.prompt
        started_s = time.perf_counter()
        error: str | None = None
        try:
            answer = await self._ask(frames, prompt)
        except Exception as failure:
            # An engine is somebody else's code, and a model's failure is data to the client.
            _logger.warning("engine %s failed", self.engine.name, exc_info=True)
            error = f"{type(failure).__name__}: {failure}"
            answer = EngineAnswer(text="")
        latency_s = time.perf_counter() - started_s
        if error is None:
            error, answer = self.faults.distort(self.stream_id, answer)
        answer = capped(answer, self.request.max_output_tokens)
        message = {
            "id": str(uuid.uuid4()),
            "stream_id": self.stream_id,
            "mode": self.request.mode,
            "model_backend": self.request.backend,
            "model_name": self.request.model,
            "prompt": prompt,
            "result": answer.text if error is None else "",
            "inference_latency_ms": latency_s * 1000,
            "total_latency_ms": (self.clock.now_s() - window_end_s) * 1000,
            "ok": error is None,
            "error": error,
            "finish_reason": answer.finish_reason if error is None else None,
        }
        return Answer(message=message, facts=answer.facts)

    async def _ask(self, frames: list[SeenFrame], prompt: str) -> EngineAnswer:
        delay_s = self.faults.delay_s(self.stream_id)
        if delay_s:
            await asyncio.sleep(delay_s)
        question = Question(
            prompt,
            self.request.output_schema,
            model=self.request.model,
            max_output_tokens=self.request.max_output_tokens,
        )
        return await asyncio.get_running_loop().run_in_executor(
            self.executor, self.engine.answer, frames, question
        )
