"""Packets become access units that a decoder can begin with, whatever the container keeps apart."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import av
import pytest

from overshoot_flow.errors import MediaError
from overshoot_flow.local.testvideo import VideoSpec, generate
from overshoot_flow.media.access_units import VideoCodec
from overshoot_flow.media.annex_b import AnnexBWriter, EncodedPictureData, split_annex_b
from overshoot_flow.media.passthrough import PROBED_PICTURES, PassthroughCheck, codec_refusal

GOP = 5


def made(folder: Path, codec: str = "h264", b_frames: int = 0, width: int = 200) -> Path:
    path = folder / f"{codec}-{b_frames}-{width}.mp4"
    spec = VideoSpec(
        width=width, height=126, duration_s=0.5, gop=GOP, codec=codec, b_frames=b_frames, text=False
    )
    generate(path, spec)
    return path


def packets(path: Path) -> tuple[bytes | None, list[tuple[int, bytes]]]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        found = [
            (round((p.pts or 0) * (p.time_base or 0) * 1_000_000), bytes(p))
            for p in container.demux(stream)
            if p.size
        ]
        return stream.codec_context.extradata, found


def pictures(path: Path, codec: VideoCodec = "h264") -> list[EncodedPictureData]:
    extradata, found = packets(path)
    writer = AnnexBWriter(codec, extradata)
    converted = [writer.picture(data) for _, data in found]
    assert None not in converted
    return [picture for picture in converted if picture is not None]


def decoded(codec: str, units: list[bytes]) -> int:
    context = av.CodecContext.create(codec, "r")
    frames = [frame for unit in units for frame in context.decode(av.Packet(unit))]
    return len(frames) + len(context.decode(None))


@pytest.mark.parametrize(("ffmpeg", "codec"), [("h264", "h264"), ("hevc", "h265")])
def test_a_decoder_can_begin_at_every_key_frame(
    tmp_path: Path, ffmpeg: str, codec: VideoCodec
) -> None:
    found = pictures(made(tmp_path, ffmpeg), codec)
    begins = [number for number, picture in enumerate(found) if picture.is_keyframe]
    assert begins == [0, GOP, 2 * GOP]
    for begin, end in pairwise([*begins, len(found)]):
        assert decoded(ffmpeg, [picture.data for picture in found[begin:end]]) == end - begin


def test_the_size_is_the_one_after_cropping(tmp_path: Path) -> None:
    (first, *_) = pictures(made(tmp_path))
    assert first.parameters is not None
    assert (first.parameters.width, first.parameters.height) == (200, 126)


def test_annex_b_with_its_parameter_sets_stays_as_it_is(tmp_path: Path) -> None:
    found = pictures(made(tmp_path))
    again = AnnexBWriter("h264", None)
    for picture in found:
        repeated = again.picture(picture.data)
        assert repeated is not None
        assert list(split_annex_b(repeated.data)) == list(split_annex_b(picture.data))
        assert repeated.is_keyframe == picture.is_keyframe


def test_a_key_frame_without_known_parameter_sets_is_none(tmp_path: Path) -> None:
    _, found = packets(made(tmp_path))
    bare = b"\x00\x00\x00\x01" + found[0][1][found[0][1].rindex(b"\x65") :]
    picture = AnnexBWriter("h264", None).picture(bare)
    assert picture is not None
    assert not picture.is_keyframe


def test_parameter_sets_alone_are_no_picture_and_are_remembered(tmp_path: Path) -> None:
    (first, *_) = pictures(made(tmp_path))
    sets = [unit for unit in split_annex_b(first.data) if unit[0] & 31 in (7, 8)]
    slices = [unit for unit in split_annex_b(first.data) if unit[0] & 31 == 5]
    writer = AnnexBWriter("h264", None)
    assert writer.picture(b"".join(b"\x00\x00\x01" + unit for unit in sets)) is None
    picture = writer.picture(b"".join(b"\x00\x00\x01" + unit for unit in slices))
    assert picture is not None
    assert picture.is_keyframe
    assert list(split_annex_b(picture.data)) == [*sets, *slices]


def test_new_parameters_take_the_place_of_the_old_ones(tmp_path: Path) -> None:
    (narrow, *_) = pictures(made(tmp_path))
    (wide, *_) = pictures(made(tmp_path, width=400))
    writer = AnnexBWriter("h264", None)
    for picture, width in ((narrow, 200), (wide, 400), (narrow, 200)):
        converted = writer.picture(picture.data)
        assert converted is not None
        assert converted.parameters is not None
        assert converted.parameters.width == width
        assert sum(unit[0] & 31 == 7 for unit in split_annex_b(converted.data)) == 1


def test_damage_is_a_media_error(tmp_path: Path) -> None:
    extradata, found = packets(made(tmp_path))
    assert extradata is not None
    with pytest.raises(MediaError, match="an encoded picture is cut"):
        AnnexBWriter("h264", extradata).picture(found[0][1][:-10])
    with pytest.raises(MediaError, match="parameter sets are cut"):
        AnnexBWriter("h264", extradata[:12])
    with pytest.raises(MediaError, match="parameters cannot be read"):
        AnnexBWriter("h264", None).picture(b"\x00\x00\x01\x67\x64\x00\x00\x01\x65\x88")


def checked(path: Path) -> PassthroughCheck:
    extradata, found = packets(path)
    writer, check = AnnexBWriter("h264", extradata), PassthroughCheck()
    for pts_us, data in found:
        picture = writer.picture(data)
        assert picture is not None
        check.observe(picture, pts_us)
    return check


def test_a_stream_without_b_frames_can_be_passed_on(tmp_path: Path) -> None:
    check = checked(made(tmp_path))
    assert check.refusal is None
    assert check.settled


def test_a_stream_with_b_frames_must_be_decoded(tmp_path: Path) -> None:
    assert "B-frames" in (checked(made(tmp_path, b_frames=2)).refusal or "")


def test_without_parameters_the_pictures_themselves_tell(tmp_path: Path) -> None:
    extradata, found = packets(made(tmp_path, b_frames=2))
    writer = AnnexBWriter("h264", extradata)
    observed = [(picture, pts) for pts, data in found if (picture := writer.picture(data))]
    silent = [
        (EncodedPictureData(p.data, is_keyframe=p.is_keyframe, parameters=None), pts)
        for p, pts in observed
    ]
    by_slices = PassthroughCheck()
    refusals = [by_slices.observe(picture, number) for number, (picture, _) in enumerate(silent)]
    assert "it has B-frames" in refusals
    by_times = PassthroughCheck()
    key = silent[0][0]
    assert [by_times.observe(key, pts) for pts in (0, 100)] == [None, None]
    assert by_times.observe(key, 50) == "its pictures are not in presentation order"


def test_a_stream_that_says_nothing_counts_as_in_order_after_a_while(tmp_path: Path) -> None:
    (key, *_) = pictures(made(tmp_path))
    silent = EncodedPictureData(key.data, is_keyframe=True, parameters=None)
    check = PassthroughCheck()
    for number in range(PROBED_PICTURES):
        assert not check.settled
        check.observe(silent, number)
    assert check.settled
    assert check.refusal is None


def test_only_h264_is_passed_on() -> None:
    assert codec_refusal("h264") is None
    assert "hevc" in (codec_refusal("hevc") or "")
