"""The clips that one partition of a topic asks for, as a partition of the engine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bytewax.inputs import StatefulSourcePartition

from overshoot_flow.errors import ConfigurationError, MediaError
from overshoot_flow.flow.items import Item, MediaGap, StreamOver, Tick
from overshoot_flow.flow.partition import Reader, ReaderPartition, ReaderState, Turnstile
from overshoot_flow.flow.stopping import STOP
from overshoot_flow.media.media_object import Media
from overshoot_flow.media.reader import FrameReader
from overshoot_flow.results import GapReason
from overshoot_flow.session.ledger import LEDGER, Account
from overshoot_flow.spending import Spending
from overshoot_flow_connectors.clip_media import ClipMedia, media_identity
from overshoot_flow_connectors.clip_reader import ClipReader, NoVideo
from overshoot_flow_connectors.clip_request import BadRequest, ClipRequest, parse_request
from overshoot_flow_connectors.file_identity import difference
from overshoot_flow_connectors.kafka_counters import RequestsCounters
from overshoot_flow_connectors.kafka_requests import Asked, RequestPartition

STATE_VERSION: Final = 1
_AWAKE_INTERVAL: Final = timedelta(milliseconds=15)
_IDLE_INTERVAL: Final = timedelta(milliseconds=100)

_logger = logging.getLogger(__name__)

OpenFrames = Callable[[Media, str, str, int, int | None], FrameReader]
"""Opens a reader: media, stream key, source, start and end in µs of media time."""


@dataclass(slots=True)
class _Clip:
    """A clip that is worked on.

    Attributes:
        asked: The request.
        refused: Why it is none, or None.
        partition: Emits its items.
    """

    asked: Asked
    refused: str | None
    partition: ReaderPartition

    def to_state(self) -> dict[str, Any]:
        return {
            "value": self.asked.value,
            "until": self.asked.until,
            "refused": self.refused,
            "reader": self.partition.snapshot(),
        }


class KafkaClipPartition(StatefulSourcePartition[Item, ReaderState]):
    """Emits the clips of one partition's requests, several at once, each under its own stream key.

    The state is the next offset, and of every clip that is not complete its request and how far
    it has come; so a request is read from Kafka once, and may be gone there when it is gone on
    with. When a session gives up, no further requests are taken: the partition ends, and the next
    part of the run goes on with that clip.

    Args:
        topic: Name of the topic.
        number: Number of the partition.
        open_requests: Opens the partition at an offset, None for the oldest.
        media: Finds the videos.
        open_frames: Opens their readers.
        turnstile: Bounds how many clips of the process are read at once.
        counters: Where it counts.
        state: What `snapshot` returned in the part of the run before, or None.

    Raises:
        ConfigurationError: The state is of another version, or of another kind of source.
        RequestsError: The cluster cannot be reached, or records that were read are gone.
        StorageError: The object store of a clip that is gone on with cannot be reached.
    """

    def __init__(
        self,
        topic: str,
        number: int,
        open_requests: Callable[[int | None], RequestPartition],
        *,
        media: ClipMedia,
        open_frames: OpenFrames,
        turnstile: Turnstile,
        counters: RequestsCounters,
        state: ReaderState | None,
    ) -> None:
        self._name = f"{topic}-{number}"
        self._place = f"topic {topic}, partition {number}"
        self._media = media
        self._open_frames = open_frames
        self._turnstile = turnstile
        self._counters = counters
        self._clips: dict[int, _Clip] = {}
        self._left: dict[int, dict[str, Any]] = {}
        self._has_given_up = False
        self._epoch_has_tick = False
        if state is not None and state.get("clips") != STATE_VERSION:
            raise ConfigurationError(
                f"the recovery state of {self._name!r} is not of requests for clips, or of another "
                "version of this library: finish the run with what began it, or begin anew with an "
                "empty state folder and an empty output"
            )
        self._spent_cents = 0.0 if state is None else float(state["spent_cents"])
        self._requests = open_requests(None if state is None else state["offset"])
        # What was spent on complete clips counts for the run's budget. Topics have no colon.
        self._account = Account(f"requests:{self._name}", spending=Spending(self._spent_cents))
        LEDGER.open(self._account)
        opened: Mapping[int, dict[str, Any]] = {} if state is None else state["open"]
        try:
            for offset, saved in opened.items():
                self._begin(Asked(offset, saved["value"], saved["until"]), saved)
        except BaseException:
            self.close()
            raise

    def next_batch(self) -> list[Item]:
        """Return what the clips emit; the end comes when nothing more is to be taken."""
        self._account.take()
        if self._takes_more and not any(
            clip.partition.waits_for_its_turn for clip in self._clips.values()
        ):
            asked = self._requests.poll()
            if asked is not None:
                self._begin(asked)
                self._count(asked)
        items: list[Item] = []
        for offset, clip in list(self._clips.items()):
            part = clip.partition
            if part.given_up and not self._has_given_up:
                self._has_given_up = True
                _logger.error(
                    "%s-%s: given up, so no more requests of %s are taken; the next part of the "
                    "run goes on with it",
                    self._name,
                    offset,
                    self._place,
                )
            if self._has_given_up and part.waits_for_its_turn:
                items.append(self._take_leave(offset, clip, is_left=True))
                continue
            try:
                items += part.next_batch()
            except StopIteration:
                items.append(self._take_leave(offset, clip, is_left=part.is_left))
        if not self._epoch_has_tick:
            # Sinks end an epoch with what comes to them, so something must.
            self._epoch_has_tick = True
            self._counters.lag = self._requests.lag()
            items.append(Tick(stream_key=self._account.stream_key, frames_emitted=0, pieces=()))
        if not items and not self._clips and not self._takes_more:
            raise StopIteration
        return items

    @property
    def _takes_more(self) -> bool:
        return not (STOP.is_set() or self._has_given_up or self._requests.exhausted)

    def _count(self, asked: Asked) -> None:
        if asked.until is None:
            self._counters.taken += 1
            self._counters.refused += self._clips[asked.offset].refused is not None
        else:
            self._counters.lost += asked.until - asked.offset

    def _begin(self, asked: Asked, saved: Mapping[str, Any] | None = None) -> None:
        key = f"{self._name}-{asked.offset}"
        state = None if saved is None else saved["reader"]
        refused = None if saved is None else saved["refused"]
        request = self._request(asked)
        if refused is None and isinstance(request, BadRequest):
            refused = request.detail
        found: tuple[Media, dict[str, Any]] | None = None
        changed: str | None = None
        if refused is None and isinstance(request, ClipRequest):
            try:
                found = self._find(request)
            except ConfigurationError as error:
                if state is None:
                    refused = str(error)
                else:
                    changed = str(error)
        if found is not None and state is not None:
            changed = difference(state["identity"], found[1])
        why = None
        if refused is not None:
            why = (GapReason.REQUEST, f"{self._place}, offset {asked.offset}: {refused}")
        elif changed is not None:
            why = (GapReason.SOURCE_CHANGED, f"{self._place}, offset {asked.offset}: {changed}")
        clip = request if isinstance(request, ClipRequest) else ClipRequest(uri="")
        source = f"{found[0]}{clip.fragment}" if found else f"kafka:{self._name}-{asked.offset}"

        def open_reader(start_us: int) -> Reader:
            if found is None:
                msg = "what is refused is not read"
                raise RuntimeError(msg)
            return self._open(found[0], clip, start_us, key=key, source=source, asked=asked)

        identity = {} if found is None else found[1]
        self._clips[asked.offset] = _Clip(
            asked,
            refused,
            ReaderPartition(
                key,
                source,
                open_reader,
                self._turnstile,
                identity=identity if state is None else state["identity"],
                state=state,
                refused=why,
                start_us=clip.start_us,
                end_us=clip.end_us,
                labels=dict(clip.labels),
            ),
        )

    def _request(self, asked: Asked) -> ClipRequest | BadRequest:
        if asked.until is None:
            return parse_request(asked.value)
        return BadRequest(
            f"the requests from here up to offset {asked.until - 1} are lost: Kafka had deleted "
            "them before they were read; lengthen the topic's retention, and ask again"
        )

    def _find(self, request: ClipRequest) -> tuple[Media, dict[str, Any]]:
        media = self._media.find(request.uri)
        identity = dict(media_identity(media))
        if not request.is_whole:
            # The windows of a clip are others than those of the video, or of another clip.
            identity |= {"start_us": request.start_us, "end_us": request.end_us}
        return media, identity

    def _open(
        self,
        media: Media,
        clip: ClipRequest,
        start_us: int,
        *,
        key: str,
        source: str,
        asked: Asked,
    ) -> Reader:
        def nothing(detail: str) -> MediaGap:
            return MediaGap(
                stream_key=key,
                source=source,
                start_us=start_us,
                end_us=max(start_us + 1, clip.end_us or 0),
                reason=GapReason.REQUEST,
                detail=f"{self._place}, offset {asked.offset}: {detail}",
            )

        try:
            reader = self._open_frames(media, key, source, start_us, clip.end_us)
        except MediaError as error:
            return NoVideo(nothing(str(error)))
        if start_us > clip.start_us:
            return ClipReader(reader, None)
        return ClipReader(reader, nothing(f"{media} has no picture to look at in the clip"))

    def _take_leave(self, offset: int, clip: _Clip, *, is_left: bool) -> StreamOver:
        del self._clips[offset]
        part = clip.partition
        key = f"{self._name}-{offset}"
        if is_left:
            self._left[offset] = clip.to_state()
        else:
            self._spent_cents += part.spent_cents
        part.close()
        LEDGER.forget(key)
        return StreamOver(stream_key=key)

    def next_awake(self) -> datetime:
        """Ask to be activated again shortly: requests and answers come at any time."""
        return datetime.now(UTC) + (_AWAKE_INTERVAL if self._clips else _IDLE_INTERVAL)

    def snapshot(self) -> ReaderState:
        """Return the next offset, and the clips that are not complete."""
        self._epoch_has_tick = False
        spent_cents = self._spent_cents
        opened = dict(self._left)
        for offset, clip in self._clips.items():
            saved = clip.to_state()
            if clip.partition.is_complete:
                spent_cents += clip.partition.spent_cents
            else:
                opened[offset] = saved
        return {
            "clips": STATE_VERSION,
            "offset": self._requests.offset,
            "open": opened,
            "spent_cents": spent_cents,
        }

    def close(self) -> None:
        """Stop reading; sessions that still run are cancelled and their streams deleted."""
        for clip in self._clips.values():
            clip.partition.close()
        self._clips.clear()
        LEDGER.close(self._account)
        self._requests.close()
