"""Hands on one connection's H.264 pictures as they are, without decoding them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from overshoot_flow.errors import MediaError
from overshoot_flow.media.annex_b import AnnexBWriter, EncodedPictureData
from overshoot_flow.media.camera_clock import PacketTime
from overshoot_flow.media.h264_parameters import SequenceParameters
from overshoot_flow.media.live_rhythm import PictureRhythm
from overshoot_flow.media.live_sink import LiveSink
from overshoot_flow.media.passthrough import PassthroughCheck, codec_refusal
from overshoot_flow.results import GapReason

NOT_PROBED: Final = "whether its pictures are in order is not known yet"
NO_KEY_FRAME: Final = "no key frame has come yet"


class PassthroughProbe:
    """Turns every packet of a connection into Annex B, and watches whether that may be passed on.

    Args:
        codec: How the stream is encoded, by FFmpeg's name.
        extradata: The stream's extradata, or None.
        proven: What `proven` was at the end of the connection before.

    Attributes:
        refusal: Why the connection must be decoded, or None so far; it never becomes None again.
    """

    def __init__(
        self, codec: str, extradata: bytes | None, *, proven: SequenceParameters | None = None
    ) -> None:
        self._check = PassthroughCheck()
        self._proven = proven
        self._writer: AnnexBWriter | None = None
        self.refusal = codec_refusal(codec)
        if self.refusal is None:
            try:
                self._writer = AnnexBWriter("h264", extradata)
            except MediaError as error:
                self.refusal = str(error)

    @property
    def is_settled(self) -> bool:
        """Whether it is known that the pictures can be passed on, unless the stream changes."""
        return self.proven is not None

    @property
    def proven(self) -> SequenceParameters | None:
        """The parameters of pictures that are known to be in order; None while it is not known.

        A camera that comes back with the same ones need not be decoded for seconds again.
        """
        if self._writer is None or self.refusal is not None:
            return None
        parameters = self._writer.parameters
        return parameters if self._check.settled or parameters == self._proven else None

    def take(self, data: bytes, media_us: int) -> EncodedPictureData | None:
        """Take the next packet in decode order.

        Returns:
            Its picture; None where there is none or it must be decoded.
        """
        if self._writer is None or self.refusal is not None:
            return None
        try:
            picture = self._writer.picture(data)
        except MediaError as error:
            self.refusal = str(error)
            return None
        if picture is None:
            return None
        self.refusal = self._check.observe(picture, media_us)
        return None if self.refusal else picture


@dataclass(slots=True)
class _Held:
    """The newest picture, until the next one says how long it stands."""

    picture: EncodedPictureData
    time: PacketTime
    size: tuple[int, int]


class AccessUnitRelay:
    """Hands access units to a sink, each when the next one has come.

    Args:
        sink: Takes the access units.
        rhythm: The connection's; it has taken a packet before `take` does.
        on_picture: Called for every picture.

    Attributes:
        damaged: Pictures of which the demuxer says that a part is missing.
    """

    def __init__(
        self, sink: LiveSink, rhythm: PictureRhythm, on_picture: Callable[[], None]
    ) -> None:
        self._sink = sink
        self._rhythm = rhythm
        self._on_picture = on_picture
        self._held: _Held | None = None
        self.damaged = 0

    def take(
        self,
        picture: EncodedPictureData,
        time: PacketTime,
        hole_us: int | None,
        *,
        is_damaged: bool,
    ) -> None:
        """Take the next picture in order.

        After a hole or damage only a key frame is of use again.

        Args:
            picture: The picture.
            time: When it was.
            hole_us: Media time from which on pictures are missing before it, or None.
            is_damaged: Whether a part of it is missing.
        """
        self._hand_on(time.media_us if hole_us is None else hole_us)
        if hole_us is not None:
            lost_s = (time.media_us - hole_us) / 1_000_000
            self._sink.queue.lose(hole_us, GapReason.STALLED, f"no picture came for {lost_s:.1f} s")
        if is_damaged or picture.parameters is None:
            self.damaged += 1
            self._sink.queue.lose(time.media_us, GapReason.DECODE, "a picture is damaged")
            return
        self._on_picture()
        size = picture.parameters.width, picture.parameters.height
        self._held = _Held(picture, time, size)

    def interrupted(self) -> int | None:
        """Nothing follows: hand on what is here; return until when it stands, if any."""
        if self._held is None:
            return None
        until_us = self._held.time.media_us + self._rhythm.distance_us
        self._hand_on(until_us)
        return until_us

    def reset(self) -> None:
        """Forget what is here."""
        self._held = None

    def _hand_on(self, until_us: int) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._sink.take_access_unit(held.time, until_us, held.picture, held.size)
