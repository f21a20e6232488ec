"""One question after another about a window, until there is an answer or no hope for one."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from overshoot_flow.config import Service
from overshoot_flow.errors import OvershootFlowError, RateLimitError, ServiceError
from overshoot_flow.inference import Inference
from overshoot_flow.protocol.retry import Backoff
from overshoot_flow.protocol.v1_chat import ChatAnswer, ChatRequest, Exchange
from overshoot_flow.protocol.v1_errors import EndRun, GiveUpWindow, ReplaceStream, decide
from overshoot_flow.results import FailureReason
from overshoot_flow.schema.json_schema import Rejected
from overshoot_flow.session.clock import Clock
from overshoot_flow.session.v1_access import V1Access
from overshoot_flow.session.window_job import WindowJob
from overshoot_flow.transport.http_v1 import Asked

_BACKOFF_S: Final = (0.5, 10.0)

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OverBudget:
    """Nothing was asked: the budget allows no further question."""


Reply: TypeAlias = ChatAnswer | Rejected | OverBudget


@dataclass(slots=True)
class Conversation:
    """Asks about the windows of one stream.

    Args:
        stream_key: The stream; streams take turns.
        service: Where it is asked, and for how long.
        access: The service's client and limiter.
        may_ask: Says whether the budget allows one more question.
        clock: Time.
    """

    stream_key: str
    service: Service
    access: V1Access
    may_ask: Callable[[], bool]
    clock: Clock
    _backoff: Backoff = field(init=False)

    def __post_init__(self) -> None:
        """Jitter differs between streams."""
        self._backoff = Backoff(*_BACKOFF_S, random=random.Random())  # noqa: S311 - jitter

    async def ask(
        self, job: WindowJob, inference: Inference, history: Sequence[Exchange] = ()
    ) -> Reply:
        """Ask `inference` about the window of `job`.

        What may be mended by waiting is asked again until the service's `window_deadline_s`.

        Raises:
            ServiceError: The stream is lost, or no question can be answered.
            ConfigurationError: A single frame is too much for the model.
        """
        request = self._request(job, inference, history)
        begun_s: float | None = None
        attempt = 0
        while True:
            await self.access.limiter.turn(self.stream_key, again=attempt > 0)
            now_s = self.clock.monotonic_s()
            begun_s = now_s if begun_s is None else begun_s
            if job.expires_at_s is not None and now_s >= job.expires_at_s:
                self.access.limiter.not_sent()
                return Rejected(
                    FailureReason.EXPIRED, "the service has forgotten the window's frames"
                )
            if not self.may_ask():
                self.access.limiter.not_sent()
                return OverBudget()
            attempt += 1
            reply = await self._once(request)
            if isinstance(reply, ChatAnswer | Rejected):
                return reply
            asked_s = reply.retry_after_s if isinstance(reply, ServiceError) else None
            pause_s = self._backoff.pause_s(attempt, asked_s)
            if self.clock.monotonic_s() + pause_s - begun_s > self.service.window_deadline_s:
                return Rejected(FailureReason.DEADLINE, f"no answer after {attempt} tries: {reply}")
            _logger.info("%s: asked again in %.1f s: %s", self.stream_key, pause_s, reply)
            await asyncio.sleep(pause_s)

    async def _once(self, request: ChatRequest) -> ChatAnswer | Rejected | OvershootFlowError:
        """Send the question; return the answer, its final refusal, or what time may mend."""
        try:
            asked = await self.access.http.ask(request)
        except BaseException:
            # It may have been counted.
            self.access.limiter.answered(None)
            raise
        self._end_turn(asked)
        error = asked.outcome
        if isinstance(error, ChatAnswer):
            return error
        match decide(error):
            case GiveUpWindow():
                return Rejected(FailureReason.REFUSED, str(error))
            case ReplaceStream() | EndRun():
                raise error
            case _:
                return error

    def _end_turn(self, asked: Asked) -> None:
        limiter = self.access.limiter
        if isinstance(asked.outcome, RateLimitError):
            limiter.limited(asked.rate, asked.outcome.retry_after_s)
        else:
            limiter.answered(asked.rate)

    def _request(
        self, job: WindowJob, inference: Inference, history: Sequence[Exchange]
    ) -> ChatRequest:
        return ChatRequest(
            model=inference.model,
            prompt=inference.prompt,
            media=tuple(job.show(inference)),
            system=inference.system,
            history=tuple(history),
            output_schema=inference.json_schema,
            schema_mode=inference.schema_mode,
            max_completion_tokens=inference.max_output_tokens,
            thread_id=self._thread_id(inference) if inference.prompt_cache else None,
        )

    def _thread_id(self, inference: Inference) -> str:
        # The name of a camera is nobody's business there.
        about = f"{self.stream_key}\n{inference.prompt_version}"
        return f"flow-{hashlib.sha256(about.encode()).hexdigest()[:24]}"
