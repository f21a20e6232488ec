"""Dead letters of files are asked about again: the rows are those of a run without faults."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ask_again_support import FAULTS, REFUSED, SPEC, Archive, lettered, quoted, rows, said, why
from window_flow_support import WindowServer

from overshoot_flow.errors import AuthenticationError
from overshoot_flow.media.sampling import FramesPerSecond
from overshoot_flow.protocol.windows import EveryFrame, Interval, WindowPlan, Windows
from overshoot_flow.results import FailureReason
from overshoot_flow.session.windows_again import NotAsked
from overshoot_flow_connectors.parquet_dead_letters import Selection
from overshoot_flow_connectors.parquet_replay import replay

LETTERS = ["cut", "not_json", "refused", "refused"]


PLANS: dict[str, WindowPlan] = {
    "apart": Windows(1),
    "overlapping": Windows(2, 1),
    "gaps": Windows(0.5, 1, max_fps=5),
    "interval": Interval(1),
    "every frame": EveryFrame(),
}


@pytest.mark.parametrize(
    "case",
    [
        ("apart", "frames", "declared", "v1"),
        ("overlapping", "encoded", "folders", "v1beta"),
        ("overlapping", "frames", "declared", "v1"),
        ("gaps", "frames", "folders", "v1"),
        ("interval", "frames", "declared", "v1beta"),
        ("every frame", "encoded", "declared", "v1"),
    ],
    ids=" ".join,
)
def test_it_gives_the_rows_of_a_run_without_faults(
    case: tuple[str, str, str, str], v1_server: WindowServer, tmp_path: Path
) -> None:
    plan, read_as, layout, api = case
    archive = Archive.of(v1_server, tmp_path, PLANS[plan], api=api, is_encoded=read_as == "encoded")
    declared = layout == "declared"
    ideal = said(archive.run(tmp_path / "ideal", declared=declared))
    asked_before = len(v1_server.chats())
    out = archive.run(tmp_path / "out", *FAULTS, declared=declared)
    assert lettered(out) == LETTERS
    assert len(said(out)) == len(ideal) - 4

    report = archive.ask(out)
    assert (report.moved, report.asked, report.failing, report.not_asked) == (4, 4, {}, [])
    assert said(out) == ideal
    assert sorted(rows(out, "replays")["result_id"]) == sorted(
        rows(out, "dead_letters")["result_id"]
    )
    # Two questions were refused: all others have their charge, once.
    answered = len(v1_server.chats()) - asked_before
    usage = rows(out, "usage").drop_nulls("result_id")
    assert answered == len(ideal) + 4
    assert len(usage) == len(ideal) + 2
    newest = usage.sort("at").tail(report.asked)["cost_cents"]
    assert report.cost_cents == pytest.approx(newest.sum())

    again = archive.ask(out)
    assert (again.moved, again.asked, again.done_before) == (0, 0, 4)
    assert len(v1_server.chats()) - asked_before == answered
    assert said(out) == ideal


@pytest.mark.parametrize(
    ("b_frames", "reading"),
    [
        (0, {"is_encoded": True}),
        (2, {}),
        (2, {"sample": FramesPerSecond(4)}),
        (0, {"sample": FramesPerSecond(0.5)}),
    ],
    ids=["encoded", "every frame", "sampled", "sought"],
)
def test_windows_far_apart_have_the_same_pictures_again(
    b_frames: int, reading: dict[str, Any], v1_server: WindowServer, tmp_path: Path
) -> None:
    spec = replace(SPEC, duration_s=23.7, b_frames=b_frames)
    archive = Archive.of(v1_server, tmp_path, Windows(3, 2), spec=spec, **reading)
    ideal = said(archive.run(tmp_path / "ideal"))
    with quoted({20, 60, 80, 180, 200, 220}):
        out = archive.run(tmp_path / "out")
    assert 4 <= len(lettered(out)) < len(ideal) - 4
    report = archive.ask(out)
    assert (report.moved, report.not_asked) == (len(lettered(out)), [])
    assert said(out) == ideal


def test_only_those_without_a_whole_answer_unless_the_others_are_wanted(
    v1_server: WindowServer, tmp_path: Path
) -> None:
    archive = Archive.of(v1_server, tmp_path)
    out = archive.run(tmp_path / "out", *FAULTS)
    report = archive.ask(out, failing_too=False)
    assert (report.moved, report.failing) == (3, {"not_json": 1})
    report = replay(
        out,
        asking=archive.asking(),
        selection=Selection(reason=FailureReason.NOT_JSON),
    )
    assert (report.moved, report.asked, report.failing) == (1, 1, {})


def test_what_fails_again_stays_and_its_charge_is_recorded(
    v1_server: WindowServer, tmp_path: Path
) -> None:
    archive = Archive.of(v1_server, tmp_path)
    out = archive.run(tmp_path / "out", *FAULTS)
    charged = len(rows(out, "usage"))
    v1_server.fault("model_cut", count=3)
    v1_server.fault("model_not_json", count=1)
    report = archive.ask(out)
    assert (report.moved, report.asked) == (0, 4)
    assert report.failing == {"cut": 3, "not_json": 1}
    assert lettered(out) == LETTERS
    # One more row for each answer, and the account's balance.
    assert len(rows(out, "usage")) == charged + 5
    assert archive.ask(out).moved == 4


def test_the_budget_is_kept(v1_server: WindowServer, tmp_path: Path) -> None:
    archive = Archive.of(v1_server, tmp_path, settings={"max_in_flight": 1})
    out = archive.run(tmp_path / "out", *FAULTS)
    asked = len(v1_server.chats())
    one_cents = float(rows(out, "usage")["cost_cents"].drop_nulls().max())
    report = archive.ask(out, max_cost_cents=1.5 * one_cents)
    assert 1 <= report.moved == report.asked < 4
    assert why(report) == {NotAsked.BUDGET: 4 - report.moved}
    # What is above it was under way.
    assert report.cost_cents <= 2.5 * one_cents
    assert len(v1_server.chats()) == asked + report.asked
    assert archive.ask(out).moved == 4 - report.moved


def test_without_credit_it_fails_and_nothing_is_lost(
    v1_server: WindowServer, tmp_path: Path
) -> None:
    archive = Archive.of(v1_server, tmp_path, settings={"max_in_flight": 1})
    out = archive.run(tmp_path / "out", *FAULTS)
    ideal = said(archive.run(tmp_path / "ideal"))
    v1_server.fault("chat_errors", code="unauthorized", count=1)
    with pytest.raises(AuthenticationError):
        archive.ask(out)
    assert archive.ask(out).moved == 4
    assert said(out) == ideal


def test_text_answers_go_where_those_of_the_run_go(v1_server: WindowServer, tmp_path: Path) -> None:
    """Although every window has failed, so that there is no result yet."""
    archive = Archive.of(v1_server, tmp_path)
    archive = replace(archive, inference=replace(archive.inference, output_schema=None))
    columns = ["result_id", "raw_text"]
    ideal = said(archive.run(tmp_path / "ideal"), columns)
    out = archive.run(tmp_path / "out", {**REFUSED, "count": len(ideal)})
    assert archive.ask(out).moved == len(ideal)
    assert said(out, columns) == ideal
    assert not list((out / "results").glob("schema=*"))


@pytest.mark.xdist_group("real time")
def test_windows_that_were_published_are_asked_again_with_their_pictures(
    v1_server: WindowServer, tmp_path: Path
) -> None:
    archive = Archive.of(v1_server, tmp_path)
    columns = ["result_id", "output", "frames_covered", "settled_start_us", "settled_end_us"]
    ideal = said(archive.run(tmp_path / "ideal"), columns)
    live = replace(archive, is_live=True)
    out = live.run(tmp_path / "out", *FAULTS)
    assert lettered(out) == LETTERS
    assert None not in rows(out, "dead_letters")["stream_id"].to_list()
    report = archive.ask(out)
    assert (report.moved, report.not_asked) == (4, [])
    assert said(out, columns) == ideal
