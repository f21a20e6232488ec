"""Windows wait until their frames are located, and show no more than a model takes."""

from __future__ import annotations

from collections.abc import Iterable

from overshoot_flow.inference import Inference
from overshoot_flow.model_limits import ModelLimits
from overshoot_flow.protocol.picture_indices import PictureIndices
from overshoot_flow.protocol.v1_chat import ImagePart, VideoPart
from overshoot_flow.protocol.windows import Windows
from overshoot_flow.session.outcomes import Delivery, PendingFrame
from overshoot_flow.session.window_cells import WindowCell, WindowCells
from overshoot_flow.session.window_job import WindowJob
from overshoot_flow.session.window_jobs import WindowJobs

FRAME_US = 250_000


def made(frames: int, plan: Windows) -> tuple[WindowJobs, PictureIndices]:
    """Windows over frames that were shown one after another and are not located yet."""
    indices = PictureIndices()
    jobs = WindowJobs("s-1", indices, 640, 360)
    cells = WindowCells(plan)
    for number in range(frames):
        pts_us = number * FRAME_US
        frame = PendingFrame(pts_us, FRAME_US, None, "media", None, published_at_s=100.0 + number)
        jobs.add(cells.push(frame))
        indices.shown(pts_us, number)
    jobs.add(cells.finish(frames * FRAME_US))
    return jobs, indices


def taken(jobs: WindowJobs) -> list[WindowJob]:
    return list(only_jobs(jobs.take_located(Delivery())))


def only_jobs(made_: Iterable[WindowJob | WindowCell]) -> Iterable[WindowJob]:
    for each in made_:
        assert isinstance(each, WindowJob)
        yield each


def urls(job: WindowJob, limits: ModelLimits | None = None) -> list[str]:
    return [str(part.url) for part in job.show(Inference(prompt="?", limits=limits))]


def test_a_window_is_taken_when_all_of_its_frames_are_located() -> None:
    jobs, indices = made(8, Windows(1))
    assert taken(jobs) == []
    indices.confirm(7, low=10, high=10)
    (first,) = taken(jobs)
    assert first.expires_at_s == 100.0 + 600.0 - 5.0
    indices.confirm(8, low=10, high=10)
    (second,) = taken(jobs)
    assert [job.uncertainty_us for job in (first, second)] == [0, 0]
    assert urls(first) == [
        "ovs://streams/s-1?start_frame_index=10&end_frame_index=14&max_fps=240.0"
    ]


def test_a_model_is_shown_what_it_takes() -> None:
    jobs, indices = made(4, Windows(1))
    indices.confirm(4, low=0, high=0)
    (job,) = taken(jobs)
    parts = job.show(Inference(prompt="?"))
    assert [type(part) for part in parts] == [VideoPart]
    images = job.show(Inference(prompt="?", limits=ModelLimits(takes_video=False)))
    assert [type(part) for part in images] == [ImagePart] * 4
    assert urls(job, ModelLimits(max_frames=2)) == [
        "ovs://streams/s-1?frame_index=0",
        "ovs://streams/s-1?frame_index=3",
    ]


def test_a_window_of_which_no_frame_is_sure_is_no_question() -> None:
    jobs, indices = made(8, Windows(1))
    indices.confirm(8, low=-1, high=0)
    cells = list(jobs.take_located(Delivery()))
    assert [type(cell) for cell in cells] == [WindowCell, WindowCell]
    assert jobs.take_unsettled() == []


def test_what_is_not_located_is_given_back_in_order() -> None:
    jobs, _ = made(8, Windows(1, 0.5))
    assert [frame.pts_us for frame in jobs.take_unsettled()] == [n * FRAME_US for n in range(8)]
