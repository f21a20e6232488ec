"""Flows over v1 while the local server answers with an ordered error, and what its log says."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from end_to_end_support import KEY, STAMPS_SCHEMA, Run, Server, run_flow
from window_flow_support import WindowServer, window_server

from overshoot_flow.config import Inference, Secret, Service
from overshoot_flow.errors import OvershootFlowError
from overshoot_flow.local.testvideo import VideoSpec, generate
from overshoot_flow.media.sampling import EveryFrame
from overshoot_flow.protocol.windows import Windows
from overshoot_flow.session.runtime import RUNTIME
from overshoot_flow.transport_config import Transport
from overshoot_flow_connectors.file import FileSource

FPS = 10
WINDOW_S = Fraction(1, 2)
WINDOWS = 3
IDEAL = [list(range(first, first + 5)) for first in (0, 5, 10)]
"""The stamps that each window shows."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One chat completion as the server's log has it."""

    at_s: float
    code: str | None
    region: str
    stamps: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Faulty:
    """What came of a flow, on both sides."""

    run: Run
    chats: list[Asked]
    streams: list[dict[str, Any]]
    failures: list[OvershootFlowError]

    @property
    def codes(self) -> list[str | None]:
        return [each.code for each in self.chats]

    @property
    def stamps(self) -> list[list[int]]:
        return [result.output["stamps"] for result in self.run.results]


@pytest.fixture
def v1_server() -> Iterator[WindowServer]:
    with window_server() as server:
        yield server


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stamped video of three windows."""
    spec = VideoSpec(
        width=320, height=180, fps=FPS, duration_s=float(WINDOWS * WINDOW_S), text=False
    )
    return generate(tmp_path_factory.mktemp("clip") / "clip.mp4", spec).path


def run_over_v1(server: Server, clip: Path, transport: Transport, **settings: Any) -> Faulty:
    """Ask about every window of the clip, one question at a time; all frames are settled."""
    service = Service(
        key=Secret(KEY),
        base_url=f"{server.root}/v1",
        transport=transport,
        max_in_flight=1,
        **settings,
    )
    inference = Inference(
        prompt="Which stamps?", output_schema=STAMPS_SCHEMA, windows=Windows(WINDOW_S)
    )
    run = run_flow([clip], inference, service, source=FileSource(clip, sample=EveryFrame()))
    failures = list(RUNTIME.failures.values())
    assert run.frames_settled == run.frames_emitted
    # When a session fails, what has not been read by then stays unread.
    assert run.frames_emitted == WINDOWS * 5 or failures
    assert server.alive() == []
    return Faulty(run, _chats(server), server.streams(), failures)


def _chats(server: Server) -> list[Asked]:
    with urllib.request.urlopen(f"{server.root}/_local/chats", timeout=30) as answer:  # noqa: S310
        return [
            Asked(
                at_s=datetime.fromisoformat(chat["at"]).timestamp(),
                code=chat["code"],
                region=chat["region"],
                stamps=tuple(chat["facts"].get("stamps", ())),
            )
            for chat in json.load(answer)
        ]
