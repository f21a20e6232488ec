"""The thread that looks at a fleet file: what it reads, and when it ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink
from fleet_samples import CAMERA, ENVIRONMENT, SERVICE
from rtsp_support import until

from overshoot_flow.errors import FleetFileError
from overshoot_flow.flow.run_shape import RunShape, shape_of
from overshoot_flow_connectors.fleet_follower import FleetFollower
from overshoot_flow_connectors.fleet_source import FleetSource

SCHEMA = """{
  "type": "object",
  "properties": {"a": {"type": "integer"}},
  "required": ["a"],
  "additionalProperties": false
}"""
LOOK_S, SLOW_LOOK_S = 0.05, 1.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "fleet.toml"
    path.write_text(SERVICE + CAMERA)
    return path


@pytest.fixture
def follower(file: Path) -> Iterator[FleetFollower]:
    following = FleetFollower(file, ENVIRONMENT, look_interval_s=LOOK_S)
    following.acquire()
    yield following
    following.release()


def test_a_changed_file_is_read(file: Path, follower: FleetFollower) -> None:
    before = follower.fleet
    file.write_text(SERVICE + CAMERA + "priority = 7")
    until(lambda: follower.fleet.cameras[0].priority == 7)
    assert follower.fleet is not before


def test_a_file_that_it_refers_to_is_followed_too(file: Path, follower: FleetFollower) -> None:
    schema = file.with_name("a.json")
    schema.write_text(SCHEMA)
    file.write_text(SERVICE + CAMERA + 'schema = "a.json"')
    until(lambda: follower.fleet.cameras[0].inference.output_schema is not None)
    schema.write_text(SCHEMA.replace('"a"', '"b"'))
    until(lambda: "b" in str(follower.fleet.cameras[0].inference.output_schema))


def test_a_file_that_was_wrong_is_read_again(file: Path, follower: FleetFollower) -> None:
    right = follower.fleet
    file.write_text(SERVICE + CAMERA + "fps = -1")
    until(lambda: follower.problem is not None)
    assert follower.fleet is right
    # What was missing may be another file than those that are looked at.
    file.write_text(SERVICE + CAMERA + 'schema = "late.json"')
    until(lambda: "late.json" in str(follower.problem))
    file.with_name("late.json").write_text(SCHEMA)
    until(lambda: follower.problem is None)
    assert follower.fleet.cameras[0].inference.output_schema is not None


def test_a_file_that_never_rests_is_followed(file: Path) -> None:
    # So long that the writer is never held up from one look to the next.
    follower = FleetFollower(file, ENVIRONMENT, look_interval_s=SLOW_LOOK_S)
    over = threading.Event()

    def write_again_and_again() -> None:
        new = file.with_suffix(".new")
        for number in count():
            new.write_text(f'{SERVICE}{CAMERA}priority = 7\nlabels = {{ n = "{number}" }}\n')
            new.replace(file)
            if over.wait(SLOW_LOOK_S / 10):
                return

    writing = threading.Thread(target=write_again_and_again)
    writing.start()
    follower.acquire()
    try:
        until(lambda: follower.fleet.cameras[0].priority == 7, 8)
        assert writing.is_alive()
    finally:
        follower.release()
        over.set()
        writing.join()


@pytest.mark.parametrize(
    "lines",
    ['schema = "~no-such-user/s.json"', f"budget_cents = {10**400}", f"priority = 1{'0' * 5000}"],
    ids=["path", "number", "digits"],
)
def test_no_wrong_file_ends_the_fleet(file: Path, follower: FleetFollower, lines: str) -> None:
    right = follower.fleet
    file.write_text(SERVICE + CAMERA + lines)
    until(lambda: follower.fleet is right and follower.problem is not None, 5)
    file.write_text(SERVICE + CAMERA + "priority = 7")
    until(lambda: follower.fleet.cameras[0].priority == 7, 5)


def test_the_thread_runs_while_somebody_needs_it(file: Path) -> None:
    follower = FleetFollower(file, ENVIRONMENT, look_interval_s=LOOK_S)

    def threads() -> int:
        return sum(each.name == "fleet file" for each in threading.enumerate())

    before = threads()
    follower.acquire()
    follower.acquire()
    assert threads() == before + 1
    follower.release()
    assert threads() == before + 1
    follower.release()
    assert threads() == before
    follower.acquire()
    file.write_text(SERVICE + CAMERA + "priority = 7")
    until(lambda: follower.fleet.cameras[0].priority == 7)
    follower.release()
    assert threads() == before


def test_partitions_of_one_source_share_the_cameras_out(file: Path) -> None:
    names = [f"camera-{number}" for number in range(8)]
    file.write_text(
        SERVICE + "".join(CAMERA.replace("gate", name).replace("/a", f"/{name}") for name in names)
    )
    source = FleetSource(file, partitions=3, environment=ENVIRONMENT)
    parts = [source.build_part("cameras", key, None) for key in source.list_parts()]
    shares = [set(part.readers()) for part in parts]
    assert sorted(name for share in shares for name in share) == names
    for part in parts:
        part.close()
    assert source.statuses() == {}


def test_a_run_is_not_gone_on_with_by_another_number_of_partitions(file: Path) -> None:
    def shape(partitions: int) -> RunShape:
        flow = Dataflow("fleet")
        source = FleetSource(file, partitions=partitions, environment=ENVIRONMENT)
        op.output("out", op.input("cameras", flow, source), TestingSink([]))
        return shape_of(flow)

    problem = shape(2).change_since(shape(1))
    assert problem is not None
    assert "share 1 of 1 of the cameras" in problem
    assert shape(2).change_since(shape(2)) is None


def test_a_wrong_file_is_refused_at_the_start(file: Path) -> None:
    file.write_text(SERVICE + CAMERA + "fps = -1")
    with pytest.raises(FleetFileError, match=r"fleet.toml:8: .*fps must be above 0"):
        FleetSource(file, environment=ENVIRONMENT)
