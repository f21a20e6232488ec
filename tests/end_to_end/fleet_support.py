"""Fleet files that tests change while they are obeyed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink
from end_to_end_support import KEY, Server
from rtsp_support import CameraServer
from test_cameras import run_disturbed

from overshoot_flow.flow import infer
from overshoot_flow.results import Gap, Outcome, Result
from overshoot_flow.session.runtime import RUNTIME
from overshoot_flow_connectors.fleet_source import FleetSource

PASSWORD = "hidden-password"  # noqa: S105 - the test's own
ENVIRONMENT = {"FLEET_KEY": KEY, "CAMERA_PASSWORD": PASSWORD}


class FleetFile:
    """Writes a fleet file: one line after the other of TOML, by camera.

    Args:
        folder: Where it is written.
        server: The Overshoot server that is asked.
        cameras: The RTSP server; it demands credentials.
        top: Lines in front of everything.
    """

    def __init__(self, folder: Path, server: Server, cameras: CameraServer, top: str = "") -> None:
        self.path = folder / "fleet.toml"
        self._cameras = cameras
        self._base_url = server.base_url
        self._top = top
        self.mounts: dict[str, str] = {}
        self.lines: dict[str, list[str]] = {}
        self.service_lines: list[str] = []
        self.tail = ""

    def camera(self, name: str, *lines: str, mount: str | None = None) -> None:
        """Set what stands in the file about one camera."""
        self.mounts[name] = mount or name
        self.lines[name] = list(lines)

    def remove(self, name: str) -> None:
        del self.mounts[name], self.lines[name]

    def text(self) -> str:
        parts = [
            self._top,
            '[defaults]\nprompt = "What is there?"\nmode = "frame"\ninterval_s = 0.25\nfps = 5',
            f'[[service]]\nname = "main"\nbase_url = "{self._base_url}"',
            'key = { env = "FLEET_KEY" }',
            *self.service_lines,
        ]
        for name, mount in self.mounts.items():
            parts += [
                f'[[camera]]\nname = "{name}"\nurl = "{self._cameras.url(mount)}"',
                'user = "user"\npassword = { env = "CAMERA_PASSWORD" }',
                *self.lines[name],
            ]
        return "\n".join([*parts, self.tail, ""])

    def write(self, text: str | None = None) -> float:
        """Write the file; return when, by the monotonic clock."""
        self.path.write_text(self.text() if text is None else text)
        return time.monotonic()


@dataclass
class FleetRun:
    """What comes out of a fleet while it runs."""

    source: FleetSource
    outcomes: list[Outcome] = field(default_factory=list)

    def results(self, camera: str) -> list[Result]:
        return [o for o in self.outcomes if isinstance(o, Result) and o.stream_key == camera]

    def gaps(self, camera: str) -> list[Gap]:
        return [o for o in self.outcomes if isinstance(o, Gap) and o.stream_key == camera]

    def reasons(self, camera: str) -> list[str]:
        return [gap.reason.value for gap in self.gaps(camera)]

    def rows(self, camera: str) -> list[Mapping[str, Any]]:
        return [asdict(o) for o in self.outcomes if o.stream_key == camera]


def run_fleet_file(file: FleetFile, disturb: Callable[[FleetRun], None]) -> FleetRun:
    """Run a fleet file and collect what is said, while `disturb` works on it; then stop."""
    RUNTIME.failures.clear()
    run = FleetRun(FleetSource(file.path, environment=ENVIRONMENT))
    flow = Dataflow("fleet")
    outcomes = infer("ask", op.input("cameras", flow, run.source))
    kept = op.inspect("keep", outcomes, lambda _, outcome: run.outcomes.append(outcome))
    op.output("kept", kept, TestingSink([]))
    run_disturbed(flow, lambda: disturb(run))
    return run
