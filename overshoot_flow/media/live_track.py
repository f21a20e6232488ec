"""Decides for one connection to a camera, packet by packet: decode, pass on, or let go by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from overshoot_flow.media.annex_b import EncodedPictureData
from overshoot_flow.media.camera_clock import PacketTime
from overshoot_flow.media.h264_parameters import SequenceParameters
from overshoot_flow.media.live_passthrough import (
    NO_KEY_FRAME,
    NOT_PROBED,
    AccessUnitRelay,
    PassthroughProbe,
)
from overshoot_flow.media.live_rhythm import PictureRhythm
from overshoot_flow.media.live_sampling import LiveSampler
from overshoot_flow.media.live_sink import LiveSink
from overshoot_flow.media.pictures import PictureConverter
from overshoot_flow.media.sampling import EveryFrame, SamplingPlan
from overshoot_flow.results import GapReason


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackWishes:
    """What is wanted of a camera's pictures.

    Args:
        plan: Which pictures are samples; where pictures are passed on, all are.
        pixels_for: Who needs pixels, as people read it, so that everything is decoded; None
            where pictures may be passed on as they are.
        max_height: Largest height of a decoded picture in pixels, or None.
    """

    plan: SamplingPlan
    pixels_for: str | None
    max_height: int | None = None

    @classmethod
    def of(
        cls,
        plan: SamplingPlan | None,
        *,
        max_height: int | None,
        detects_freezes: bool,
        edits: bool,
    ) -> TrackWishes:
        """Find out whether anything needs pixels.

        Args:
            plan: The plan that was asked for; None for all pictures, passed on where possible.
            max_height: Largest height of a picture, or None.
            detects_freezes: Whether identical pictures are looked for.
            edits: Whether pictures are changed.
        """
        reasons = {
            "a step or a sampling plan looks at pixels": plan is not None,
            "pictures are scaled": max_height is not None,
            "frozen pictures are looked for": detects_freezes,
            "pictures are edited": edits,
        }
        pixels_for = next((reason for reason, applies in reasons.items() if applies), None)
        return cls(plan=plan or EveryFrame(), pixels_for=pixels_for, max_height=max_height)


class LiveTrack:
    """Takes one connection's packets.

    Pictures are decoded until it is known that they may be passed on; then they are, from a key
    frame on. If pictures are reordered later, they are decoded from the next key frame until the
    connection ends. While nobody wants pictures, none is decoded.

    Args:
        context: The stream's decoder, fresh.
        wishes: What is wanted.
        sink: Takes frames and access units.
        on_picture: Called for every picture that is decoded, passed on, or let go by.
        proven: What `proven` was at the end of the connection before.

    Attributes:
        size: Width and height of the camera's newest picture in pixels, once they are known.
    """

    def __init__(
        self,
        context: VideoCodecContext,
        wishes: TrackWishes,
        sink: LiveSink,
        on_picture: Callable[[], None],
        *,
        proven: SequenceParameters | None = None,
    ) -> None:
        self._wishes = wishes
        self._sink = sink
        self._on_picture = on_picture
        self._rhythm = PictureRhythm()
        self._sampler = LiveSampler(
            context,
            wishes.plan,
            PictureConverter(wishes.max_height),
            sink,
            rhythm=self._rhythm,
            on_picture=on_picture,
        )
        self._relay = AccessUnitRelay(sink, self._rhythm, on_picture)
        self._probe: PassthroughProbe | None = None
        if wishes.pixels_for is None:
            self._probe = PassthroughProbe(context.name, context.extradata, proven=proven)
        self._context = context
        self._passes_on = False
        self._rests = False
        self.size: tuple[int, int] | None = None

    @property
    def decoded_because(self) -> str | None:
        """Why pictures are decoded now; None while they are passed on as they are."""
        if self._passes_on:
            return None
        if self._probe is None:
            return self._wishes.pixels_for
        return self._probe.refusal or (NO_KEY_FRAME if self._probe.is_settled else NOT_PROBED)

    @property
    def proven(self) -> SequenceParameters | None:
        """The parameters with which the camera's pictures are known to be in order, or None."""
        return None if self._probe is None else self._probe.proven

    @property
    def damaged(self) -> int:
        """Packets and pictures that could not be used."""
        return self._sampler.damaged + self._relay.damaged

    def take(self, packet: Packet[VideoStream], time: PacketTime) -> None:
        """Take the next packet in decode order; it is changed."""
        hole_us = self._rhythm.take(time.media_us)
        picture = None
        if self._probe is not None and self._probe.refusal is None:
            picture = self._probe.take(bytes(packet), time.media_us)
        if self._sink.queue.paused:
            self._rest(time)
            return
        if self._rests:
            # What was missing meanwhile is part of the pause.
            self._rests, hole_us = False, None
        if not self._passes_on and picture is not None and picture.is_keyframe:
            self._begin_to_pass_on(time.media_us if hole_us is None else hole_us)
        elif self._passes_on and self._probe is not None and self._probe.refusal is not None:
            self.interrupted(GapReason.DECODE, f"decoded from now on: {self._probe.refusal}")
            self._passes_on = False
        if not self._passes_on:
            self._sampler.take(packet, time, hole_us)
        elif picture is not None:
            self._relay.take(picture, time, hole_us, is_damaged=packet.is_corrupt)
        self._note_size(picture)

    def interrupted(self, reason: GapReason, detail: str) -> None:
        """The connection has ended: hand on what is here; nothing is known after it."""
        ended_us = (self._relay if self._passes_on else self._sampler).interrupted()
        if ended_us is None:
            # Why nothing was handed on before is another matter, such as a pause.
            ended_us = self._rhythm.expected_us
        self._sink.queue.lose(ended_us, reason, detail)

    def _begin_to_pass_on(self, until_us: int) -> None:
        """At a key frame: hand on what is decoded, if it is known by now that that is enough."""
        if self._probe is not None and self._probe.is_settled:
            self._sampler.finish(until_us)
            self._passes_on = True

    def _note_size(self, picture: EncodedPictureData | None) -> None:
        size = self._context.width, self._context.height
        if picture is not None and picture.parameters is not None:
            size = picture.parameters.width, picture.parameters.height
        if all(size):
            self.size = size

    def _rest(self, time: PacketTime) -> None:
        if not self._rests:
            self._rests = True
            self._sampler.reset()
            self._relay.reset()
            self._sink.rested()
        self._sink.queue.pass_by(time.media_us)
        self._on_picture()
