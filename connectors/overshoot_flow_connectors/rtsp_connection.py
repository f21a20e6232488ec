"""One RTSP session with a camera: its packets, with the times at which they came."""

from __future__ import annotations

import errno
import struct
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard
from av.video.stream import VideoStream

from overshoot_flow.errors import CameraCredentialsError, CameraError, CameraSilentError
from overshoot_flow.session.clock import SteadyUtc
from overshoot_flow_connectors.rtsp_address import Camera
from overshoot_flow_connectors.rtsp_packets import PictureJoiner, TimedPacket

_PRODUCER_TIME: Final = struct.Struct("<qi")  # AVProducerReferenceTime: µs of UTC, flags
_US_PER_S: Final = 1_000_000


class RtspConnection:
    """Connects at construction; a context manager that ends the RTSP session.

    Args:
        camera: The camera.
        clock: Gives arrival times.
        open_timeout_s: Bound of connecting, up to the first picture.
        read_timeout_s: Bound of waiting for the next picture.

    Raises:
        CameraCredentialsError: The camera refuses the user name or the password.
        CameraSilentError: The camera does not answer in time.
        CameraError: There is no such camera, or it sends no video that can be decoded.
    """

    def __init__(
        self, camera: Camera, clock: SteadyUtc, *, open_timeout_s: float, read_timeout_s: float
    ) -> None:
        self._clock = clock
        self._open_timeout_s = open_timeout_s
        self._read_timeout_s = read_timeout_s
        self._container = self._open(camera)
        try:
            self.stream = self._video()
        except CameraError:
            self._container.close()
            raise

    def _open(self, camera: Camera) -> InputContainer:
        options = {
            "rtsp_transport": "udp" if camera.transport == "udp" else "tcp",
            "allowed_media_types": "video",
            # Without these FFmpeg reads ahead for a second, and arrival times would be wrong.
            "analyzeduration": "1",
            "probesize": "32",
        }
        if camera.ca_file is not None:
            options |= {"tls_verify": "1", "ca_file": str(camera.ca_file)}
        if camera.certificate_host is not None:
            options["verifyhost"] = camera.certificate_host
        begun_s = time.monotonic()
        try:
            return av.open(
                camera.secret_url().reveal(),
                options=options,
                timeout=(self._open_timeout_s, self._read_timeout_s),
            )
        except (av.error.FFmpegError, OSError) as error:
            elapsed_s = time.monotonic() - begun_s
            failure = _translated(error, silent=elapsed_s >= self._open_timeout_s)
            if camera.ca_file is not None and error.errno == errno.EIO:
                # FFmpeg says no more than that about a certificate.
                failure = CameraError(
                    "no TLS connection came about; perhaps the camera's certificate is not by "
                    "ca_file, or names another host (see certificate_host)"
                )
        # Raised outside, so that the original, whose text has the password, is not its context.
        raise failure

    def _video(self) -> VideoStream:
        tracks = [track for track in self._container.streams.video if track.codec_context]
        if not tracks:
            raise CameraError("the camera sends no video that can be decoded")
        for other in self._container.streams:
            if other.index != tracks[0].index:
                other.discard = Discard.all
        return tracks[0]

    def packets(self) -> Iterator[TimedPacket]:
        """Yield packets in decode order until the camera ends the session.

        Raises:
            CameraSilentError: No packet came for `read_timeout_s`.
            CameraError: The session broke.
        """
        joiner = PictureJoiner(self.stream.codec_context.name)
        for timed in self._demuxed():
            yield from joiner.take(timed)

    def _demuxed(self) -> Iterator[TimedPacket]:
        silence = CameraSilentError(f"no picture came for {self._read_timeout_s:g} s")
        failure: CameraError | None = None
        asked_us = self._clock.now_us()
        try:
            for packet in self._container.demux(self.stream):
                arrival_us = self._clock.now_us()
                # FFmpeg holds each picture until the next one begins. When it is interrupted it
                # gives out the held one instead of an error, and would wait as long again.
                is_late = arrival_us - asked_us >= self._read_timeout_s * _US_PER_S
                if packet.size > 0:
                    yield _timed(packet, asked_us if is_late else arrival_us)
                if is_late:
                    failure = silence
                    break
                asked_us = self._clock.now_us()
        except av.error.ExitError:
            failure = silence
        except (av.error.FFmpegError, OSError) as error:
            failure = _translated(error, silent=False)
        if failure is not None:
            raise failure

    def close(self) -> None:
        """End the session."""
        self._container.close()

    def __enter__(self) -> Self:
        """Return the connection; leaving closes it."""
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()


def _timed(packet: Packet[VideoStream], arrival_us: int) -> TimedPacket:
    pts_us = None
    if packet.pts is not None and packet.time_base is not None:
        pts_us = packet.pts * packet.time_base.numerator * _US_PER_S
        pts_us //= packet.time_base.denominator
    report = bytes(packet.get_sidedata("prft") or b"")
    ntp_us = None
    if len(report) >= _PRODUCER_TIME.size:
        ntp_us = int(_PRODUCER_TIME.unpack_from(report)[0])
    return TimedPacket(packet=packet, pts_us=pts_us, arrival_us=arrival_us, ntp_us=ntp_us)


def _translated(error: Exception, *, silent: bool) -> CameraError:
    """Say what happened without the URL, which PyAV's texts contain with its password."""
    if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
        return CameraCredentialsError("the camera refuses the user name or the password")
    if isinstance(error, av.error.HTTPNotFoundError):
        return CameraError("the camera has no stream of this path")
    if silent or isinstance(error, av.error.ExitError | TimeoutError):
        return CameraSilentError("the camera does not answer in time")
    if isinstance(error, av.error.HTTPClientError):
        # So it is where no track is video: FFmpeg asks to play without having chosen any.
        return CameraError(
            "the camera refuses the session; perhaps it sends no video, or has clients enough"
        )
    if isinstance(error, OSError) and error.errno == errno.EIO:
        return CameraError(
            "no connection came about; perhaps the host's name cannot be resolved, or the other "
            "side speaks no TLS"
        )
    reason = getattr(error, "strerror", None) or type(error).__name__
    return CameraError(f"the camera cannot be read: {reason}")
