"""The inference clock, the picture ring and the faults of models."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import av
import pytest
from local_server_support import CountingEngine, next_result, publishing, serving, until

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.local.api_errors import ApiError
from overshoot_flow.local.engines import load_engine
from overshoot_flow.local.engines.base import EngineAnswer, Question, SeenFrame
from overshoot_flow.local.faults import HttpFaults, ModelFaults, parse_fault
from overshoot_flow.local.inference import cut, next_tick_s
from overshoot_flow.local.ring import FrameRing
from overshoot_flow.local.server import ServerConfig
from overshoot_flow.local.server_config import ModelStatus


def seen(arrived_at_s: float) -> SeenFrame:
    return SeenFrame(av.VideoFrame(64, 64, "yuv420p"), arrived_at_s)


def arrivals(frames: Sequence[SeenFrame]) -> list[float]:
    return [frame.arrived_at_s for frame in frames]


def test_ticks_that_passed_are_skipped() -> None:
    assert next_tick_s(10.0, 0.5, 10.0) == 10.5
    assert next_tick_s(10.0, 0.5, 10.5) == 11.0
    assert next_tick_s(10.0, 0.5, 12.2) == 12.5
    # A clock that is a hair early must not tick twice or at the first picture itself.
    assert next_tick_s(10.0, 0.5, 9.999) == 10.5


def test_an_answer_is_cut_only_beyond_the_cap() -> None:
    assert cut("x" * 8, 2) == ("x" * 8, "stop")
    assert cut("x" * 9, 2) == ("x" * 8, "length")


def test_a_window_holds_its_pictures_and_only_them() -> None:
    ring = FrameRing(retention_s=2.0, target_fps=None, max_bytes=10**9)
    assert ring.window(1.0, 100.0) == []
    for arrived_s in (100.0, 100.5, 101.0, 101.5):
        ring.add(seen(arrived_s))
    assert arrivals(ring.window(1.0, 101.5)) == [101.0, 101.5]
    assert arrivals(ring.window(1.0, 101.25)) == [100.5, 101.0]
    # Nothing came for a while: the newest picture stands for the window.
    assert arrivals(ring.window(0.1, 200.0)) == [101.5]


def test_a_ring_forgets_by_age() -> None:
    ring = FrameRing(retention_s=1.0, target_fps=None, max_bytes=10**9)
    for arrived_s in (100.0, 100.5, 101.0, 101.5):
        ring.add(seen(arrived_s))
    assert arrivals(ring.window(60.0, 101.5)) == [101.0, 101.5]
    assert ring.evicted_early == 0


def test_a_ring_forgets_the_oldest_for_want_of_bytes_and_counts_it() -> None:
    picture_bytes = 64 * 64 * 3 // 2
    ring = FrameRing(retention_s=60.0, target_fps=None, max_bytes=2 * picture_bytes)
    for arrived_s in (100.0, 100.1, 100.2):
        ring.add(seen(arrived_s))
    assert arrivals(ring.window(60.0, 100.2)) == [100.1, 100.2]
    assert ring.evicted_early == 1


def test_a_ring_keeps_the_target_rate_under_jitter_and_after_a_pause() -> None:
    ring = FrameRing(retention_s=60.0, target_fps=10, max_bytes=10**9)
    for index in range(30):
        jitter_s = 0.008 if index % 2 else 0.0
        ring.add(seen(100.0 + index / 30 + jitter_s))
    assert 9 <= len(ring.window(1.0, 101.0)) <= 11
    ring.add(seen(150.0))
    assert arrivals(ring.window(1.0, 150.0)) == [150.0]


def test_a_ring_without_retention_keeps_the_newest_only() -> None:
    ring = FrameRing(retention_s=0.0, target_fps=None, max_bytes=1)
    ring.add(seen(100.0))
    ring.add(seen(101.0))
    assert arrivals(ring.window(0.0, 200.0)) == [101.0]
    ring.clear()
    assert ring.window(0.0, 200.0) == []


@pytest.mark.parametrize(
    "order",
    [
        {},
        {"kind": "earthquake"},
        {"kind": "http_errors", "count": "2"},
        {"kind": "http_errors", "count": True},
        {"kind": "model_slow", "delay_s": "long"},
        [],
    ],
)
def test_a_fault_that_does_not_exist_is_refused(order: Any) -> None:
    with pytest.raises(ApiError) as caught:
        parse_fault(order)
    assert caught.value.status == 422


def test_http_faults_meet_their_path_only() -> None:
    faults = HttpFaults()
    faults.order(parse_fault({"kind": "http_errors", "path": "/v0.2/models", "status": 500}))
    assert faults.take("/v0.2/streams") is None
    fault = faults.take("/v0.2/models")
    assert fault is not None
    assert fault.status == 500
    assert faults.take("/v0.2/models") is None


def test_model_faults_meet_their_stream_only() -> None:
    faults = ModelFaults()
    faults.order(parse_fault({"kind": "model_errors", "stream_id": "a"}))
    faults.order(parse_fault({"kind": "model_slow", "stream_id": "a", "delay_s": 2}))
    answer = EngineAnswer("text")
    assert faults.distort("b", answer) == (None, answer)
    assert faults.distort("a", answer)[0] is not None
    assert faults.distort("a", answer) == (None, answer)
    assert (faults.delay_s("a"), faults.delay_s("b")) == (2, 0)
    faults.clear()
    assert faults.delay_s("a") == 0


def test_ordered_model_faults_show_in_the_results() -> None:
    async def scenario() -> None:
        async with serving(engine=CountingEngine(text='{"lane": 3}')) as client:
            stream = await client.created()
            for kind in ("model_errors", "model_not_json", "model_cut"):
                await client.fault(kind=kind, count=1, stream_id=stream["stream_id"])
            async with (
                client.results(stream["stream_id"]) as ws,
                publishing(stream["livekit"]["url"], stream["livekit"]["token"]),
            ):
                failed, garbled, cut_short, good = [await next_result(ws) for _ in range(4)]
            assert (failed["ok"], failed["result"], failed["finish_reason"]) == (False, "", None)
            assert failed["error"]
            assert (garbled["ok"], garbled["finish_reason"]) == (True, "stop")
            assert garbled["result"].startswith("{")
            assert garbled["result"] != good["result"]
            assert (cut_short["result"], cut_short["finish_reason"]) == ('{"lan', "length")
            assert (good["result"], good["finish_reason"]) == ('{"lane": 3}', "stop")

    asyncio.run(scenario())


class BrokenEngine(CountingEngine):
    """Fails at every question."""

    def answer(self, frames: Sequence[SeenFrame], question: Question) -> EngineAnswer:
        asked = f"{question.prompt}, {len(frames)} frame, schema {question.output_schema}"
        msg = f"no idea about {asked}"
        raise LookupError(msg)


def test_an_engine_that_fails_is_a_result_that_is_not_ok() -> None:
    async def scenario() -> None:
        async with serving(engine=BrokenEngine()) as client:
            stream = await client.created()
            async with (
                client.results(stream["stream_id"]) as ws,
                publishing(stream["livekit"]["url"], stream["livekit"]["token"]),
            ):
                for _ in range(2):
                    result = await next_result(ws)
                    assert result["ok"] is False
                    assert result["error"] == (
                        "LookupError: no idea about lanes?, 1 frame, schema None"
                    )

    asyncio.run(scenario())


class BlockedEngine(CountingEngine):
    """Waits in `answer` until it is let go; counts who is inside."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()
        self.inside = 0
        self.inside_most = 0

    def answer(self, frames: Sequence[SeenFrame], question: Question) -> EngineAnswer:
        self.inside += 1
        self.inside_most = max(self.inside_most, self.inside)
        self.let_go.wait(10)
        self.inside -= 1
        return super().answer(frames, question)


