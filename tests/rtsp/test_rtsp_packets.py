"""Packets of one key frame become one; those of all other pictures are not held back."""

from __future__ import annotations

from typing import cast

import pytest
from av.packet import Packet
from av.video.stream import VideoStream

from overshoot_flow.media.annex_b import split_annex_b
from overshoot_flow_connectors.rtsp_packets import PictureJoiner, TimedPacket

SETS = b"\x00\x00\x01\x67sps\x00\x00\x01\x68pps"
FIRST = b"\x00\x00\x01\x65\x88first"
SECOND = b"\x00\x00\x01\x65\x48second"
DELTA = b"\x00\x00\x01\x41\x9adelta"
LATER_SLICE = b"\x00\x00\x01\x41\x4adelta"


def timed(data: bytes, at_us: int, pts_us: int | None = None) -> TimedPacket:
    packet = cast("Packet[VideoStream]", Packet(data))
    packet.is_keyframe = b"\x00\x01\x65" in data
    return TimedPacket(packet=packet, pts_us=pts_us, arrival_us=at_us, ntp_us=None)


def run(codec: str, packets: list[bytes]) -> list[tuple[int, list[TimedPacket]]]:
    """What came out after each packet."""
    joiner = PictureJoiner(codec)
    return [(n, list(joiner.take(timed(data, n, n or None)))) for n, data in enumerate(packets)]


def names(packet: TimedPacket) -> list[bytes]:
    return [unit[2:] for unit in split_annex_b(bytes(packet.packet)) if unit[0] & 31 < 6]


def test_parts_of_key_frames_are_joined_without_their_repeated_parameter_sets() -> None:
    parts = [SETS + FIRST, SETS + SECOND, SETS + SECOND]
    out = run("h264", [*parts, DELTA, *parts, DELTA])
    assert [len(complete) for _, complete in out] == [0, 0, 0, 2, 0, 0, 0, 2]
    for after, first_at in ((3, 0), (7, 4)):
        key, delta = out[after][1]
        assert names(key) == [b"first", b"second", b"second"]
        assert bytes(key.packet).count(b"sps") == 1
        assert key.packet.is_keyframe
        assert key.arrival_us == first_at
        assert names(delta) == [b"delta"]
    # The first packet of a session has no time stamp; its second part has.
    assert out[3][1][0].pts_us == 1


def test_only_the_first_key_frame_waits_where_nothing_has_to_be_joined() -> None:
    key = SETS + FIRST
    out = run("h264", [DELTA, key, DELTA, key, DELTA, key])
    assert [len(complete) for _, complete in out] == [1, 0, 2, 1, 1, 1]


@pytest.mark.parametrize("other", [DELTA, LATER_SLICE, SETS + FIRST, b"", b"\x00\x00\x01\x65"])
def test_nothing_else_is_joined_to_a_key_frame(other: bytes) -> None:
    (_, nothing), (_, complete) = run("h264", [SETS + FIRST, other])
    assert nothing == []
    assert [bytes(each.packet) for each in complete] == [SETS + FIRST, other]


def test_other_codecs_pass_by() -> None:
    assert [len(complete) for _, complete in run("hevc", [SETS + FIRST, SETS + SECOND])] == [1, 1]
