"""A real camera and a real service are measured, and nothing secret comes out of any page."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink
from end_to_end_support import KEY, FaultAfter, Server, run_flow
from observed import Scrape, fetch, health
from rtsp_support import CameraServer, free_port, until

from overshoot_flow.config import FrameMode, Inference
from overshoot_flow.flow import infer, run
from overshoot_flow.flow.stopping import STOP
from overshoot_flow.local.running import running_server
from overshoot_flow.local.server_config import ServerConfig
from overshoot_flow.media.reconnecting import ReconnectPlan
from overshoot_flow.media.sampling import FramesPerSecond
from overshoot_flow.results import Failure, Gap, Outcome, Result, Usage
from overshoot_flow.session.runtime import RUNTIME
from overshoot_flow_connectors.rtsp import Camera, RtspSettings, RtspSource
from overshoot_flow_pipelines.observability.server import ObservabilityServer

pytestmark = pytest.mark.xdist_group("real time")

PASSWORD = "hidden-password"  # noqa: S105 - the test's own
FLOW = Path(__file__).with_name("observed_flow.py")
COMMAND = [sys.executable, "-m", "overshoot_flow_pipelines.cli", "--log-format", "json", "-vv"]
JWT_START = "eyJhbGciOi"
"""How every room token begins."""
SECRETS = (PASSWORD, KEY, JWT_START)

Servers = Callable[..., CameraServer]


def test_a_camera_is_measured_through_an_outage(
    server: Server, camera_servers: Servers, request: pytest.FixtureRequest
) -> None:
    key = request.node.name
    cameras = camera_servers({"door": {"width": 640, "height": 360}}, ("user", PASSWORD))
    source = RtspSource(
        Camera(url=cameras.url("door", f"user:{PASSWORD}@"), name=key),
        sample=FramesPerSecond(5),
        settings=RtspSettings(reconnect=ReconnectPlan(tiers=((1000, 0.2),))),
    )
    inference = Inference(prompt="?", mode=FrameMode(interval_s=0.25))
    said: list[Outcome] = []
    pages: list[str] = []
    flow = Dataflow("observed")
    outcomes = infer("ask", op.input("cameras", flow, source), inference, server.service())
    op.output("kept", op.inspect("keep", outcomes, lambda _, o: said.append(o)), TestingSink([]))

    def page(path: str) -> str:
        pages.append(fetch(observed.port, path)[1])
        return pages[-1]

    def camera(name: str, **labels: str) -> float:
        return Scrape(page("/metrics")).value(name, camera=key, **labels)

    def disturb() -> None:
        until(lambda: camera("results_total") >= 4 and camera("camera_pictures_per_second") > 0)
        assert camera("camera_connected") == 1
        assert camera("session_state", state="live") == 1
        assert health(observed.port, "/healthz")[0] == 200
        status, ready = health(observed.port, "/readyz")
        assert (status, ready["problems"]) == (200, [])
        assert ready["cameras"] == {"connected": 1, "total": 1}
        assert camera("delivered_width_pixels") == 640
        assert camera("delivered_height_pixels") == 360
        assert 0 < camera("lag_seconds") < 10
        in_use = Scrape(page("/metrics")).value("streams_in_use", service=host_of(server))
        assert in_use == len(server.alive()) == 1
        cameras.kill()
        until(
            lambda: camera("camera_connected") == 0 and camera("camera_connect_attempts_total") > 2
        )
        assert health(observed.port, "/readyz")[1]["cameras"] == {"connected": 0, "total": 1}
        cameras.start()
        before = camera("results_total")
        until(lambda: camera("results_total") >= before + 4)
        assert camera("camera_connections_total") == 2

    with ObservabilityServer("127.0.0.1:0", source) as observed:
        assert health(observed.port, "/readyz")[0] == 503
        assert health(observed.port, "/healthz")[0] == 200
        run_disturbed(flow, disturb)
        page("/readyz")
        page("/healthz")
        after = Scrape(page("/metrics"))

    check_totals(after, said, key)
    assert after.value("session_state", camera=key, step="ask", state="closed") == 1
    for secret in SECRETS:
        assert not any(secret in text for text in pages)


def check_totals(after: Scrape, said: list[Outcome], key: str) -> None:
    """What was counted is what was said."""
    labels = {"camera": key, "step": "ask"}
    results = [outcome for outcome in said if isinstance(outcome, Result)]
    gaps = [outcome for outcome in said if isinstance(outcome, Gap)]
    dead_letters = [outcome for outcome in said if isinstance(outcome, Failure)]
    usage = [outcome for outcome in said if isinstance(outcome, Usage)]
    assert after.value("results_total", **labels) == len(results)
    assert sum(after.values("gaps_total", **labels)) == len(gaps)
    assert after.value("gaps_total", **labels, reason="outage") >= 1
    assert sum(after.values("dead_letters_total", **labels)) == len(dead_letters)
    cost_cents = sum(outcome.cost_cents or 0 for outcome in usage)
    assert after.value("cost_cents_total", **labels) == pytest.approx(cost_cents)
    assert cost_cents > 0
    for stage in ("capture_to_publish", "publish_to_answer", "inference", "answer_to_emitted"):
        assert after.value("latency_seconds_count", **labels, stage=stage) >= len(results) / 2, (
            stage
        )
    answered = after.value("latency_seconds_count", **labels, stage="answer_to_emitted")
    assert answered == len(results) + len(dead_letters)
    assert after.values("lag_seconds", **labels) == []
    assert after.value("frames_published_total", **labels) >= len(results) / 2


def host_of(server: Server) -> str:
    return server.root.removeprefix("http://")


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


def test_leases_are_counted(video: Callable[[float], Path], tmp_path: Path) -> None:
    path = tmp_path / "leased.mp4"
    # Not a link: the stream's key is that of the file behind it, which others of these tests ask.
    shutil.copy(video(4.0), path)
    config = ServerConfig(keys={KEY: 1000.0}, allow_faults=True, lease_ttl_s=1.5)
    with running_server(config) as running:
        server = Server(running.base_url)
        fail = FaultAfter(2, lambda: server.fault("http_errors", status=500))
        done = run_flow(
            [path],
            Inference(prompt="?", mode=FrameMode(interval_s=0.25)),
            server.service(),
            on_outcome=fail,
        )
    (status,) = [
        status
        for (_, stream_key), status in RUNTIME.statuses().items()
        if stream_key == done.results[0].stream_key
    ]
    facts = status.facts()
    # The last charge is asked for with a keepalive too, which renews nothing.
    assert facts.renewals == len(done.usage) - 1
    assert facts.renewals >= 4
    assert facts.renewals_failed == 1
    assert (facts.streams_created, facts.results) == (1, len(done.results))


def test_a_run_that_fails_on_all_sides_logs_json_without_secrets(
    server: Server, camera_servers: Servers
) -> None:
    cameras = camera_servers({"door": {}, "locked": {}}, ("user", PASSWORD))
    wrong = f"wrong-{PASSWORD}"
    port = free_port()
    environment = {
        **os.environ,
        "OVERSHOOT_API_KEY": KEY,
        "BASE_URL": server.base_url,
        "DOOR_URL": cameras.url("door", f"user:{PASSWORD}@"),
        "LOCKED_URL": cameras.url("locked", f"user:{wrong}@"),
    }
    server.fault("http_errors", count=2, status=503)
    process = subprocess.Popen(
        [*COMMAND, "run", f"{FLOW}:flow", "--metrics", f"127.0.0.1:{port}"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def results() -> float:
        try:
            return Scrape.of(port).value("results_total", camera="door", step="ask")
        except OSError:
            assert process.poll() is None, process.communicate()
            return 0

    try:
        until(lambda: results() >= 2)
        pages = [fetch(port, path)[1] for path in ("/metrics", "/healthz", "/readyz")]
        server.fault("http_errors", count=3, status=503)
        server.fault("room_disconnect", permanent=True)
        before = results()
        until(lambda: results() >= before + 2)
    finally:
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    records = [json.loads(line) for line in stderr.splitlines() if line.startswith("{")]
    others = [line for line in stderr.splitlines() if not line.startswith("{")]
    assert others == ["stopping: collecting the answers due; once more to stop at once"]
    assert all({"ts", "level", "logger", "message"} <= record.keys() for record in records)
    assert all(record["ts"].endswith("+00:00") for record in records)
    assert {record.get("camera") for record in records} >= {"door", "locked"}
    assert any(record["level"] == "ERROR" for record in records if record.get("camera") == "locked")
    lost = [record for record in records if "a new stream in" in record["message"]]
    assert {(record["camera"], record["step"]) for record in lost} == {("door", "ask")}
    by_stream = {record["stream_id"]: record for record in records if "stream_id" in record}
    assert by_stream.keys() == {stream["stream_id"] for stream in server.streams()}
    assert {record["camera"] for record in by_stream.values()} == {"door"}
    for secret in SECRETS:
        assert not any(secret in text for text in (stdout, stderr, *pages))


def test_a_refused_key_is_not_told(
    server: Server, video: Callable[[float], Path], tmp_path: Path
) -> None:
    wrong = "ovs-wrong-key-that-must-not-leak"
    done = subprocess.run(
        [
            *COMMAND,
            "archive",
            str(video(1.0)),
            *("--prompt", "?", "--out", str(tmp_path / "out"), "--base-url", server.base_url),
            *("--metrics", "127.0.0.1:0"),
        ],
        env={**os.environ, "OVERSHOOT_API_KEY": wrong},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    records = [json.loads(line) for line in done.stderr.splitlines()]
    assert any("401" in record["message"] for record in records if record["level"] == "ERROR")
    assert wrong not in done.stdout + done.stderr


def test_an_address_in_use_says_so(
    server: Server, video: Callable[[float], Path], tmp_path: Path
) -> None:
    taken = server.root.removeprefix("http://")
    done = subprocess.run(
        [
            *COMMAND,
            "archive",
            str(video(1.0)),
            *("--prompt", "?", "--out", str(tmp_path / "out"), "--metrics", taken),
        ],
        env={**os.environ, "OVERSHOOT_API_KEY": KEY},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    (record,) = [json.loads(line) for line in done.stderr.splitlines()]
    assert f"cannot listen on {taken}" in record["message"]
