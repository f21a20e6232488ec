"""Archives whose windows travel in the questions: each window once, with exactly its frames."""

from __future__ import annotations

import json
import urllib.request
from datetime import datetime
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink
from end_to_end_support import KEY, STAMPS_SCHEMA, Run, Server, run_flow
from live_flow_support import PlayedCameras, until, watching

from overshoot_flow.assignment import Assignment
from overshoot_flow.config import Escalation, Inference, Secret, Service
from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow import filter_frames, run
from overshoot_flow.flow.inference import InferStep
from overshoot_flow.local.testvideo import VideoSpec, generate
from overshoot_flow.media.sampling import EveryFrame
from overshoot_flow.model_limits import ModelLimits
from overshoot_flow.protocol.windows import EveryFrame as EachFrame
from overshoot_flow.protocol.windows import Interval, WindowPlan, Windows
from overshoot_flow.results import FailureReason, Gap, GapReason, Result, Usage
from overshoot_flow.session import inline_windows
from overshoot_flow.session.ledger import LEDGER
from overshoot_flow.transport_config import Inline
from overshoot_flow_connectors.file import FileSource

SPECS = {
    "b-frames": VideoSpec(width=320, height=180, fps=10, duration_s=4.3, gop=20, b_frames=2),
    "odd pts": VideoSpec(
        width=320, height=180, fps=Fraction(30_000, 2_002), duration_s=3.1, gop=7, first_pts_s=0.71
    ),
    "in order": VideoSpec(width=320, height=180, fps=10, duration_s=3.7, gop=20, b_frames=0),
    "short": VideoSpec(width=320, height=180, fps=10, duration_s=0.7, gop=20, b_frames=0),
}
PLANS: dict[str, WindowPlan] = {
    "apart": Windows(1),
    "overlapping": Windows(2, 1),
    "gaps": Windows(Fraction(1, 2), 1, max_fps=5),
    "interval": Interval(Fraction(1, 2)),
    "every frame": EachFrame(),
}

CASES = [
    *(("odd pts", plan, "frames") for plan in PLANS),
    *(("in order", plan, "encoded") for plan in PLANS),
    *((spec, "apart", "frames") for spec in ("b-frames", "short")),
    *((spec, "overlapping", "encoded") for spec in ("b-frames", "short")),
]


def v1(server: Server, api: str = "v1", inline: Inline | None = None, **settings: Any) -> Service:
    return Service(
        key=Secret(KEY), base_url=f"{server.root}/{api}", transport=inline or Inline(), **settings
    )


def question(plan: WindowPlan, **settings: Any) -> Inference:
    return Inference(prompt="stamps?", output_schema=STAMPS_SCHEMA, windows=plan, **settings)


def made(folder: Path, spec: VideoSpec) -> Path:
    return generate(folder / "made.mp4", spec).path


def asked(path: Path, inference: Inference, service: Service, **source: Any) -> Run:
    return run_flow(
        [path], inference, service, source=FileSource(path, sample=EveryFrame(), **source)
    )


def frames_of(spec: VideoSpec) -> list[int]:
    """Pts in µs of every frame, and the end."""
    return [int(index * 1_000_000 / Fraction(spec.fps)) for index in range(spec.frames + 1)]


def ideal(spec: VideoSpec, plan: WindowPlan) -> list[tuple[int, int, list[int]]]:
    """Windows with true lengths, and the stamps that each shows, by definition."""
    *pts_us, end_us = frames_of(spec)
    if isinstance(plan, EachFrame):
        return [(a, b, [n]) for n, (a, b) in enumerate(pairwise([*pts_us, end_us]))]
    grid = plan.grid if isinstance(plan, Interval) else plan
    assert isinstance(grid, Windows)
    windows = []
    for window in grid.until(end_us):
        inside = [n for n, at_us in enumerate(pts_us) if window.start_us <= at_us < window.end_us]
        chosen = plan.choose(window, [pts_us[n] for n in inside])
        windows.append((window.start_us, window.end_us, [inside[n] for n in chosen]))
    return windows


def seen(done: Run) -> list[tuple[int, int, list[int]]]:
    return [(r.media_start_us, r.media_end_us, r.output["stamps"]) for r in done.results]


