"""Which region serves which stream, as far as the service has told. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

MAX_REMEMBERED: Final = 1_000
"""Streams whose region is remembered; the one learned longest ago is forgotten, and told again."""


class Regions:
    """Remembers regions by stream."""

    def __init__(self) -> None:
        self._by_stream: OrderedDict[str, str] = OrderedDict()

    def of(self, stream_ids: Sequence[str]) -> str | None:
        """Return the region for a request about these streams; None leaves it to the service."""
        known = (self._by_stream.get(stream_id) for stream_id in stream_ids)
        return next((region for region in known if region is not None), None)

    def learn(self, stream_ids: Sequence[str], region: str) -> None:
        """Note that `region` serves these streams."""
        for stream_id in stream_ids:
            self._by_stream[stream_id] = region
            self._by_stream.move_to_end(stream_id)
        while len(self._by_stream) > MAX_REMEMBERED:
            self._by_stream.popitem(last=False)

    def forget(self, stream_id: str) -> None:
        """Note that the stream is gone."""
        self._by_stream.pop(stream_id, None)
