"""Publishes pictures over a WebRTC peer connection that we offer (aiortc, extra `webrtc`).

aiortc never scales pictures; its H.264 encoder keeps the resolution and lowers the quality instead.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import av
import numpy as np
from aiortc import (
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.exceptions import InvalidStateError
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av.stream import Stream

from overshoot_flow.errors import PublishError
from overshoot_flow.media.access_units import AccessUnit, Picture
from overshoot_flow.media.frames import Frame
from overshoot_flow.protocol.key_frames import KeyFrameGate
from overshoot_flow.transport.sender_statistics import SenderStatistics

MAX_WAITING_UNITS: Final = 120
"""Access units that may wait for the sender. One more ends the connection (policy: refuse): without
any of them, the following ones are useless."""

_HOLD_INTERVAL_S: Final = 0.066
_TIME_BASE: Final = Fraction(1, 90_000)
_POLL_S: Final = 0.02

_logger = logging.getLogger(__name__)


class _OutgoingTrack(MediaStreamTrack):
    """What the sender pulls pictures from.

    Of frames, only the newest waits (overflow policy: it replaces an older one, which is counted),
    and it is repeated while no other comes. Access units wait in a queue.
    """

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._frame: Frame | None = None
        self._is_new = False
        self._units: deque[AccessUnit] = deque()
        self._filled = asyncio.Event()
        self._newest_ticks = -1
        self.replaced = 0
        self.sent = 0

    def show(self, frame: Frame) -> None:
        self.replaced += self._is_new
        self._frame, self._is_new = frame, True
        self._filled.set()

    def put(self, unit: AccessUnit) -> None:
        if len(self._units) >= MAX_WAITING_UNITS:
            raise PublishError(f"{MAX_WAITING_UNITS} access units wait: the sender is stuck")
        self._units.append(unit)
        self._filled.set()

    async def recv(self) -> av.VideoFrame | av.Packet[Stream]:
        """Return the next picture; part of aiortc's track interface."""
        while not self._is_new and not self._units:
            if self.readyState != "live":
                raise MediaStreamError
            self._filled.clear()
            try:
                async with asyncio.timeout(_HOLD_INTERVAL_S):
                    await self._filled.wait()
            except TimeoutError:
                self._is_new = self._frame is not None
        self.sent += 1
        picture: av.VideoFrame | av.Packet[Stream]
        if self._units:
            picture = av.Packet(self._units.popleft().data)
        else:
            self._is_new = False
            picture = _as_picture(self._frame)
        picture.pts, picture.time_base = self._ticks(), _TIME_BASE
        return picture

    def _ticks(self) -> int:
        # Wall time, as the service's clock is; two pictures never share a time stamp.
        now = round(asyncio.get_running_loop().time() / _TIME_BASE)
        self._newest_ticks = max(self._newest_ticks + 1, now)
        return self._newest_ticks

    def stop(self) -> None:
        """End the track; a sender that waits in `recv` wakes up."""
        super().stop()
        self._filled.set()


class WebRtcPublisher:
    """One peer connection with one video track; it is made once and cannot come back.

    All methods belong to one event loop. See `transport.publisher.Publisher`.

    Args:
        stun_urls: STUN servers.
        connect_timeout_s: Bound of gathering, and of connecting until the first picture is sent.
    """

    def __init__(self, stun_urls: Sequence[str], *, connect_timeout_s: float) -> None:
        servers = [RTCIceServer(urls=list(stun_urls))] if stun_urls else []
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=servers))
        self._connect_timeout_s = connect_timeout_s
        self._track = _OutgoingTrack()
        self._gate = KeyFrameGate()
        self._answer_sdp: str | None = None
        self._size = (0, 0)
        self._is_leaving = False
        self.lost = asyncio.Event()
        self.flowing = asyncio.Event()
        self.pictures_captured = 0
        self._connection.add_listener("connectionstatechange", self._state_changed)

    @property
    def awaits_key_frame(self) -> bool:
        """Whether an access unit that is no key frame would be of no use to the far side."""
        return self._gate.is_closed

    async def offer(self) -> str:
        """Return the SDP offer with all candidates in it.

        Raises:
            PublishError: It could not be made in time.
        """
        transceiver = self._connection.addTransceiver(self._track, direction="sendonly")
        # Both encoded video and pixels, so that the offer fits whatever comes.
        transceiver.setCodecPreferences(
            [
                codec
                for codec in RTCRtpSender.getCapabilities("video").codecs
                if codec.mimeType == "video/H264"
            ]
        )
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await self._connection.setLocalDescription(await self._connection.createOffer())
        except TimeoutError:
            await self.leave()
            raise PublishError("no WebRTC offer could be made in time") from None
        return str(self._connection.localDescription.sdp)

    def answer(self, sdp: str) -> None:
        """Note the service's answer, for `connect`."""
        self._answer_sdp = sdp

    async def connect(self, first: Picture) -> None:
        """Connect, and show `first` until it is on its way.

        Raises:
            PublishError: The answer cannot be used, or nothing was connected in time.
        """
        if self._answer_sdp is None:
            msg = "offer first, and note the answer"
            raise RuntimeError(msg)
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await self._connection.setRemoteDescription(
                    RTCSessionDescription(self._answer_sdp, "answer")
                )
                await self.capture(first)
                while self._track.sent == 0 or not self.flowing.is_set():
                    if self.lost.is_set():
                        raise PublishError("the peer connection failed while connecting")
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise PublishError(f"no peer connection within {self._connect_timeout_s:g} s") from None
        except (InvalidStateError, ValueError, AssertionError, AttributeError) as error:
            # What aiortc's parser runs into on an answer that does not fit the offer.
            raise PublishError(
                f"the service's WebRTC answer cannot be used: {type(error).__name__}"
            ) from None

    async def capture(self, picture: Picture) -> None:
        """Hand `picture` to the sender.

        Raises:
            PublishError: Too many access units wait for the sender.
        """
        if isinstance(picture, AccessUnit):
            now_s = asyncio.get_running_loop().time()
            self._gate.published(now_s, is_keyframe=picture.is_keyframe)
            self._track.put(picture)
        else:
            self._track.show(picture)
        self._size = (picture.width, picture.height)
        self.pictures_captured += 1

    async def statistics(self) -> SenderStatistics:
        """Return what the sender has taken; aiortc counts packets, not pictures."""
        width, height = self._size
        return SenderStatistics(
            pictures_sent=self._track.sent,
            width=width,
            height=height,
            target_bitrate=0.0,
            limited_by="unknown",
            resolution_changes=0,
        )

    async def leave(self) -> None:
        """Close the connection."""
        self._is_leaving = True
        self._track.stop()
        await self._connection.close()

    def _state_changed(self) -> None:
        state = self._connection.connectionState
        if state == "connected":
            self.flowing.set()
        else:
            self.flowing.clear()
        if state in ("failed", "closed") and not self._is_leaving:
            _logger.info("the peer connection is gone: %s", state)
            self.lost.set()


def _as_picture(frame: Frame | None) -> av.VideoFrame:
    if frame is None:
        msg = "there is no frame to be repeated"
        raise RuntimeError(msg)
    planes = np.frombuffer(frame.data, np.uint8).reshape(frame.height * 3 // 2, frame.width)
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")
