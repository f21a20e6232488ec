"""Answers chat completions: media are resolved, the engine is asked, tokens are charged."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

from overshoot_flow.errors import ServiceError
from overshoot_flow.local.accounts import Account
from overshoot_flow.local.api_errors import ApiError
from overshoot_flow.local.engines.base import EngineAnswer, Question, SeenFrame
from overshoot_flow.local.inference import CHARACTERS_PER_TOKEN, capped
from overshoot_flow.local.leased_stream import rfc3339
from overshoot_flow.local.models import Models
from overshoot_flow.local.stream import Surroundings
from overshoot_flow.local.v1.answers import Completion
from overshoot_flow.local.v1.chat_request import ChatQuestion, Media
from overshoot_flow.local.v1.errors import (
    chat_error,
    upstream_error,
    upstream_failed,
    upstream_refused,
    wrong_region,
)
from overshoot_flow.local.v1.faults import ChatFaults
from overshoot_flow.local.v1.inline_media import decode_data_url
from overshoot_flow.local.v1.prompt_cache import PromptCache
from overshoot_flow.local.v1.streams import V1Streams
from overshoot_flow.model_limits import tokens_of_frame
from overshoot_flow.protocol.v1_chat import TokenUsage
from overshoot_flow.protocol.v1_models import MICROCENTS_PER_CENT
from overshoot_flow.protocol.v1_uri import FrameReference

_MIN_SEGMENT_FRAMES: Final = 2
_MAX_REMEMBERED: Final = 10_000
_MODEL_NOT_KNOWN: Final = 422

_logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class ChatRecord:
    """A request as `GET /_local/chats` shows it."""

    at_s: float
    generation: str
    region: str
    status: int = 0
    code: str | None = None
    model: str | None = None
    prompt: str | None = None
    media: tuple[str, ...] = ()
    frames: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    usage: dict[str, int] = field(default_factory=dict)

    def report(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "at": rfc3339(self.at_s),
            "api": self.generation,
            "region": self.region,
            "status": self.status,
            "code": self.code,
            "model": self.model,
            "prompt": self.prompt,
            "media": list(self.media),
            "frames": self.frames,
            "facts": self.facts,
            "usage": self.usage,
        }


class Chat:
    """Everything behind `POST /chat/completions`.

    Args:
        surroundings: What all streams share.
        streams: The streams that references lead to.
        models: The models.
    """

    def __init__(self, surroundings: Surroundings, streams: V1Streams, models: Models) -> None:
        self._surroundings = surroundings
        self._config = surroundings.config.v1
        self._streams = streams
        self._models = models
        self._cache = PromptCache()
        self.faults = ChatFaults()
        self._records: deque[ChatRecord] = deque(maxlen=_MAX_REMEMBERED)

    def report(self) -> list[dict[str, Any]]:
        """What `GET /_local/chats` shows."""
        return [record.report() for record in self._records]

    def note(self, generation: str, region: str) -> ChatRecord:
        """Begin the record of a request."""
        now_s = self._surroundings.clock.now_s()
        record = ChatRecord(at_s=now_s, generation=generation, region=region)
        self._records.append(record)
        return record

    async def answer(
        self, account: Account, question: ChatQuestion, record: ChatRecord
    ) -> Completion:
        """Answer `question`; charge `account` for it.

        Raises:
            V1Error: As the contract has it.
        """
        record.model, record.prompt = question.model, question.prompt
        record.media = tuple(media.described() for media in question.media)
        self.faults.meet(record.region)
        if account.credits_cents <= 0:
            raise chat_error(402, "billing_denied", "the account has no credit left", "billing")
        frames = await self._frames(account, question, record.region)
        record.frames = len(frames)
        answer = await self._ask(question, frames)
        record.facts = dict(answer.facts)
        completion = self._completion(account, question, frames, answer)
        record.usage = completion.usage | {"cached_input_tokens": completion.cached_input_tokens}
        account.charge(self._cost_cents(completion))
        return completion

    async def _frames(
        self, account: Account, question: ChatQuestion, region: str
    ) -> list[SeenFrame]:
        for stream_id in question.stream_ids:
            self._check_stream(account, stream_id, region)
        has_video = any(media.kind == "video" for media in question.media)
        if has_video and question.model in self._config.image_only_models:
            raise chat_error(
                400, "model_video_unsupported", f"{question.model} takes images and no video"
            )
        frames: list[SeenFrame] = []
        for media in question.media:
            found = await self._resolve(media)
            if media.kind == "video" and len(found) < _MIN_SEGMENT_FRAMES:
                raise upstream_refused("a video needs at least 2 frames")
            frames += found
        allowed = self._config.max_frames_per_request
        if len(frames) > allowed:
            raise upstream_refused(f"{len(frames)} frames in one request, at most {allowed}")
        return frames

    def _check_stream(self, account: Account, stream_id: str, region: str) -> None:
        stream = self._streams.living_by_id(stream_id)
        if stream is None:
            raise chat_error(404, "stream_not_found", "there is no such stream, or it has ended")
        if stream.account is not account:
            raise chat_error(403, "stream_unauthorized", "the stream belongs to another account")
        if stream.region != region:
            raise wrong_region(stream.region, region)

    async def _resolve(self, media: Media) -> list[SeenFrame]:
        now_s = self._surroundings.clock.now_s()
        reference = media.reference
        if reference is None:
            return await asyncio.get_running_loop().run_in_executor(
                self._surroundings.executor,
                decode_data_url,
                media.data_url,
                media.kind,
                self._config.max_frames_per_request,
                now_s,
            )
        stream = self._streams.living_by_id(reference.stream_id)
        if stream is None:
            # It ended while an earlier part of the same request was decoded.
            raise chat_error(404, "stream_not_found", "the stream has ended")
        if isinstance(reference, FrameReference):
            return [stream.frames.frame(reference, now_s)]
        return stream.frames.segment(reference, now_s)

    async def _ask(self, question: ChatQuestion, frames: list[SeenFrame]) -> EngineAnswer:
        try:
            engine = await self._models.engine(question.model)
        except ApiError as error:
            status = 404 if error.status == _MODEL_NOT_KNOWN else error.status
            raise chat_error(status, "model_unavailable", error.message) from None
        faults = self._surroundings.model_faults
        stream_id = question.stream_ids[0] if question.stream_ids else ""
        await asyncio.sleep(faults.delay_s(stream_id))
        if not frames:
            return EngineAnswer("There is no picture to answer about.")
        try:
            answer = await asyncio.get_running_loop().run_in_executor(
                self._surroundings.executor,
                engine.answer,
                frames,
                Question(
                    question.prompt,
                    question.output_schema,
                    model=question.model,
                    earlier=question.earlier,
                    max_output_tokens=question.max_completion_tokens,
                ),
            )
        except ServiceError as failure:
            raise upstream_error(failure) from None
        except Exception as failure:
            # An engine is somebody else's code, and a model's failure is data to the client.
            _logger.warning("engine %s failed", engine.name, exc_info=True)
            raise upstream_failed(f"{type(failure).__name__}: {failure}") from None
        fault, answer = faults.distort(stream_id, answer)
        if fault is not None:
            raise upstream_failed(fault)
        return answer

    def _completion(
        self,
        account: Account,
        question: ChatQuestion,
        frames: list[SeenFrame],
        answer: EngineAnswer,
    ) -> Completion:
        answer = capped(answer, question.max_completion_tokens)
        thread_id = question.thread_id or str(uuid.uuid4())
        cached = self._cache.cached_characters(id(account), thread_id, question.context)
        usage = answer.usage or _usage(question, frames, answer.text, cached)
        return Completion(
            id=f"chatcmpl-{uuid.uuid4().hex}",
            created_s=int(self._surroundings.clock.now_s()),
            model=question.model,
            text=answer.text,
            finish_reason=answer.finish_reason,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            thread_id=thread_id,
            cached_input_tokens=usage.cached_input_tokens,
        )

    def _cost_cents(self, completion: Completion) -> float:
        fresh = completion.prompt_tokens - completion.cached_input_tokens
        microcents = (
            fresh * self._config.input_microcents_per_token
            + completion.cached_input_tokens * self._config.cached_input_microcents_per_token
            + completion.completion_tokens * self._config.output_microcents_per_token
        )
        return microcents / MICROCENTS_PER_CENT


def _usage(
    question: ChatQuestion, frames: list[SeenFrame], text: str, cached_characters: int
) -> TokenUsage:
    """Estimate the tokens of an answer whose engine does not count them."""
    picture_tokens = sum(tokens_of_frame(one.image.width, one.image.height) for one in frames)
    return TokenUsage(
        prompt_tokens=_tokens(question.context) + _tokens(question.prompt) + picture_tokens,
        completion_tokens=_tokens(text),
        cached_input_tokens=cached_characters // CHARACTERS_PER_TOKEN,
    )


def _tokens(text: str) -> int:
    return -(-len(text) // CHARACTERS_PER_TOKEN)
