from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from pictures import decode

from overshoot_flow.local.engines import load_engine
from overshoot_flow.local.engines.base import Engine, Question, SeenFrame
from overshoot_flow.local.engines.pixels import PixelsEngine, luma_plane, measure
from overshoot_flow.local.testvideo import VideoSpec, generate, text_at, values_at

ARRIVED_AT_S = 1_770_000_000.25
READING_SCHEMA = {
    "type": "object",
    "properties": {
        "lane": {"type": "integer"},
        "count": {"type": "integer"},
        "plate": {"type": "string"},
        "seen_at": {"type": "string", "format": "date-time"},
    },
    "required": ["lane", "count", "plate", "seen_at"],
    "additionalProperties": False,
}


def seen(*images: av.VideoFrame) -> list[SeenFrame]:
    return [SeenFrame(image, ARRIVED_AT_S + index) for index, image in enumerate(images)]


def flat(level: int, *, width: int = 320, height: int = 180) -> av.VideoFrame:
    planes = np.full((height * 3 // 2, width), 128, dtype=np.uint8)
    planes[:height] = level
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[av.VideoFrame]:
    path = tmp_path_factory.mktemp("pattern") / "video.mp4"
    return decode(generate(path, VideoSpec(width=640, height=360, duration_s=2, fps=10)).path)


def test_pixels_measures_the_frames_it_got(pictures: list[av.VideoFrame]) -> None:
    facts = measure(seen(*pictures[3:7], flat(50), pictures[9]))
    assert facts["stamps"] == [3, 4, 5, 6, 9]
    assert (facts["first_stamp"], facts["last_stamp"]) == (3, 9)
    assert (facts["frame_count"], facts["unreadable"]) == (6, 1)
    assert (facts["width"], facts["height"]) == (640, 360)
    assert facts["motion"] > 1
    assert "stamped 3 to 9, moving" in facts["description"]


def test_pixels_measures_brightness_and_stillness_across_sizes() -> None:
    facts = measure(seen(flat(40), flat(60, width=640, height=360)))
    assert (facts["mean_luma"], facts["motion"]) == (50.0, 20.0)
    assert (facts["first_stamp"], facts["stamps"], facts["unreadable"]) == (None, [], 2)
    assert (facts["width"], facts["height"]) == (640, 360)
    still = measure(seen(flat(40)))
    assert still["motion"] == 0.0
    assert "without a readable stamp, still" in still["description"]


def test_pixels_reads_planes_that_are_padded() -> None:
    image = av.VideoFrame(170, 90, "yuv420p")
    plane = image.planes[0]
    assert plane.line_size > 170
    lines = np.full((90, plane.line_size), 255, dtype=np.uint8)
    lines[:, :170] = np.arange(170)
    plane.update(lines.tobytes())
    assert (luma_plane(image) == np.arange(170)).all()


def test_pixels_without_a_schema_answers_with_its_facts(pictures: list[av.VideoFrame]) -> None:
    answer = PixelsEngine().answer(seen(*pictures[:2]), Question("what is there?"))
    assert json.loads(answer.text) == answer.facts
    assert answer.finish_reason == "stop"


def test_pixels_fills_a_schema_from_its_facts(pictures: list[av.VideoFrame]) -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            "stamps": {"type": "array", "items": {"type": "integer"}},
            "mean_luma": {"type": "number"},
            "moving": {"type": "boolean"},
            "at": {"type": "string", "format": "date-time"},
        },
        "required": ["stamps", "mean_luma", "moving", "at"],
    }
    answer = PixelsEngine().answer(seen(pictures[0], pictures[10]), Question("", schema))
    assert json.loads(answer.text) == {
        "stamps": [0, 10],
        "mean_luma": answer.facts["mean_luma"],
        "moving": True,
        "at": "2026-02-02T02:40:01.250Z",
    }


@pytest.fixture(scope="module")
def ocr() -> Engine:
    pytest.importorskip(
        "rapidocr", reason="no RapidOCR; install it: pip install 'overshoot-flow[local,ocr]'"
    )
    return load_engine("ocr")


@pytest.mark.parametrize(
    ("height", "bitrate_bps"), [(720, 300_000), (540, 200_000), (360, 100_000)]
)
def test_ocr_reads_the_pattern_after_compression(
    tmp_path: Path, ocr: Engine, height: int, bitrate_bps: int
) -> None:
    spec = VideoSpec(
        width=height * 16 // 9, height=height, duration_s=4, fps=10, bitrate_bps=bitrate_bps
    )
    frames = decode(generate(tmp_path / "text.mp4", spec).path)
    for index in (0, 15, 25, 39):
        answer = ocr.answer(seen(frames[index]), Question("read it"))
        assert answer.text == text_at(index, spec.fps)
        assert answer.facts["stamp"] == index


def test_ocr_fills_a_schema_by_the_names_in_the_text(
    ocr: Engine, pictures: list[av.VideoFrame]
) -> None:
    answer = ocr.answer(seen(*pictures[10:13]), Question("read it", READING_SCHEMA))
    expected = values_at(11, 10)
    assert json.loads(answer.text) == {
        "lane": expected.lane,
        "count": expected.count,
        "plate": expected.plate,
        "seen_at": "2026-02-02T02:40:01.250Z",
    }
    assert answer.facts["stamp"] == 11
    assert answer.facts["lines"] == text_at(11, 10).splitlines()
    assert answer.facts["numbers"][:2] == [expected.lane, expected.count]


def test_ocr_finds_nothing_where_nothing_is_written(ocr: Engine) -> None:
    answer = ocr.answer(seen(flat(90)), Question("", {"type": "boolean"}))
    assert json.loads(answer.text) is False
    assert answer.facts == {"text": "", "lines": [], "numbers": [], "stamp": None}
    assert ocr.answer(seen(flat(90)), Question("")).text == ""


def test_ocr_loads_once_for_many_threads_and_never_over_the_network(
    ocr: Engine, pictures: list[av.VideoFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    connections: list[object] = []

    def refuse(_: socket.socket, address: object) -> None:
        connections.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", refuse)
    fresh = type(ocr)()
    texts: dict[int, str] = {}

    def ask(index: int) -> None:
        texts[index] = fresh.answer(seen(pictures[index]), Question("")).text

    threads = [threading.Thread(target=ask, args=(index,)) for index in (0, 12, 19)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == {index: text_at(index, 10) for index in (0, 12, 19)}
    assert connections == []
