"""One connection's packets, without a camera: when they are decoded, passed on, or let go by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import cast

import av
import pytest
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from overshoot_flow.media.access_units import AccessUnit
from overshoot_flow.media.camera_clock import PacketTime
from overshoot_flow.media.frames import Frame
from overshoot_flow.media.h264_parameters import SequenceParameters, parse_h264_sps
from overshoot_flow.media.live_passthrough import NO_KEY_FRAME
from overshoot_flow.media.live_queue import LiveGap, LiveQueue
from overshoot_flow.media.live_sink import EditPicture, LiveSink
from overshoot_flow.media.live_track import LiveTrack, TrackWishes
from overshoot_flow.media.passthrough import PROBED_PICTURES
from overshoot_flow.media.sampling import EveryFrame
from overshoot_flow.results import GapReason

DISTANCE_US = 40_000
GOP = 10


def encoded(
    pictures: int, *, b_frames: int = 0, color: int = 0
) -> Iterator[tuple[Packet[VideoStream], int]]:
    """Packets in decode order with the times of their pictures in µs."""
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = 64, 48, "yuv420p"
    encoder.time_base = Fraction(DISTANCE_US, 1_000_000)
    encoder.options = {
        "g": str(GOP),
        "bf": str(b_frames),
        "preset": "ultrafast",
        "sc_threshold": "0",
    }
    packets: list[Packet[VideoStream]] = []
    for number in range(pictures):
        picture = VideoFrame(64, 48, "yuv420p")
        for plane in picture.planes:
            plane.update(bytes([(number * 3 + color) % 250]) * plane.buffer_size)
        picture.pts = number
        packets += encoder.encode(picture)
    for packet in (*packets, *encoder.encode(None)):
        assert packet.pts is not None
        yield packet, packet.pts * DISTANCE_US


class Rig:
    """A track with its queue; everything is polled at once."""

    def __init__(
        self,
        *,
        plan: EveryFrame | None = None,
        edit: EditPicture | None = None,
        proven: SequenceParameters | None = None,
    ) -> None:
        self.queue = LiveQueue(0, max_frames=1000, max_bytes=10**7, max_access_units=1000)
        self.pictures = 0
        wishes = TrackWishes.of(
            plan, max_height=None, detects_freezes=False, edits=edit is not None
        )
        context = av.CodecContext.create("h264", "r")
        assert isinstance(context, av.VideoCodecContext)
        sink = LiveSink(self.queue, stream_key="k", source="s", edit=edit)
        self.track = LiveTrack(context, wishes, sink, self._count, proven=proven)

    def _count(self) -> None:
        self.pictures += 1

    def take(self, packet: Packet[VideoStream], media_us: int) -> None:
        self.track.take(
            packet,
            PacketTime(
                media_us=media_us, captured_at_us=media_us, capture_basis="arrival", segment=1
            ),
        )

    def run(self, pictures: int, from_us: int, *, b_frames: int = 0) -> int:
        """Take so many encoded pictures; return the time after them."""
        for packet, at_us in encoded(pictures, b_frames=b_frames):
            self.take(packet, from_us + at_us)
        return from_us + pictures * DISTANCE_US

    def end(self, at_us: int) -> list[Frame | AccessUnit | LiveGap]:
        self.track.interrupted(GapReason.OUTAGE, "gone")
        items = self.queue.poll(1000, 1000, at_us)
        self.queue.end(at_us, GapReason.STOPPED, "over")
        items += self.queue.poll(1000, 1000, at_us)
        covered_us = 0
        for item in items:
            start_us = item.start_us if isinstance(item, LiveGap) else item.pts_us
            end_us = item.end_us if isinstance(item, LiveGap) else item.pts_us + item.duration_us
            assert start_us == covered_us
            covered_us = end_us
        assert covered_us == at_us
        return items


def kinds(items: list[Frame | AccessUnit | LiveGap]) -> list[str]:
    """The kinds in order, neighbours of one kind once; gaps by their reasons."""
    names = [
        item.reason.value if isinstance(item, LiveGap) else type(item).__name__ for item in items
    ]
    return [name for at, name in enumerate(names) if at == 0 or names[at - 1] != name]


def test_pictures_that_begin_to_be_reordered_are_decoded_from_there_on() -> None:
    rig = Rig()
    until_us = rig.run(20, 0)
    assert rig.track.decoded_because is None
    until_us = rig.run(20, until_us, b_frames=2)
    assert "B-frames" in (rig.track.decoded_because or "")
    until_us = rig.run(20, until_us)
    items = rig.end(until_us)
    assert kinds(items) == ["AccessUnit", "Frame"]
    assert sum(isinstance(item, AccessUnit) for item in items) == 20
    assert sum(isinstance(item, Frame) for item in items) == 40


def test_a_reordered_picture_without_announcement_costs_up_to_the_next_key_frame() -> None:
    rig = Rig()
    packets = list(encoded(3 * GOP))
    for number, (packet, at_us) in enumerate(packets):
        # The eighth picture is said to be shown before the seventh.
        rig.take(packet, at_us - 2 * DISTANCE_US if number == 7 else at_us)
    assert "presentation order" in (rig.track.decoded_because or "")
    items = rig.end(3 * GOP * DISTANCE_US)
    assert kinds(items) == ["AccessUnit", "decode", "Frame"]
    (gap,) = [item for item in items if isinstance(item, LiveGap)]
    assert (gap.start_us, gap.end_us) == (7 * DISTANCE_US, GOP * DISTANCE_US)


def test_a_hole_and_a_damaged_picture_cost_up_to_the_next_key_frame() -> None:
    rig = Rig()
    packets = list(encoded(4 * GOP))
    for number, (packet, at_us) in enumerate(packets):
        packet.is_corrupt = number == GOP + 3
        rig.take(packet, at_us if number < 3 * GOP - 4 else at_us + 1_000_000)
    items = rig.end(4 * GOP * DISTANCE_US + 1_000_000)
    damaged, hole = [item for item in items if isinstance(item, LiveGap)]
    assert (damaged.reason, damaged.frames_lost) == (GapReason.DECODE, GOP - 4)
    assert damaged.start_us == (GOP + 3) * DISTANCE_US
    assert damaged.end_us == 2 * GOP * DISTANCE_US
    assert (hole.reason, hole.frames_lost) == (GapReason.STALLED, 4)
    assert hole.start_us == (3 * GOP - 4) * DISTANCE_US
    assert hole.end_us == 3 * GOP * DISTANCE_US + 1_000_000
    assert rig.track.damaged == 1


@pytest.mark.parametrize("plan", [None, EveryFrame()])
def test_while_paused_nothing_is_looked_at_and_a_key_frame_ends_it(
    plan: EveryFrame | None,
) -> None:
    rig = Rig(plan=plan)
    packets = list(encoded(4 * GOP))
    pause_at, go_on_at = GOP + 4, 2 * GOP + 4
    for number, (packet, at_us) in enumerate(packets):
        if number == pause_at:
            rig.queue.pause(at_us, GapReason.SLOT, "no slot")
        if number == go_on_at:
            rig.queue.go_on()
        rests = pause_at <= number < go_on_at
        if rests and plan is not None:
            # Nothing that could be decoded: it would be counted as damaged.
            packet = cast("Packet[VideoStream]", Packet(b"\x00\x00\x01\x65damaged"))  # noqa: PLW2901
        before = rig.pictures
        rig.take(packet, at_us)
        if rests:
            assert rig.pictures == before + 1
    items = rig.end(4 * GOP * DISTANCE_US)
    assert rig.track.damaged == 0
    (gap,) = [item for item in items if isinstance(item, LiveGap)]
    assert gap.reason is GapReason.SLOT
    assert gap.end_us == 3 * GOP * DISTANCE_US


def test_the_reason_of_a_gap_is_right_when_the_camera_dies_in_a_pause() -> None:
    rig = Rig()
    rig.queue.pause(0, GapReason.SLOT, "no slot")
    until_us = rig.run(5, 0)
    rig.track.interrupted(GapReason.OUTAGE, "gone")
    until_us = rig.run(5, until_us + 1_000_000)
    rig.queue.go_on()
    items = rig.end(rig.run(5, until_us))
    assert kinds(items) == ["slot", "outage", "slot", "AccessUnit"]


def test_a_stream_that_promises_nothing_is_decoded_until_it_has_proven_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def silent(nal_unit: bytes) -> SequenceParameters:
        return replace(parse_h264_sps(nal_unit), reorders=None)

    monkeypatch.setattr("overshoot_flow.media.annex_b.parse_h264_sps", silent)
    first = Rig()
    items = first.end(first.run(PROBED_PICTURES + 2 * GOP, 0))
    assert kinds(items) == ["Frame", "AccessUnit"]
    assert sum(isinstance(item, Frame) for item in items) == PROBED_PICTURES
    again = Rig(proven=first.track.proven)
    assert kinds(again.end(again.run(2 * GOP, 0))) == ["AccessUnit"]
    assert first.track.proven is not None
    other = Rig(proven=replace(first.track.proven, width=32))
    assert kinds(other.end(other.run(2 * GOP, 0))) == ["Frame"]


def test_pictures_are_edited_before_they_are_frames() -> None:
    def blacken(planes: bytearray, width: int, height: int) -> None:
        planes[: width * height] = bytes(width * height)

    rig = Rig(edit=blacken)
    items = rig.end(rig.run(5, 0))
    frames = [item for item in items if isinstance(item, Frame)]
    assert len(frames) == 5
    assert all(bytes(frame.data[: 64 * 48]) == bytes(64 * 48) for frame in frames)


def test_a_picture_that_cannot_be_edited_is_a_gap_and_never_seen() -> None:
    def fails_once(_planes: bytearray, _width: int, _height: int) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise ValueError("defect")

    calls: list[int] = []
    rig = Rig(edit=fails_once)
    items = rig.end(rig.run(5, 0))
    assert kinds(items) == ["Frame", "decode", "Frame"]
    (gap,) = [item for item in items if isinstance(item, LiveGap)]
    assert (gap.start_us, gap.end_us) == (2 * DISTANCE_US, 3 * DISTANCE_US)
    assert "ValueError: defect" in gap.detail


def test_no_key_frame_nothing_to_pass_on() -> None:
    rig = Rig()
    for packet, at_us in list(encoded(GOP))[1:]:
        rig.take(packet, at_us)
    assert rig.pictures == 0
    assert rig.track.decoded_because != NO_KEY_FRAME
    assert kinds(rig.end(GOP * DISTANCE_US)) == ["outage"]
