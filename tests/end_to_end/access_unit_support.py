"""A source of access units for tests: a file's packets, demuxed and not decoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import av
import pytest
from bytewax.inputs import FixedPartitionedSource
from end_to_end_support import FPS

from overshoot_flow.flow.items import Item
from overshoot_flow.flow.partition import ReaderPartition, ReaderState, Turnstile
from overshoot_flow.local.testvideo import VideoSpec, generate
from overshoot_flow.media.access_units import AccessUnit, Picture
from overshoot_flow.media.annex_b import AnnexBWriter
from overshoot_flow.media.frames import Frame
from overshoot_flow.media.pictures import PictureConverter

GOP = 15
MakeEncoded = Callable[[int, int, float], Path]


@pytest.fixture(scope="session")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> MakeEncoded:
    """Makes stamped videos without B-frames, half a second from key frame to key frame."""
    folder = tmp_path_factory.mktemp("encoded")

    def make(width: int, height: int, duration_s: float) -> Path:
        path = folder / f"{height}-{duration_s:g}.mp4"
        if not path.exists():
            generate(
                path,
                VideoSpec(
                    width=width,
                    height=height,
                    fps=FPS,
                    duration_s=duration_s,
                    gop=GOP,
                    b_frames=0,
                    text=False,
                ),
            )
        return path

    return make


def access_units(path: Path, stream_key: str) -> list[AccessUnit]:
    """Demux an H.264 file without B-frames; media time begins at 0."""
    units: list[AccessUnit] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        writer = AnnexBWriter("h264", stream.codec_context.extradata)
        for packet in container.demux(stream):
            picture = writer.picture(bytes(packet)) if packet.size else None
            if picture is None or packet.pts is None or stream.time_base is None:
                continue
            assert picture.parameters is not None
            units.append(
                AccessUnit(
                    stream_key=stream_key,
                    source=path.name,
                    pts_us=int(packet.pts * stream.time_base * 1_000_000),
                    duration_us=round((packet.duration or 0) * stream.time_base * 1_000_000),
                    codec="h264",
                    width=picture.parameters.width,
                    height=picture.parameters.height,
                    is_keyframe=picture.is_keyframe,
                    data=picture.data,
                )
            )
    return units


def decoded(units: Sequence[AccessUnit]) -> list[Frame]:
    """Decode units, of which the first is a key frame."""
    decoder = av.CodecContext.create("h264", "r")
    pictures = [p for unit in units for p in decoder.decode(av.Packet(unit.data))]
    pictures += decoder.decode(None)
    converter = PictureConverter(None)
    frames = []
    for unit, picture in zip(units, pictures, strict=True):
        width, height, data = converter.convert(picture)
        frames.append(
            Frame(
                stream_key=unit.stream_key,
                source=unit.source,
                pts_us=unit.pts_us,
                duration_us=unit.duration_us,
                width=width,
                height=height,
                data=data,
            )
        )
    return frames


class ListReader:
    """Gives out a list as fast as it is taken."""

    def __init__(self, units: Sequence[Picture]) -> None:
        self._left = list(units)

    def poll(self, max_frames: int) -> list[Picture]:
        taken, self._left = self._left[:max_frames], self._left[max_frames:]
        return taken

    @property
    def exhausted(self) -> bool:
        return not self._left

    def close(self) -> None:
        self._left = []


class AccessUnitSource(FixedPartitionedSource[Item, ReaderState]):
    """One partition per file.

    Args:
        paths: The files.
        first: So many access units are left out at the beginning.
        decoded_part: Which of all access units, from a key frame on, are emitted as frames.
    """

    def __init__(
        self, paths: Sequence[Path], *, first: int = 0, decoded_part: slice = slice(0)
    ) -> None:
        self.sources = [(path.name, path) for path in paths]
        self._first = first
        self._decoded_part = decoded_part

    def list_parts(self) -> list[str]:
        return [key for key, _ in self.sources]

    def build_part(
        self, step_id: str, for_part: str, resume_state: ReaderState | None
    ) -> ReaderPartition:
        units: list[Picture] = []
        units += access_units(dict(self.sources)[for_part], for_part)
        units[self._decoded_part] = decoded(
            [unit for unit in units[self._decoded_part] if isinstance(unit, AccessUnit)]
        )
        units = units[self._first :]
        return ReaderPartition(
            for_part,
            for_part,
            lambda start_us: ListReader([unit for unit in units if unit.pts_us >= start_us]),
            Turnstile(1),
            state=resume_state,
        )
