"""The streams that a server has: the limits of new ones, look-up, and the end of all."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final, Generic, TypeVar

from overshoot_flow.local.accounts import Account
from overshoot_flow.local.api_errors import (
    out_of_credit,
    server_stopping,
    stream_not_found,
    too_many_streams,
)
from overshoot_flow.local.leased_stream import LeasedStream
from overshoot_flow.local.owned_tasks import OwnedTasks
from overshoot_flow.local.sources import Source

_MAX_REMEMBERED_STREAMS: Final = 200
"""Ended streams that are remembered; the oldest are forgotten."""

StreamT = TypeVar("StreamT", bound=LeasedStream)
SourceT = TypeVar("SourceT", bound=Source)


class StreamRegistry(Generic[StreamT, SourceT]):
    """Owner of the streams of one generation of the API, each with what brings its pictures.

    Args:
        max_streams_per_key: How many an account may have at once, of all generations together.
    """

    def __init__(self, max_streams_per_key: int) -> None:
        self._max_streams_per_key = max_streams_per_key
        self._live: dict[str, tuple[StreamT, SourceT]] = {}
        self._ended: deque[StreamT] = deque(maxlen=_MAX_REMEMBERED_STREAMS)
        self._tasks = OwnedTasks()
        self._stopping = False

    def _reserve(self, stream: StreamT) -> None:
        """Take a slot of the account for a new stream, which gives it back when it ends.

        Raises:
            ApiError: 402 without credit, 429 when the key has no slot left, 503 when the server
                stops.
        """
        account = stream.account
        if self._stopping:
            raise server_stopping()
        if account.credits_cents <= 0:
            raise out_of_credit()
        if len(account.streams) >= self._max_streams_per_key:
            raise too_many_streams(self._max_streams_per_key)
        account.streams.add(stream.id)

    def _begin(self, stream: StreamT, source: SourceT) -> None:
        """Let `stream` live; it closes `source` at its end."""
        stream.close_source = source.close
        self._live[stream.id] = (stream, source)
        self._tasks.start(self._run(stream), f"stream {stream.id}")

    def find(self, account: Account, stream_id: str) -> StreamT:
        """Return the account's living stream.

        Raises:
            ApiError: 404.
        """
        stream = self.living_by_id(stream_id)
        if stream is None or stream.account is not account:
            raise stream_not_found()
        return stream

    def living_by_id(self, stream_id: str) -> StreamT | None:
        """Return a living stream, whoever's it is, or None."""
        entry = self._live.get(stream_id)
        return None if entry is None or entry[0].end_reason is not None else entry[0]

    def all(self) -> list[StreamT]:
        """Every stream that is remembered, the newest last."""
        return [*self._ended, *(stream for stream, _ in self._live.values())]

    def living(self) -> list[StreamT]:
        """Every stream that has not ended."""
        return [stream for stream, _ in self._live.values() if stream.end_reason is None]

    def report(self) -> list[dict[str, Any]]:
        """What `GET /_local/streams` shows."""
        return [stream.report() for stream in self.all()]

    async def close_all(self) -> None:
        """End every stream and wait until all is closed."""
        self._stopping = True
        streams = [stream for stream, _ in self._live.values()]
        for stream in streams:
            stream.end("server_stopped")
        await asyncio.gather(*(stream.closed.wait() for stream in streams))
        await self._tasks.stop()

    def _source(self, stream: StreamT) -> SourceT | None:
        entry = self._live.get(stream.id)
        return None if entry is None else entry[1]

    async def _run(self, stream: StreamT) -> None:
        try:
            await stream.run()
        finally:
            del self._live[stream.id]
            self._ended.append(stream)
