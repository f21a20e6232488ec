"""What is kept of a stream's pictures, and for how long."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from overshoot_flow.inference import Inference
from overshoot_flow.local.testvideo import VideoSpec, generate
from overshoot_flow.media.access_units import AccessUnit
from overshoot_flow.media.unit_reading import UnitReader
from overshoot_flow.protocol.v1_chat import ImagePart, MediaPart, VideoPart
from overshoot_flow.session.inline_pictures import InlinePictures, WindowMedia
from overshoot_flow.transport_config import Inline

GOP = 5
QUESTION = Inference(prompt="?")


@pytest.fixture
def units(tmp_path: Path) -> list[AccessUnit]:
    spec = VideoSpec(width=160, height=90, fps=10, duration_s=2, gop=GOP, b_frames=0)
    reader = UnitReader(generate(tmp_path / "v.mp4", spec).path, stream_key="k")
    read = [item for item in reader if isinstance(item, AccessUnit)]
    reader.close()
    assert len(read) == 20
    return read


def pts(units: Sequence[AccessUnit]) -> list[int]:
    return [unit.pts_us for unit in units]


def media(pictures: InlinePictures, window: Sequence[AccessUnit]) -> WindowMedia:
    found = pictures.media_of(pts(window), pts(window), (QUESTION,))
    assert found is not None
    return found


def kinds(parts: Sequence[MediaPart]) -> list[type]:
    return [type(part) for part in parts]


def test_too_much_that_is_encoded_is_decoded_early(units: list[AccessUnit]) -> None:
    patient, hasty = InlinePictures(Inline()), InlinePictures(Inline(), max_encoded_bytes=1)
    for unit in units[:8]:
        for pictures in (patient, hasty):
            pictures.add(unit, is_seen=True)
            if pictures.wants_decoding:
                pictures.decode(units[0].pts_us, unit.pts_us)
        assert not hasty.wants_decoding
    window = units[:8]
    assert kinds(media(patient, window).parts(QUESTION)) == [VideoPart]
    shown = media(hasty, window)
    assert kinds(shown.parts(QUESTION)) == [ImagePart] * 8
    # The same pictures as when they are decoded late.
    late = InlinePictures(Inline())
    for unit in units[:8]:
        late.add(unit, is_seen=True)
    late.decode(units[0].pts_us, units[7].pts_us)
    assert late._jpegs == shown.jpegs
    assert hasty.damaged == late.damaged == 0


def test_what_no_window_needs_is_forgotten(units: list[AccessUnit]) -> None:
    pictures = InlinePictures(Inline())
    for unit in units[:12]:
        pictures.add(unit, is_seen=True)
    # Begins in the middle of a GOP.
    assert kinds(media(pictures, units[2:5]).parts(QUESTION)) == [ImagePart] * 3
    pictures.forget_before(units[5].pts_us)
    assert not pictures._jpegs
    assert kinds(media(pictures, units[5:9]).parts(QUESTION)) == [VideoPart]
    pictures.forget_before(units[12].pts_us)
    for unit in units[12:]:
        pictures.add(unit, is_seen=True)
    # The GOP in whose middle the next window begins is kept for it.
    shown = media(pictures, units[12:14])
    assert [*shown.jpegs] == pts(units[12:14])


def test_a_window_of_which_nothing_can_be_shown_has_no_media(units: list[AccessUnit]) -> None:
    pictures = InlinePictures(Inline())
    # Without the key frame before them.
    for unit in units[1:3]:
        pictures.add(unit, is_seen=True)
    assert pictures.media_of(pts(units[1:3]), pts(units[1:3]), (QUESTION,)) is None
    assert pictures.damaged == 2
