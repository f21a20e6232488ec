"""How long it takes until a change of a fleet file is seen in what the fleet says.

Up to four cameras of a GStreamer RTSP server are watched by a `FleetSource`, which asks the local
Overshoot server in a process of its own. The file is changed again and again. Measured is from the
end of the writing until

- `added`: a camera that was not there has its first result;
- `removed`: a camera is not watched any more;
- `pointed_elsewhere`: a camera has a result whose picture has the size of another camera's;
- `prompt`: a camera has a result of the new prompt;
- `schema`: a camera has a result that follows the new output schema, from a new stream.

Connecting to the camera, joining the room and the model's answer are part of it. The last line is
`RESULT {json}` with the median and the longest time of each kind.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink
from camera_services import KEY, CameraServer, running_overshoot

from overshoot_flow.flow import infer, run
from overshoot_flow.flow.stopping import STOP
from overshoot_flow.results import Outcome, Result
from overshoot_flow_connectors.fleet_source import FleetSource

WAIT_S = 60.0
_POLL_INTERVAL_S = 0.01
MOUNTS = {
    "small": {},
    "wide": {"width": 640, "height": 360},
    "second": {},
    "third": {},
    "added": {},
}
WIDTHS = {"small": 320, "wide": 640}
SCHEMAS = ("width", "height")


class FleetFile:
    """The file that is changed: per camera its mount and its lines."""

    def __init__(self, path: Path, base_url: str, cameras: CameraServer) -> None:
        self._path = path
        self._base_url = base_url
        self._cameras = cameras
        self.cameras: dict[str, tuple[str, list[str]]] = {}
        for name in SCHEMAS:
            schema = {
                "type": "object",
                "properties": {name: {"type": "integer"}},
                "required": [name],
                "additionalProperties": False,
            }
            path.with_name(f"{name}.json").write_text(json.dumps(schema))

    def write(self) -> float:
        """Write it as one does it who does not want half a file read; return when that was."""
        parts = [
            '[defaults]\nprompt = "What is there?"\nmode = "frame"\ninterval_s = 0.25\nfps = 5',
            f'[[service]]\nname = "main"\nbase_url = "{self._base_url}"\nmax_streams = 16',
            'key = { env = "FLEET_KEY" }',
        ]
        for name, (mount, lines) in self.cameras.items():
            parts += [f'[[camera]]\nname = "{name}"\nurl = "{self._cameras.url(mount)}"', *lines]
        new = self._path.with_suffix(".new")
        new.write_text("\n".join([*parts, ""]))
        new.replace(self._path)
        return time.monotonic()


class Watched:
    """What the fleet has said so far."""

    def __init__(self, source: FleetSource) -> None:
        self.source = source
        self._newest: dict[str, Result] = {}
        self._results: defaultdict[str, int] = defaultdict(int)

    def note(self, outcome: Outcome) -> None:
        if isinstance(outcome, Result):
            self._newest[outcome.stream_key] = outcome
            self._results[outcome.stream_key] += 1

    def results(self, camera: str) -> int:
        return self._results[camera]

    def newest(self, camera: str) -> Result | None:
        return self._newest.get(camera)


def wait(what: str, condition: Callable[[], bool]) -> float:
    """Return when `condition` became true."""
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > deadline_s:
            msg = f"{what}: not seen within {WAIT_S:g} s"
            raise TimeoutError(msg)
        time.sleep(_POLL_INTERVAL_S)
    return time.monotonic()


def measure(file: FleetFile, watched: Watched, rounds: int) -> Mapping[str, Sequence[float]]:
    """Change the file in every way `rounds` times; return the seconds by kind."""
    seconds: defaultdict[str, list[float]] = defaultdict(list)

    def change(kind: str, camera: str, lines: tuple[str, list[str]] | None, shows: Shows) -> None:
        if lines is None:
            del file.cameras[camera]
        else:
            file.cameras[camera] = lines
        known = watched.results(camera)
        written_s = file.write()
        seen_s = wait(kind, lambda: shows(known))
        seconds[kind].append(seen_s - written_s)

    for index in range(rounds):
        change("added", "added", ("added", []), lambda known: watched.results("added") > known)
        change("removed", "added", None, lambda _: "added" not in watched.source.statuses())
        mount = ("wide", "small")[index % 2]

        def has_width(_: int, width: int = WIDTHS[mount]) -> bool:
            newest = watched.newest("first")
            return newest is not None and newest.delivered_width == width

        change("pointed_elsewhere", "first", (mount, []), has_width)
        prompt = f"Question {index}?"

        def has_prompt(_: int, prompt: str = prompt) -> bool:
            newest = watched.newest("second")
            return newest is not None and newest.prompt == prompt

        change("prompt", "second", ("second", [f'prompt = "{prompt}"']), has_prompt)
        schema = SCHEMAS[index % 2]

        def has_schema(_: int, schema: str = schema) -> bool:
            newest = watched.newest("third")
            return (
                newest is not None and isinstance(newest.output, dict) and schema in newest.output
            )

        change("schema", "third", ("third", [f'schema = "{schema}.json"']), has_schema)
    return seconds


Shows = Callable[[int], bool]


def watch(file: FleetFile, path: Path, rounds: int) -> Mapping[str, Sequence[float]]:
    """Run the fleet while its file is changed."""
    file.cameras = {"first": ("small", []), "second": ("second", []), "third": ("third", [])}
    file.write()
    watched = Watched(FleetSource(path, environment={"FLEET_KEY": KEY}))
    flow = Dataflow("fleet")
    outcomes = infer("ask", op.input("cameras", flow, watched.source))
    noted = op.inspect("note", outcomes, lambda _, outcome: watched.note(outcome))
    op.output("kept", noted, TestingSink([]))
    found: list[Mapping[str, Sequence[float]]] = []

    def measure_and_stop() -> None:
        try:
            wait("begin", lambda: all(watched.results(name) > 1 for name in file.cameras))
            found.append(measure(file, watched, rounds))
        finally:
            STOP.set()

    measuring = threading.Thread(target=measure_and_stop)
    measuring.start()
    run(flow, epoch_interval=timedelta(seconds=1))
    measuring.join()
    if not found:
        sys.exit("a change was not seen")
    return found[0]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10, help="changes of each kind (10)")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder, running_overshoot(16) as overshoot:
        cameras = CameraServer(MOUNTS)
        try:
            path = Path(folder, "fleet.toml")
            seconds = watch(FleetFile(path, overshoot.base_url, cameras), path, rounds)
        finally:
            cameras.kill()
    result: dict[str, float | int | None] = {"changes_each": rounds, "cpus": os.cpu_count()}
    for kind, each in seconds.items():
        result[f"{kind}_median_s"] = round(statistics.median(each), 2)
        result[f"{kind}_most_s"] = round(max(each), 2)
    print("RESULT " + json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
