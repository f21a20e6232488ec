"""The reader thread: bounded, complete, and prompt to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from made_videos import Recipe, make

from overshoot_flow.errors import ConfigurationError, MediaError
from overshoot_flow.media.decoding import SampleDecoder
from overshoot_flow.media.frames import Frame
from overshoot_flow.media.reader import FrameReader, MediaProblem
from overshoot_flow.media.sampling import EveryFrame, FramesPerSecond

DEADLINE_S = 20.0


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "condition not met in time"
        time.sleep(0.002)


def read_all(reader: FrameReader, at_once: int) -> list[Frame | MediaProblem]:
    items: list[Frame | MediaProblem] = []

    def poll() -> bool:
        polled = reader.poll(at_once)
        assert len(polled) <= at_once
        items.extend(polled)
        return reader.exhausted

    wait_until(poll)
    return items


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return make(tmp_path / "video.mp4", Recipe(options={"bf": "3"}, frames=90))


def test_everything_arrives_through_the_smallest_queue(video: Path) -> None:
    expected = list(SampleDecoder(video, EveryFrame(), stream_key="key"))
    with FrameReader(video, EveryFrame(), stream_key="key", max_frames=1) as reader:
        assert not reader.exhausted
        wait_until(lambda: reader.waits > 0)
        assert read_all(reader, at_once=3) == expected
        assert reader.poll(10) == []


def test_the_queue_is_bounded_in_frames(video: Path) -> None:
    with FrameReader(video, EveryFrame(), stream_key="key", max_frames=4) as reader:
        wait_until(lambda: reader.waits > 0)
        assert len(reader.poll(100)) == 4


def test_the_queue_is_bounded_in_bytes(video: Path) -> None:
    size = 128 * 96 * 3 // 2
    with FrameReader(
        video, EveryFrame(), stream_key="key", max_frames=50, max_bytes=3 * size + 1
    ) as reader:
        wait_until(lambda: reader.waits > 0)
        assert len(reader.poll(100)) == 3
    with FrameReader(video, EveryFrame(), stream_key="key", max_bytes=1) as reader:
        assert len(read_all(reader, at_once=5)) == 90


def test_close_stops_a_thread_that_waits_for_room(video: Path) -> None:
    before = set(threading.enumerate())
    reader = FrameReader(video, EveryFrame(), stream_key="key", max_frames=1)
    begun = set(threading.enumerate()) - before
    (thread,) = [each for each in begun if each.name.startswith("decode ")]
    wait_until(lambda: reader.waits > 0)
    reader.close()
    assert not thread.is_alive()
    reader.close()
    assert reader.poll(10) == []


def test_a_stopped_decoder_ends_without_the_rest(video: Path) -> None:
    decoder = SampleDecoder(video, EveryFrame(), stream_key="key")
    iterator = iter(decoder)
    first = next(iterator)
    decoder.stop()
    rest = list(iterator)
    decoder.close()
    assert isinstance(first, Frame)
    assert len(rest) < 45
    assert all(isinstance(item, Frame) for item in rest)


def test_resuming_gives_the_rest_of_the_same_samples(video: Path) -> None:
    plan = FramesPerSecond(5)
    expected = list(SampleDecoder(video, plan, stream_key="key"))
    start_us = 1_300_000
    with FrameReader(video, plan, stream_key="key", start_us=start_us) as reader:
        rest = read_all(reader, at_once=2)
    assert rest == [
        item for item in expected if isinstance(item, Frame) and item.pts_us >= start_us
    ]
    assert len(rest) == 8


def test_encoded_pictures_cannot_be_cut_at_their_end(video: Path) -> None:
    with pytest.raises(ConfigurationError, match="leave until_us out"):
        FrameReader(video, EveryFrame(), stream_key="key", encoded=True, until_us=1)


def test_a_file_that_cannot_be_opened_raises_at_once(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="cannot open"):
        FrameReader(tmp_path / "missing.mp4", EveryFrame(), stream_key="key")


def test_a_failure_of_the_thread_is_raised_where_it_is_polled(video: Path) -> None:
    class FailingPlan(FramesPerSecond):
        def wants(self, pts_us: int, next_pts_us: int, *, is_key_frame: bool) -> bool:
            if pts_us > 1_000_000:
                raise ZeroDivisionError("a bug in a plan")
            return super().wants(pts_us, next_pts_us, is_key_frame=is_key_frame)

    items: list[Frame | MediaProblem] = []
    with FrameReader(video, FailingPlan(5), stream_key="key") as reader:

        def poll_until_failure() -> bool:
            try:
                items.extend(reader.poll(1))
            except ZeroDivisionError:
                return True
            return False

        wait_until(poll_until_failure)
        assert not reader.exhausted
    assert [item.pts_us for item in items if isinstance(item, Frame)][:2] == [0, 200_000]
