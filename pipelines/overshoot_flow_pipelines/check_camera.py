"""Watches one camera for a few seconds."""

from __future__ import annotations

import struct
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from overshoot_flow.errors import ConfigurationError, MediaError
from overshoot_flow.media.sampling import US_PER_S
from overshoot_flow_connectors.fleet_model import CameraAddress, FleetCamera
from overshoot_flow_pipelines.check_facts import CameraFacts, CameraObservation, PictureFacts

_PRODUCER_TIME: Final = struct.Struct("<qi")  # AVProducerReferenceTime: µs of UTC, flags
_NS_PER_US: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckLimits:
    """How long a check may take.

    Args:
        timeout_s: Bound of connecting, of every wait for a picture, and of asking a service.
        watch_s: How long a camera is watched at most. Sender reports come every 5 to 7.5 s.

    Raises:
        ConfigurationError: A bound is not above 0 and at most an hour.
    """

    timeout_s: float = 10.0
    watch_s: float = 10.0

    def __post_init__(self) -> None:
        """Check the bounds."""
        for name in ("timeout_s", "watch_s"):
            if not 0 < getattr(self, name) <= 3600:  # noqa: PLR2004 - an hour
                raise ConfigurationError(f"{name} must be above 0 and at most 3600 seconds")


def watch_camera(
    camera: FleetCamera, limits: CheckLimits, stopping: threading.Event
) -> CameraFacts:
    """Connect to a camera, watch it, and leave; blocks.

    It takes at most `watch_s` and about four times `timeout_s`: FFmpeg notices late, after more
    than twice the time-out, that a camera fell silent.

    Args:
        camera: The camera.
        limits: Bounds.
        stopping: Set when nobody waits for the answer any more.

    Raises:
        MediaError: The camera cannot be watched; the text has no secret.
    """
    failure: MediaError | None = None
    with closing(_open(camera.address, limits.timeout_s)) as container:
        if not container.streams.video:
            raise MediaError("it sends no video")
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        watch = _Watch(stream)
        until_s = time.monotonic() + limits.watch_s
        try:
            for packet in container.demux(stream):
                watch.take(packet)
                if watch.is_enough or stopping.is_set() or time.monotonic() > until_s:
                    break
        except av.error.ExitError:
            failure = MediaError(f"no picture came for {limits.timeout_s:g} s")
        except (av.error.FFmpegError, OSError) as error:
            failure = _translated(error)
        if failure is None:
            return watch.facts(has_mask=bool(camera.mask))
    raise failure


class _Watch:
    """One session's pictures."""

    def __init__(self, stream: VideoStream) -> None:
        self._stream = stream
        self._observation = CameraObservation()
        self._size: tuple[int, int] | None = None

    @property
    def is_enough(self) -> bool:
        return self._size is not None and self._observation.is_enough

    def take(self, packet: Packet[VideoStream]) -> None:
        if packet.size == 0:
            return
        report = bytes(packet.get_sidedata("prft") or b"")
        has_report = len(report) >= _PRODUCER_TIME.size
        pts_us = None
        if packet.pts is not None and packet.time_base is not None:
            pts_us = int(packet.pts * packet.time_base * US_PER_S)
        self._observation.take(
            PictureFacts(
                pts_us=pts_us,
                arrival_us=time.time_ns() // _NS_PER_US,
                ntp_us=_PRODUCER_TIME.unpack_from(report)[0] if has_report else None,
                is_key_frame=packet.is_keyframe,
            )
        )
        if self._size is None:
            self._decode(packet)

    def _decode(self, packet: Packet[VideoStream]) -> None:
        try:
            for frame in packet.decode():
                self._size = (frame.width, frame.height)
        except av.error.FFmpegError:
            # A session may begin in the middle of a GOP; whether any picture can be decoded is
            # judged in the end.
            return

    def facts(self, *, has_mask: bool) -> CameraFacts:
        if self._size is None:
            raise MediaError("none of its pictures can be decoded")
        context = self._stream.codec_context
        return self._observation.facts(
            codec=context.codec.canonical_name,
            width=self._size[0],
            height=self._size[1],
            announces_b_frames=bool(context.has_b_frames),
            has_mask=has_mask,
        )


def _open(address: CameraAddress, timeout_s: float) -> InputContainer:
    options = {
        "rtsp_transport": "udp" if address.transport == "udp" else "tcp",
        "allowed_media_types": "video",
        # Without these FFmpeg reads ahead for seconds, and arrival times would be wrong.
        "analyzeduration": "1",
        "probesize": "32",
    }
    begun_s = time.monotonic()
    try:
        return av.open(
            address.secret_url().reveal(), options=options, timeout=(timeout_s, timeout_s)
        )
    except (av.error.FFmpegError, OSError) as error:
        is_silent = time.monotonic() - begun_s >= timeout_s
        failure = (
            MediaError(f"it does not answer within {timeout_s:g} s")
            if is_silent
            else _translated(error)
        )
    # Raised outside, so that the original, whose text has the password, is not its context.
    raise failure


def _translated(error: Exception) -> MediaError:
    """Say what happened without the URL, which PyAV's texts contain with its password."""
    if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
        return MediaError("it refuses the user name or the password")
    if isinstance(error, av.error.HTTPNotFoundError):
        return MediaError("it has no stream of this path")
    reason = getattr(error, "strerror", None) or type(error).__name__
    return MediaError(f"it cannot be watched: {reason}")
