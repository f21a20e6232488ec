"""Camera → infer → Parquet through outages and crashes: rows and gaps cover the whole time."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import pyarrow.dataset as ds
import pytest
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink
from end_to_end_support import KEY, Server
from rtsp_support import CameraServer, until

from overshoot_flow.config import FrameMode, Inference
from overshoot_flow.flow import infer, run, to_arrow
from overshoot_flow.flow.stopping import STOP
from overshoot_flow.media.reconnecting import ReconnectPlan
from overshoot_flow.media.sampling import FramesPerSecond
from overshoot_flow.results import Outcome, Result
from overshoot_flow.session.ledger import LEDGER
from overshoot_flow.session.runtime import RUNTIME
from overshoot_flow_connectors.parquet import ParquetSink
from overshoot_flow_connectors.rtsp import Camera, RtspSettings, RtspSource

pytestmark = pytest.mark.xdist_group("real time")

CHILD = Path(__file__).with_name("camera_child.py")
PASSWORD = "hidden-password"  # noqa: S105 - the test's own
FRAME_US = 250_000
"""Samples come every 200 ms, from pictures every 40 ms."""

Row = Mapping[str, Any]
Servers = Callable[..., CameraServer]


def span(row: Row) -> tuple[int, int] | None:
    """The media time that a row accounts for."""
    if row.get("settled_start_us") is not None:
        return row["settled_start_us"], row["settled_end_us"]
    return (row["media_start_us"], row["media_end_us"]) if "frames_lost" in row else None


def holes(rows: Iterable[Row]) -> list[tuple[int, int]]:
    """Stretches between 0 and the last row that no row accounts for."""
    covered_us = 0
    found = []
    for start_us, end_us in sorted(filter(None, map(span, rows))):
        if start_us > covered_us:
            found.append((covered_us, start_us))
        covered_us = max(covered_us, end_us)
    return found


def end_of(rows: Iterable[Row]) -> int:
    return max(end_us for _, end_us in filter(None, map(span, rows)))


def frames_in(rows: Iterable[Row]) -> int:
    return sum(
        row.get("frames_covered", 0) + row.get("frames_between", 0) + row.get("frames_lost", 0)
        for row in rows
    )


def read(folder: Path, dataset: str) -> list[Row]:
    path = folder / dataset
    rows: list[Row] = []
    if path.exists():
        rows = ds.dataset(path, partitioning="hive").to_table().to_pylist()
    return rows


def run_disturbed(flow: Dataflow, disturb: Callable[[], None]) -> None:
    """Run `flow` while another thread disturbs it; then stop. What fails there fails the test."""
    with ThreadPoolExecutor(1) as pool:

        def disturb_and_stop() -> None:
            try:
                disturb()
            finally:
                STOP.set()

        disturbing = pool.submit(disturb_and_stop)
        run(flow, epoch_interval=timedelta(seconds=0.5))
        disturbing.result()


def test_rows_and_gaps_cover_the_time_of_a_camera_that_dies_and_comes_back(
    server: Server,
    camera_servers: Servers,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cameras = camera_servers({"door": {"width": 640, "height": 360}}, ("user", PASSWORD))
    camera = Camera(url=cameras.url("door", f"user:{PASSWORD}@"), name="door")
    settings = RtspSettings(reconnect=ReconnectPlan(tiers=((1000, 0.2),)))
    source = RtspSource(camera, sample=FramesPerSecond(5), settings=settings)
    inference = Inference(prompt="?", mode=FrameMode(interval_s=0.25))
    RUNTIME.failures.clear()
    answers: list[str] = []
    times_us: list[int] = []

    flow = Dataflow("cameras")
    frames = op.input("cameras", flow, source)
    outcomes = infer("ask", frames, inference, server.service())
    counted = op.inspect("count", outcomes, lambda _, o: answers.append(type(o).__name__))
    op.output("parquet", to_arrow("arrow", counted, inference), ParquetSink(tmp_path / "out"))

    def disturb() -> None:
        until(lambda: answers.count("Result") >= 4)
        cameras.kill()
        until(lambda: source.statuses()["door"].attempts >= 3)
        cameras.start()
        before = answers.count("Result")
        until(lambda: answers.count("Result") >= before + 6)
        times_us.append(time.monotonic_ns() // 1000)

    with caplog.at_level(logging.DEBUG):
        begun_us = time.monotonic_ns() // 1000
        run_disturbed(flow, disturb)

    results, dead_letters = (
        read(tmp_path / "out", "results"),
        read(tmp_path / "out", "dead_letters"),
    )
    gaps = read(tmp_path / "out", "gaps")
    rows = [*results, *dead_letters, *gaps]
    assert RUNTIME.failures == {}
    assert holes(rows) == []
    assert end_of(rows) == pytest.approx(times_us[0] - begun_us, abs=3_000_000)
    assert frames_in(rows) == LEDGER.frames_emitted("door")
    assert [gap["reason"] for gap in gaps].count("outage") >= 2
    assert {row["capture_basis"] for row in results} <= {"ntp", "arrival", "media"}
    assert all(row["captured_start"] is not None for row in results if row["frames_covered"])
    assert source.statuses()["door"].connections == 2
    assert server.alive() == []
    assert PASSWORD not in caplog.text
    for file in (tmp_path / "out").rglob("*.parquet"):
        assert PASSWORD.encode() not in file.read_bytes()
    assert all(PASSWORD not in str(row) for row in rows)


def test_a_service_that_is_away_costs_frames_and_no_reconnect(
    server: Server, camera_servers: Servers
) -> None:
    cameras = camera_servers({"door": {}})
    source = RtspSource(
        Camera(url=cameras.url("door"), name="door"),
        sample=FramesPerSecond(10),
        settings=RtspSettings(queue_frames=2),
    )
    inference = Inference(prompt="?", mode=FrameMode(interval_s=0.25))
    RUNTIME.failures.clear()
    outcomes_seen: list[Outcome] = []
    flow = Dataflow("cameras")
    outcomes = infer(
        "ask", op.input("cameras", flow, source), inference, server.service(max_restarts=0)
    )
    kept = op.inspect("keep", outcomes, lambda _, outcome: outcomes_seen.append(outcome))
    op.output("kept", kept, TestingSink([]))

    def disturb() -> None:
        until(lambda: results() >= 3)
        server.fault("http_errors", count=6, status=503)
        server.fault("room_disconnect", permanent=True)
        until(lambda: source.statuses()["door"].given_up.get("dropped", 0) >= 5)
        before = results()
        until(lambda: results() >= before + 3)

    def results() -> int:
        return sum(isinstance(outcome, Result) for outcome in outcomes_seen)

    run_disturbed(flow, disturb)
    said = [asdict(outcome) for outcome in outcomes_seen]
    assert holes(said) == []
    assert frames_in(said) == LEDGER.frames_emitted("door")
    assert "dropped" in {row.get("reason") for row in said}
    assert source.statuses()["door"].attempts == 1
    assert RUNTIME.failures == {}


def test_a_killed_run_goes_on_with_a_gap_of_its_absence(
    server: Server, camera_servers: Servers, tmp_path: Path
) -> None:
    cameras = camera_servers({"door": {}}, ("user", PASSWORD))
    log, state = tmp_path / "log", tmp_path / "state"
    environment = {
        **os.environ,
        "OVERSHOOT_API_KEY": KEY,
        "CAMERA_URL": cameras.url("door", f"user:{PASSWORD}@"),
    }
    begun_us = time.monotonic_ns() // 1000
    said = ""
    answered_us: list[int] = []
    for stop_with in (signal.SIGKILL, signal.SIGTERM, signal.SIGTERM):
        known = {stream["stream_id"] for stream in server.streams()}

        def answered(known: set[str] = known) -> bool:
            streams = [s for s in server.streams() if s["stream_id"] not in known]
            return sum(len(stream["results"]) for stream in streams) >= 12

        process = subprocess.Popen(
            [sys.executable, str(CHILD), server.base_url, str(state), str(log)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            until(answered)
            answered_us.append(time.monotonic_ns() // 1000)
        finally:
            process.send_signal(stop_with)
            said += process.communicate(timeout=60)[1]
    ended_us = time.monotonic_ns() // 1000

    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert holes(rows) == []
    assert answered_us[-1] - answered_us[0] < end_of(rows) < ended_us - begun_us
    reasons = [row["reason"] for row in rows if row["kind"] == "Gap"]
    crashes = [row for row in rows if row.get("reason") == "crash"]
    assert crashes, reasons
    # An orderly stop leaves nothing unfinished: whatever crashed lies before its gap.
    absences = [row for row in rows if row.get("detail") == "the run was stopped"]
    assert max(row["media_end_us"] for row in crashes) <= min(
        row["media_start_us"] for row in absences
    ), [(row["reason"], row["media_start_us"], row["media_end_us"]) for row in crashes + absences]
    assert PASSWORD not in said
    assert all(PASSWORD not in str(row) for row in rows)
    for file in state.rglob("*"):
        assert file.is_dir() or PASSWORD.encode() not in file.read_bytes()
