"""A fleet file that is changed while it runs: every change is seen (`benchmarks/` say how soon)."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from end_to_end_support import Server
from fleet_support import PASSWORD, FleetFile, FleetRun, run_fleet_file
from rtsp_support import CameraServer, until
from test_cameras import frames_in, holes

from overshoot_flow.session.runtime import RUNTIME

pytestmark = pytest.mark.xdist_group("real time")

BLACK, WHITE = 20, 200
"""Mean luma of a picture that is all black or white is below the one, above the other."""

Servers = Callable[..., CameraServer]


@pytest.fixture
def cameras(camera_servers: Servers) -> CameraServer:
    wide = {"width": 640, "height": 360}
    return camera_servers(
        {"a": {}, "b": {}, "c": wide, "white": {"pattern": "white"}}, ("user", PASSWORD)
    )


def check_books(run: FleetRun, *names: str) -> None:
    """Rows cover the whole time of every camera, and every frame that was read is in one."""
    assert RUNTIME.failures == {}
    frames = run.source.frames_read()
    for name in names:
        assert holes(run.rows(name)) == [], name
        assert frames_in(run.rows(name)) == frames[name], name


def test_cameras_are_added_removed_and_brought_back(
    server: Server, cameras: CameraServer, tmp_path: Path
) -> None:
    file = FleetFile(tmp_path, server, cameras)
    file.camera("a")
    file.camera("b")
    file.write()

    def disturb(run: FleetRun) -> None:
        until(lambda: len(run.results("a")) >= 2 and len(run.results("b")) >= 2)
        file.camera("c")
        file.write()
        until(lambda: bool(run.results("c")))
        file.remove("b")
        file.write()
        until(lambda: "b" not in run.source.statuses())
        until(lambda: len(server.alive()) == 2)
        known = len(run.results("b"))
        file.camera("b")
        file.write()
        until(lambda: len(run.results("b")) > known)

    run = run_fleet_file(file, disturb)
    check_books(run, "a", "b", "c")
    assert "removed" in run.reasons("b")
    assert "crash" not in run.reasons("b")
    assert run.reasons("a").count("outage") == 1
    assert server.alive() == []


def test_a_camera_is_pointed_elsewhere_and_looked_at_differently(
    server: Server, cameras: CameraServer, tmp_path: Path
) -> None:
    file = FleetFile(tmp_path, server, cameras)
    file.camera("a")
    file.write()

    def sizes(run: FleetRun) -> set[tuple[int | None, int | None]]:
        return {(each.delivered_width, each.delivered_height) for each in run.results("a")}

    def disturb(run: FleetRun) -> None:
        until(lambda: (320, 240) in sizes(run))
        file.camera("a", mount="c")
        file.write()
        until(lambda: (640, 360) in sizes(run))
        file.camera("a", "max_height = 180", mount="c")
        file.write()
        until(lambda: (320, 180) in sizes(run))

    run = run_fleet_file(file, disturb)
    check_books(run, "a")
    # What is missed meanwhile is a changed gap; the last picture may stand until the next one.
    assert run.reasons("a").count("outage") == 1
    # One session with each camera: nothing else has been connected to.
    assert cameras.command("sessions")["sessions"] == 0


def test_a_mask_is_put_on_and_nobody_sees_what_is_under_it(
    server: Server, cameras: CameraServer, tmp_path: Path
) -> None:
    luma = {"type": "object", "properties": {"mean_luma": {"type": "number"}}}
    closed = {**luma, "required": ["mean_luma"], "additionalProperties": False}
    (tmp_path / "luma.json").write_text(json.dumps(closed))
    file = FleetFile(tmp_path, server, cameras)
    file.camera("white", 'schema = "luma.json"')
    file.write()

    def lumas(run: FleetRun) -> list[float]:
        return [each.output["mean_luma"] for each in run.results("white")]

    def disturb(run: FleetRun) -> None:
        until(lambda: len(lumas(run)) >= 2)
        everything = "mask = [{ left = 0, top = 0, right = 1, bottom = 1 }]"
        file.camera("white", 'schema = "luma.json"', everything)
        file.write()
        until(lambda: min(lumas(run)) < BLACK)
        known = len(lumas(run))
        until(lambda: len(lumas(run)) > known + 3)

    run = run_fleet_file(file, disturb)
    check_books(run, "white")
    found = lumas(run)
    masked_from = next(index for index, luma in enumerate(found) if luma < BLACK)
    assert min(found[:masked_from]) > WHITE
    assert max(found[masked_from + 1 :]) < BLACK


def test_another_prompt_reaches_the_running_stream(
    server: Server, cameras: CameraServer, tmp_path: Path
) -> None:
    file = FleetFile(tmp_path, server, cameras)
    file.camera("a")
    file.write()

    def disturb(run: FleetRun) -> None:
        until(lambda: len(run.results("a")) >= 2)
        file.camera("a", 'prompt = "And now?"')
        file.write()
        until(lambda: "And now?" in {each.prompt for each in run.results("a")})

    run = run_fleet_file(file, disturb)
    check_books(run, "a")
    assert len({each.stream_id for each in run.results("a")}) == 1
    assert len({each.prompt_version for each in run.results("a")}) == 2
    assert not {"changed", "stream_lost", "removed"} & set(run.reasons("a"))


def test_another_schema_gets_another_stream(
    server: Server, cameras: CameraServer, tmp_path: Path
) -> None:
    for name in ("width", "height"):
        schema = {"type": "object", "properties": {name: {"type": "integer"}}}
        closed = {**schema, "required": [name], "additionalProperties": False}
        (tmp_path / f"{name}.json").write_text(json.dumps(closed))
    file = FleetFile(tmp_path, server, cameras)
    file.camera("a", 'schema = "width.json"')
    file.write()

    def disturb(run: FleetRun) -> None:
        until(lambda: {"width": 320} in [each.output for each in run.results("a")])
        file.camera("a", 'schema = "height.json"')
        file.write()
        until(lambda: {"height": 240} in [each.output for each in run.results("a")])

    run = run_fleet_file(file, disturb)
    check_books(run, "a")
    assert len({each.stream_id for each in run.results("a")}) == 2
    assert run.reasons("a").count("outage") == 1


def test_a_raised_priority_takes_the_only_stream(
    server: Server, cameras: CameraServer, tmp_path: Path
) -> None:
    file = FleetFile(tmp_path, server, cameras)
    file.service_lines = ["max_streams = 1"]
    file.camera("a", "priority = 1")
    file.camera("b")
    file.write()

    def disturb(run: FleetRun) -> None:
        # Whoever is first has the stream until the other one is there.
        until(lambda: len(run.results("a")) >= 2 and run.source.statuses()["b"].paused)
        known = len(run.results("b"))
        file.camera("b", "priority = 2")
        file.write()
        until(lambda: len(run.results("b")) > known)
        until(lambda: run.source.statuses()["a"].paused)
        assert len(server.alive()) == 1

    run = run_fleet_file(file, disturb)
    check_books(run, "a", "b")
    assert "slot" in run.reasons("a")
    assert "slot" in run.reasons("b")


def test_a_wrong_file_changes_nothing_and_is_reported_once(
    server: Server, cameras: CameraServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = FleetFile(tmp_path, server, cameras)
    file.camera("a")
    file.write()

    def disturb(run: FleetRun) -> None:
        until(lambda: len(run.results("a")) >= 1)
        file.write(file.text().replace("[[camera]]", "[[camera"))
        until(lambda: run.source.problem is not None)
        known = len(run.results("a"))
        until(lambda: len(run.results("a")) > known + 2)
        file.camera("a", "priority = 1")
        file.tail = f'[[sink]]\ntype = "parquet"\ndirectory = "{tmp_path / "answers"}"'
        file.write()
        until(lambda: run.source.problem is None)
        assert run.source.fleet.cameras[0].priority == 1

    with caplog.at_level(logging.INFO):
        run = run_fleet_file(file, disturb)
    check_books(run, "a")
    assert caplog.text.count("its file is wrong") == 1
    assert "a: priority" in caplog.text
    assert "sinks of the fleet file cannot change" in caplog.text
    assert PASSWORD not in caplog.text
