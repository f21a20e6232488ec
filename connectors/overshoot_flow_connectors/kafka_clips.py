"""A Kafka topic of requests for clips as a Bytewax source."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta

from bytewax.inputs import FixedPartitionedSource
from confluent_kafka import Consumer
from pyarrow.fs import FileSystem

from overshoot_flow.errors import ConfigurationError, RequestsError
from overshoot_flow.flow.items import Item
from overshoot_flow.flow.partition import ReaderState, Turnstile
from overshoot_flow.media.media_object import Media
from overshoot_flow.media.reader import FrameReader
from overshoot_flow.media.sampling import EveryFrame, SamplingPlan
from overshoot_flow_connectors.clip_media import ClipMedia
from overshoot_flow_connectors.file import DEFAULT_CONCURRENT, check_reading
from overshoot_flow_connectors.file_paths import PathSpec
from overshoot_flow_connectors.kafka_clip_partition import KafkaClipPartition
from overshoot_flow_connectors.kafka_counters import REQUEST_COUNTERS
from overshoot_flow_connectors.kafka_requests import RequestPartition
from overshoot_flow_connectors.kafka_settings import (
    FORBIDDEN_TO_SOURCES,
    KafkaSettings,
    SettingValue,
)
from overshoot_flow_connectors.kafka_topics import Topics, check_topic_names
from overshoot_flow_connectors.kafka_waiting import DEFAULT_MAX_OUTAGE, REQUESTS, Waiting


class KafkaClipSource(FixedPartitionedSource[Item, ReaderState]):
    """Reads the clips that a topic's records ask for, see `clip_request`.

    Every partition of the topic is one of the engine's. A clip is a stream of its own; its key is
    `<topic>-<partition>-<offset>`, its source the video with the clip's time as a media fragment,
    such as `/videos/gate.mp4#t=3,9.5`. Media time is the video's; windows begin at the clip's
    start. What is asked about the same clip of the same video has the same `result_id` in v1,
    whatever request it came by, and a whole video has those that `FileSource` gives.

    A record that is no request, and a video that is not there, become a gap with the reason
    `request`, which names topic, partition and offset.

    Positions are part of the run's state: no consumer group is joined and nothing is committed.
    A run that goes on after a crash reads every request once, and asks about exactly the media
    whose outcomes were not emitted in a finished epoch.

    Args:
        bootstrap: Brokers to begin with, `host:port[,host:port…]`.
        topic: The topic.
        sample: Which pictures are looked at, as for `FileSource`: of a clip those of them that
            begin in it.
        max_height: Largest height of a frame in pixels, or None for the video's own.
        concurrent: How many clips are read at once in one process; others are not taken yet.
        within: Folders, or URLs of folders, that the videos must lie in. Without it whoever
            writes into the topic may have any video asked about that this process can read.
        store: The object store of all URLs; None to open each by its URL.
        stop_at_end: Read up to where the topic ends when this part of the run begins; otherwise
            follow it for ever.
        read_committed: Leave out the records of open and of aborted transactions.
        settings: Further settings of librdkafka, such as `security.protocol`; secrets as `Secret`.
        max_outage: How long the source waits for a broker that is away.

    Attributes:
        concurrent: As given.
        streams_per_partition: How many streams one partition may have at once.

    Raises:
        ConfigurationError: A value is out of range, or librdkafka refuses a setting. In the flow:
            the topic is missing.
        RequestsError: In the flow: the broker refuses, is away for too long, or has lost what was
            read.
        StorageError: In the flow: an object store cannot be reached.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        *,
        sample: SamplingPlan | None = None,
        max_height: int | None = None,
        concurrent: int = DEFAULT_CONCURRENT,
        within: PathSpec | Sequence[PathSpec] | None = None,
        store: FileSystem | None = None,
        stop_at_end: bool = False,
        read_committed: bool = True,
        settings: Mapping[str, SettingValue] | None = None,
        max_outage: timedelta = DEFAULT_MAX_OUTAGE,
    ) -> None:
        check_reading(max_height, concurrent)
        check_topic_names([topic])
        if max_outage <= timedelta(0):
            raise ConfigurationError("max_outage must be above 0")
        self._topic = topic
        self._plan: SamplingPlan = EveryFrame() if sample is None else sample
        self._max_height = max_height
        self.concurrent = self.streams_per_partition = concurrent
        self._turnstile = Turnstile(concurrent)
        self._media = ClipMedia(within, store)
        self._stop_at_end = stop_at_end
        self._read_committed = read_committed
        self._settings = KafkaSettings(bootstrap, settings or {}, FORBIDDEN_TO_SOURCES)
        self._max_outage_s = max_outage.total_seconds()
        # librdkafka checks names, values and files of settings when it makes a client.
        self._settings.make(Consumer, self._settings.for_consumer()).close()
        self._lock = threading.Lock()
        self._known: tuple[str, tuple[int, ...]] | None = None

    def list_parts(self) -> list[str]:
        """Return the names of the topic's partitions; asks the broker once.

        Raises:
            ConfigurationError: There is no such topic.
            RequestsError: The broker cannot be reached.
        """
        return [self._key(number) for number in self._topic_facts()[1]]

    def identities(self) -> dict[str, str]:
        """Return what stands behind the names; a topic that was made anew is another one."""
        topic_id, numbers = self._topic_facts()
        about = f"of the topic {self._topic} with the id {topic_id}"
        return {self._key(number): f"partition {number} {about}" for number in numbers}

    def build_part(
        self,
        step_id: str,
        for_part: str,
        resume_state: ReaderState | None,
    ) -> KafkaClipPartition:
        """Connect to one partition; clips are begun with its activations.

        Raises:
            ConfigurationError: The recovery state is of something else.
            RequestsError: The broker cannot be reached, or has lost what was read.
        """
        number = int(for_part.rpartition("-")[2])
        counters = REQUEST_COUNTERS.of((step_id, self._topic, number))
        waiting = self._waiting()
        counters.follow_waits(waiting.facts)

        def open_requests(offset: int | None) -> RequestPartition:
            return RequestPartition(
                self._settings,
                waiting,
                self._topic,
                number,
                offset=offset,
                read_committed=self._read_committed,
                stop_at_end=self._stop_at_end,
            )

        return KafkaClipPartition(
            self._topic,
            number,
            open_requests,
            media=self._media,
            open_frames=self._open_frames,
            turnstile=self._turnstile,
            counters=counters,
            state=resume_state,
        )

    def _open_frames(
        self, media: Media, stream_key: str, source: str, start_us: int, end_us: int | None
    ) -> FrameReader:
        return FrameReader(
            media,
            self._plan,
            stream_key=stream_key,
            source=source,
            max_height=self._max_height,
            start_us=start_us,
            until_us=end_us,
        )

    def _key(self, number: int) -> str:
        return f"{self._topic}-{number}"

    def _topic_facts(self) -> tuple[str, tuple[int, ...]]:
        """Return the topic's id and the numbers of its partitions."""
        with self._lock:
            if self._known is None:
                self._known = Topics(self._settings, self._waiting()).describe(self._topic)
            return self._known

    def _waiting(self) -> Waiting:
        return Waiting(self._settings, self._max_outage_s, REQUESTS, RequestsError)