def near(seen_: list[tuple[int, int, list[int]]], ideal_: list[tuple[int, int, list[int]]]) -> bool:
    """Containers round to ticks: a bound that is a frame's time may be 1 µs off or so."""
    return [stamps for *_, stamps in seen_] == [stamps for *_, stamps in ideal_] and all(
        abs(a - c) <= 50 and abs(b - d) <= 50
        for (a, b, _), (c, d, _) in zip(seen_, ideal_, strict=True)
    )


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_each_window_is_asked_once_and_sees_exactly_its_frames(
    case: tuple[str, str, str], server: Server, tmp_path: Path
) -> None:
    spec, plan, read_as = case
    encoded = read_as == "encoded"
    path = made(tmp_path, SPECS[spec])
    done = asked(path, question(PLANS[plan]), v1(server), encoded=encoded)
    assert near(seen(done), ideal(SPECS[spec], PLANS[plan]))
    assert not done.failures
    assert not done.gaps
    assert done.frames_settled == done.frames_emitted == SPECS[spec].frames
    assert len({r.result_id for r in done.results}) == len(done.results)
    assert {(r.delivered_width, r.delivered_height, r.stream_id) for r in done.results} == {
        (320, 180, None)
    }
    assert server.streams() == []


def test_the_generations_give_the_same_ids_and_stamps(server: Server, tmp_path: Path) -> None:
    path = made(tmp_path, SPECS["b-frames"])
    one, other = (asked(path, question(Windows(2, 1)), v1(server, api)) for api in ("v1", "v1beta"))
    assert seen(one) == seen(other)
    assert [r.result_id for r in one.results] == [r.result_id for r in other.results]


@pytest.mark.xdist_group("real time")
def test_a_live_stream_gives_the_same_ids_and_stamps(server: Server, tmp_path: Path) -> None:
    path = made(tmp_path, SPECS["in order"])
    live = Service(key=Secret(KEY), base_url=f"{server.root}/v1")
    plan = Windows(2, 1)
    published = asked(path, question(plan), live)
    sent = asked(path, question(plan), v1(server), encoded=True)
    assert seen(published) == seen(sent)
    assert [r.result_id for r in published.results] == [r.result_id for r in sent.results]


def test_a_live_stream_cannot_travel_in_questions(server: Server) -> None:
    assignment = Assignment(inference=question(Windows(1)), services=(v1(server),))
    source = PlayedCameras({"gate": assignment})
    with watching(source) as done:
        until(lambda: done.gaps)
    assert not done.results
    assert "leave the transport Inline to archives" in done.gaps[0].detail


def chats_of(server: Server) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{server.root}/_local/chats", timeout=30) as answer:  # noqa: S310
        chats: list[dict[str, Any]] = json.load(answer)
    return chats


def test_large_windows_wait_for_each_other(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inline_windows, "MAX_ASKED_BYTES", 1)
    server.fault("model_slow", delay_s=0.1)
    path = made(tmp_path, SPECS["in order"])
    done = asked(path, question(Windows(1)), v1(server))
    assert near(seen(done), ideal(SPECS["in order"], Windows(1)))
    at = [datetime.fromisoformat(chat["at"]) for chat in chats_of(server)]
    assert all((later - before).total_seconds() >= 0.1 for before, later in pairwise(at))


def kinds(server: Server) -> list[tuple[int, str]]:
    """How many media each question had, and of which kind, by the first stamp in it."""
    chats = chats_of(server)
    chats.sort(key=lambda chat: chat["facts"]["stamps"])
    return [(len(chat["media"]), chat["media"][0].split(";")[0]) for chat in chats]


def test_windows_that_begin_with_a_key_frame_are_cut_without_encoding_anew(
    server: Server, tmp_path: Path
) -> None:
    path = made(tmp_path, SPECS["in order"])
    asked(path, question(Windows(1)), v1(server), encoded=True)
    video, image = "data:video/mp4", "data:image/jpeg"
    assert kinds(server) == [(1, video), (10, image), (1, video), (7, image)]


@pytest.mark.parametrize(
    ("limits", "inline", "sizes"),
    [
        (ModelLimits(takes_video=False), Inline(), [10, 10, 10, 7]),
        (ModelLimits(max_frames=8), Inline(), [8, 8, 8, 7]),
        (ModelLimits(), Inline(max_height=90), [10, 10, 10, 7]),
    ],
)
def test_what_is_no_video_for_the_model_travels_as_pictures(
    limits: ModelLimits, inline: Inline, sizes: list[int], server: Server, tmp_path: Path
) -> None:
    path = made(tmp_path, SPECS["in order"])
    asked(path, question(Windows(1), limits=limits), v1(server, inline=inline), encoded=True)
    assert kinds(server) == [(size, "data:image/jpeg") for size in sizes]


def test_a_model_is_shown_no_more_than_it_takes(server: Server, tmp_path: Path) -> None:
    spec = SPECS["b-frames"]
    path = made(tmp_path, spec)
    few = question(Windows(1), limits=ModelLimits(max_frames=3))
    inline = Inline(max_height=90, jpeg_quality=95)
    done = asked(path, few, v1(server, inline=inline, max_in_flight=1))
    # Evenly spread, the first and the last among them.
    assert [r.output["stamps"] for r in done.results] == [
        [0, 4, 9], [10, 14, 19], [20, 24, 29], [30, 34, 39], [40, 41, 42],
    ]  # fmt: skip
    assert {(r.delivered_width, r.delivered_height) for r in done.results} == {(160, 90)}
    assert done.frames_settled == spec.frames