def test_a_slow_engine_skips_ticks_and_queues_none() -> None:
    async def scenario() -> None:
        engine = BlockedEngine()
        async with serving(engine=engine) as client:
            stream = await client.created()
            async with (
                client.results(stream["stream_id"]) as ws,
                publishing(stream["livekit"]["url"], stream["livekit"]["token"]),
            ):

                async def asked() -> bool:
                    return engine.inside == 1

                await until(asked)
                before = (await client.report(stream["stream_id"]))["frames_received"]

                # At 20 pictures and 10 ticks a second, 10 pictures are some 5 ticks.
                async def ticks_have_passed() -> bool:
                    report = await client.report(stream["stream_id"])
                    return bool(report["frames_received"] >= before + 10)

                await until(ticks_have_passed)
                engine.let_go.set()
                first = await next_result(ws)
                assert first["total_latency_ms"] >= first["inference_latency_ms"] > 100
                await next_result(ws)
                report = await client.report(stream["stream_id"])
            assert engine.inside_most == 1
            assert report["ticks_skipped"] >= 2

    asyncio.run(scenario())


def test_an_unknown_engine_or_a_status_of_no_model_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="pixels"):
        load_engine("oracle")

    async def scenario(**knobs: Any) -> None:
        async with serving(**knobs):
            pass

    statuses: dict[str, ModelStatus] = {"no/model": "ready"}
    with pytest.raises(ConfigurationError, match="no/model"):
        asyncio.run(scenario(model_statuses=statuses))
    with pytest.raises(ConfigurationError, match="oracle"):
        asyncio.run(scenario(engine="oracle"))
    assert ServerConfig().engine == "pixels"
