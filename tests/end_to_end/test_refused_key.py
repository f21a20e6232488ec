"""A key that is refused, or has no credit, is tried once in a run, however many files there are."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from end_to_end_support import run_flow

from overshoot_flow.config import Inference, Secret, Service
from overshoot_flow.errors import OvershootFlowError
from overshoot_flow.local.testvideo import VideoSpec, generate
from overshoot_flow.protocol.windows import Windows
from overshoot_flow.results import GapReason
from overshoot_flow.session.runtime import RUNTIME
from overshoot_flow.session.slot_pool import SlotPool
from overshoot_flow.transport_config import Inline
from overshoot_flow_connectors.file import FileSource

FILES = 5


class RefusingServer(ThreadingHTTPServer):
    """Refuses whatever is asked of it, and counts."""

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), RefusingHandler)
        self.status = status
        self.asked: list[str] = []


class RefusingHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RefusingServer

    def do_GET(self) -> None:
        self.answer(404)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append(self.path)
        self.answer(self.server.status)

    def answer(self, status: int) -> None:
        body = json.dumps({"error": "refused", "message": "refused"}).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Tests need no log of it."""


@pytest.fixture(params=[401, 402])
def refusing(request: pytest.FixtureRequest) -> Iterator[RefusingServer]:
    server = RefusingServer(request.param)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.mp4" for number in range(FILES)]
    for path in paths:
        generate(path, VideoSpec(width=160, height=96, fps=5, duration_s=1, gop=5, text=False))
    return paths


@pytest.mark.parametrize(
    ("generation", "options"),
    [("v0.2", {}), ("v1", {}), ("v1", {"transport": Inline(), "max_in_flight": 1})],
    ids=["v0.2", "v1", "inline"],
)
def test_a_refused_key_is_tried_once_a_run(
    generation: str,
    options: dict[str, Any],
    refusing: RefusingServer,
    files: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused: list[Service] = []
    refuse = SlotPool.refuse

    def note(pool: SlotPool, service: Service, error: OvershootFlowError) -> None:
        refused.append(service)
        refuse(pool, service, error)

    monkeypatch.setattr(SlotPool, "refuse", note)
    url = f"http://127.0.0.1:{refusing.server_port}/{generation}"
    service = Service(key=Secret("ovs-hidden"), base_url=url, **options)
    mode = {} if generation == "v0.2" else {"windows": Windows(1)}
    inference = Inference(prompt="?", **mode)
    for runs in (1, 2):
        source = FileSource(files, concurrent=1)
        done = run_flow(files, inference, service, source=source)
        assert done.results == []
        assert {gap.reason for gap in done.gaps} == {GapReason.STOPPED}
        assert done.frames_settled == done.frames_emitted > 0
        assert len(RUNTIME.failures) == FILES
        # The next run may find that the key is good now.
        assert len(refusing.asked) == runs
        # Files that failed without a question do not prolong it.
        assert len(refused) == runs