def test_a_question_without_room_for_a_picture_fails_the_run(
    server: Server, tmp_path: Path
) -> None:
    path = made(tmp_path, SPECS["short"])
    cramped = question(Windows(1), limits=ModelLimits(context_tokens=10))
    done = asked(path, cramped, v1(server))
    assert [(gap.reason, gap.frames_lost) for gap in done.gaps] == [(GapReason.STOPPED, 7)]
    assert "above the model's 10" in done.gaps[0].detail


def test_the_second_question_sees_the_window_of_the_first(server: Server, tmp_path: Path) -> None:
    path = made(tmp_path, SPECS["in order"])
    then = Escalation(
        name="late",
        when=lambda answer: answer["stamps"][0] >= 20,
        inference=Inference(
            prompt="again?", output_schema=STAMPS_SCHEMA, limits=ModelLimits(max_frames=1)
        ),
    )
    done = asked(path, question(Windows(1), then=then), v1(server), encoded=True)
    second = [None if r.then is None else r.then.output for r in done.results]
    assert second == [None, None, {"stamps": [25]}, {"stamps": [33]}]


def test_what_a_filter_leaves_out_is_in_no_window(server: Server, tmp_path: Path) -> None:
    spec = SPECS["b-frames"]
    path = made(tmp_path, spec)
    done = run_flow(
        [path],
        question(Windows(1)),
        v1(server),
        source=FileSource(path, sample=EveryFrame()),
        between=lambda frames: filter_frames(
            "late", frames, lambda frame: not 500_000 <= frame.pts_us < 2_000_000
        ),
    )
    assert [r.output["stamps"] for r in done.results] == [
        [*range(5)], [*range(20, 30)], [*range(30, 40)], [40, 41, 42],
    ]  # fmt: skip
    assert [(gap.reason, gap.frames_lost) for gap in done.gaps] == [(GapReason.FILTERED, 15)]
    assert done.frames_settled == done.frames_emitted == spec.frames


def test_faults_of_the_service_are_outlived(server: Server, tmp_path: Path) -> None:
    spec = SPECS["b-frames"]
    path = made(tmp_path, spec)
    server.fault("chat_errors", count=2, code="upstream_request_failed", status=502)
    server.fault("chat_errors", count=1, code="provider_safety_block", status=400)
    done = asked(path, question(Windows(1)), v1(server, max_in_flight=4))
    assert len(done.results) == 4
    assert [failure.reason for failure in done.failures] == [FailureReason.REFUSED]
    assert done.frames_settled == done.frames_emitted == spec.frames


def test_a_wrong_key_ends_the_run_and_everything_is_accounted_for(
    server: Server, tmp_path: Path
) -> None:
    spec = SPECS["b-frames"]
    path = made(tmp_path, spec)
    service = Service(key=Secret("ovs-wrong"), base_url=f"{server.root}/v1", transport=Inline())
    done = asked(path, question(Windows(1)), service)
    assert not done.results
    assert {gap.reason for gap in done.gaps} == {GapReason.STOPPED}
    assert done.frames_settled == done.frames_emitted


def test_nothing_more_is_asked_or_read_when_the_budget_is_spent(
    server: Server, tmp_path: Path
) -> None:
    spec = VideoSpec(width=320, height=180, fps=10, duration_s=30, text=False)
    path = made(tmp_path, spec)
    service = v1(server, max_in_flight=1)
    assignment = Assignment(inference=question(Windows(1)), services=(service,), budget_cents=0.01)
    step = InferStep("ask", assignment)
    source = FileSource(path)
    said: list[Any] = []
    flow = Dataflow("budget")
    frames = op.input("files", flow, source)
    op.output("kept", op.flat_map_batch("ask", frames, step), TestingSink(said))
    run(flow)
    results = [each for each in said if isinstance(each, Result)]
    gaps = [each for each in said if isinstance(each, Gap)]
    cost_cents = sum(each.cost_cents or 0 for each in said if isinstance(each, Usage))
    assert 1 <= len(results) == len(chats_of(server))
    assert cost_cents <= 0.01
    assert {gap.reason for gap in gaps} == {GapReason.BUDGET}
    settled = sum(each.frames_covered for each in results) + sum(g.frames_lost for g in gaps)
    assert settled == LEDGER.frames_emitted(source.list_parts()[0]) <= spec.frames


def test_v02_takes_no_pictures_in_questions(server: Server) -> None:
    with pytest.raises(ConfigurationError, match="v1 and v1beta only"):
        Service(key=Secret(KEY), base_url=server.base_url, transport=Inline())
