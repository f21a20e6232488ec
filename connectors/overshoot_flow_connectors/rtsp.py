"""RTSP cameras as a Bytewax source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from bytewax.inputs import FixedPartitionedSource

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow.items import Item
from overshoot_flow.flow.live_partition import LivePartition
from overshoot_flow.flow.partition import ReaderState
from overshoot_flow.media.sampling import EveryFrame, SamplingPlan
from overshoot_flow.session.clock import SteadyUtc, SystemClock
from overshoot_flow_connectors.rtsp_address import Camera, Transport
from overshoot_flow_connectors.rtsp_reader import RtspReader
from overshoot_flow_connectors.rtsp_settings import CameraStatus, RtspSettings

__all__ = ["Camera", "CameraStatus", "RtspSettings", "RtspSource", "Transport"]

CameraSpec: TypeAlias = Camera | str


class RtspSource(FixedPartitionedSource[Item, ReaderState]):
    """Watches cameras, one partition each, and emits their newest pictures.

    An H.264 camera without B-frames is not decoded: its pictures are emitted as access units, all
    of them, for `infer` to publish as they are. Whatever needs pixels makes all pictures come as
    decoded frames instead: `sample`, `max_height` or `freeze_timeout_s`, and `map_frames` or
    `filter_frames` behind the source. `statuses()` says what is done, and why.

    All cameras are connected to at the same time, each by a thread of its own that never gives
    up; one that is dead holds up nothing. Frames and gaps cover the time of every camera from the
    start of the run to its end: outages, stalls, drops and crashes are `MediaGap` items, and rows
    after `infer`. The source ends with the run (SIGTERM), never by itself.

    Media time (`pts_us`) is µs since the camera's first start in the run; it only grows, over
    reconnections and restarts too. Capture time is UTC by the camera's sender reports
    (`capture_basis` is `ntp`), else by arrival (`arrival`).

    Args:
        cameras: A URL or a `Camera`, or a sequence of these.
        sample: Which pictures are decoded and looked at; `FramesPerSecond(2)`, `Keyframes()`,
            `EveryFrame()`. The grid is laid on media time. By default all pictures, without
            decoding where possible: that costs least, and the service picks from what it gets.
        settings: Time-outs, reconnection, bounds.

    Attributes:
        cameras: The cameras, in order.
        plan: Which pictures are decoded, or None where none has to be.

    Raises:
        ConfigurationError: No camera, a name or an address that is there twice, or a URL that is
            none of a camera.
    """

    def __init__(
        self,
        cameras: CameraSpec | Sequence[CameraSpec],
        *,
        sample: SamplingPlan | None = None,
        settings: RtspSettings | None = None,
    ) -> None:
        given = [cameras] if isinstance(cameras, str | Camera) else list(cameras)
        self.cameras = [each if isinstance(each, Camera) else Camera(url=each) for each in given]
        _check(self.cameras)
        self.plan = sample
        self._settings = settings or RtspSettings()
        self._by_name = {camera.name: camera for camera in self.cameras}
        self._readers: dict[str, RtspReader] = {}

    def list_parts(self) -> list[str]:
        """Return the names of the cameras."""
        return list(self._by_name)

    def decode_always(self) -> None:
        """Emit frames only; `map_frames` and `filter_frames` ask for it."""
        self.plan = self.plan or EveryFrame()

    def statuses(self) -> Mapping[str, CameraStatus]:
        """Return how the cameras of this process are doing, by name; any thread may ask."""
        return {name: reader.status for name, reader in list(self._readers.items())}

    def build_part(
        self,
        step_id: str,  # noqa: ARG002 - the engine's signature
        for_part: str,
        resume_state: ReaderState | None,
    ) -> LivePartition:
        """Build the partition of one camera; its thread starts with its first activation.

        Raises:
            ConfigurationError: The recovery state is of something else.
        """
        camera = self._by_name[for_part]
        clock = SteadyUtc(SystemClock())

        def open_reader(start_us: int, anchor_us: int) -> RtspReader:
            reader = RtspReader(
                camera,
                self.plan,
                self._settings,
                clock=clock,
                start_us=start_us,
                anchor_us=anchor_us,
            )
            self._readers[for_part] = reader
            return reader

        return LivePartition(for_part, camera.url, open_reader, clock=clock, state=resume_state)


def _check(cameras: Sequence[Camera]) -> None:
    if not cameras:
        raise ConfigurationError("no camera: give at least one rtsp:// URL")
    twice = [name for name, count in Counter(each.name for each in cameras).items() if count > 1]
    if twice:
        raise ConfigurationError(f"several cameras are called {twice[0]!r}: name each differently")
    by_address: dict[tuple[str, object], str] = {}
    for camera in cameras:
        other = by_address.setdefault((camera.url, camera.query), camera.name)
        if other != camera.name:
            # Many cameras take few sessions; two questions about one share its frames.
            raise ConfigurationError(
                f"cameras {other!r} and {camera.name!r} have the same address: name it once, and "
                "feed its frames to several infer steps"
            )
