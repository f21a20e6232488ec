"""Fixtures: a stamped video, a local Overshoot server, and pipelines between them."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow, Stream
from bytewax.testing import TestingSink

from overshoot_flow.config import Inference, Secret, Service
from overshoot_flow.flow import infer, run
from overshoot_flow.flow.items import Item
from overshoot_flow.local.running import running_server
from overshoot_flow.local.server_config import ServerConfig
from overshoot_flow.local.testvideo import VideoSpec, generate
from overshoot_flow.media.sampling import FramesPerSecond
from overshoot_flow.results import Failure, Gap, Outcome, Result, Usage
from overshoot_flow.session.ledger import LEDGER
from overshoot_flow.session.runtime import RUNTIME
from overshoot_flow_connectors.file import FileSource

KEY = "ovs-test-key-that-must-not-leak"
FPS = 30
STAMPS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"stamps": {"type": "array", "items": {"type": "integer"}}},
    "required": ["stamps"],
    "additionalProperties": False,
}
"""Short enough for the token rule at four answers a second."""


@dataclass(frozen=True)
class Server:
    """The local server as a test sees it: from outside, over HTTP."""

    base_url: str

    @property
    def root(self) -> str:
        return self.base_url.removesuffix("/v0.2")

    def streams(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.root}/_local/streams", timeout=30) as answer:  # noqa: S310
            streams: list[dict[str, Any]] = json.load(answer)
        return streams

    def fault(self, kind: str, **settings: Any) -> None:
        request = urllib.request.Request(  # noqa: S310
            f"{self.root}/_local/faults",
            data=json.dumps({"kind": kind, **settings}).encode(),
            headers={"content-type": "application/json"},
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            assert answer.status < 300

    def service(self, **settings: Any) -> Service:
        return Service(key=Secret(KEY), base_url=self.base_url, **settings)

    def alive(self) -> list[str]:
        """Ids of streams that nobody has ended."""
        return [s["stream_id"] for s in self.streams() if s["state"] == "active"]


@pytest.fixture
def server() -> Iterator[Server]:
    config = ServerConfig(keys={KEY: 1000.0}, allow_faults=True)
    with running_server(config) as running:
        yield Server(running.base_url)


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Callable[[float], Path]:
    """Makes stamped videos of 640x360 at 30 fps, each length once per worker."""
    folder = tmp_path_factory.mktemp("video")
    made: dict[float, Path] = {}

    def make(duration_s: float) -> Path:
        if duration_s not in made:
            made[duration_s] = folder / f"stamped-{duration_s:g}.mp4"
            generate(
                made[duration_s],
                VideoSpec(width=640, height=360, fps=FPS, duration_s=duration_s, text=False),
            )
        return made[duration_s]

    return make


@dataclass
class Run:
    """What came out of one flow."""

    outcomes: list[Outcome] = field(default_factory=list)
    frames_emitted: int = 0

    @property
    def results(self) -> list[Result]:
        return [o for o in self.outcomes if isinstance(o, Result)]

    @property
    def failures(self) -> list[Failure]:
        return [o for o in self.outcomes if isinstance(o, Failure)]

    @property
    def gaps(self) -> list[Gap]:
        return [o for o in self.outcomes if isinstance(o, Gap)]

    @property
    def usage(self) -> list[Usage]:
        return [o for o in self.outcomes if isinstance(o, Usage)]

    @property
    def frames_settled(self) -> int:
        answers: list[Result | Failure] = [*self.results, *self.failures]
        return sum(o.frames_covered + o.frames_between for o in answers) + sum(
            gap.frames_lost for gap in self.gaps
        )


class FaultAfter:
    """Breaks something when the given number of answers has come."""

    def __init__(self, answers: int, break_it: Callable[[], None]) -> None:
        self._left = answers
        self._break_it = break_it

    def __call__(self, outcome: Outcome) -> None:
        if isinstance(outcome, Result):
            self._left -= 1
            if self._left == 0:
                self._break_it()


def run_flow(
    paths: list[Path],
    inference: Inference,
    service: Service,
    *,
    fps: float = FPS,
    source: Any = None,
    between: Callable[[Stream[Item]], Stream[Item]] = lambda stream: stream,
    on_outcome: Callable[[Outcome], None] = lambda _: None,
) -> Run:
    """Run file → infer and collect everything that is said; `source` replaces the file source."""
    done = Run()
    RUNTIME.failures.clear()
    source = source or FileSource(paths, sample=FramesPerSecond(fps))
    flow = Dataflow("test")
    frames = op.input("files", flow, source)
    outcomes = infer("ask", between(frames), inference, service)

    def collect(_step_id: str, outcome: Outcome) -> None:
        done.outcomes.append(outcome)
        on_outcome(outcome)

    op.output("kept", op.inspect("collect", outcomes, collect), TestingSink([]))
    run(flow)
    done.frames_emitted = sum(LEDGER.frames_emitted(key) for key, _ in source.sources)
    return done
