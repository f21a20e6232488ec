"""Cameras through the product's own dataflow: `RtspSource`, `infer`, a sink that counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition

from overshoot_flow.config import FrameMode, Inference, Service
from overshoot_flow.flow import infer, run
from overshoot_flow.flow.stopping import STOP
from overshoot_flow.media.sampling import FramesPerSecond, SamplingPlan
from overshoot_flow.results import Heartbeat, Outcome, Result
from overshoot_flow_connectors.rtsp import Camera, RtspSource

SAMPLES_PER_S = 6
_RESULTS_TO_BEGIN = 3
_US_PER_S = 1_000_000

Said = Outcome | Heartbeat


class ProductProgram:
    """The dataflow; `run` runs it in the calling thread, the main one, until `stop`.

    Args:
        urls: The cameras.
        service: Where it is asked.
        is_sampled: Decode and take samples; otherwise what is sent as it is, if that can be.
    """

    def __init__(self, urls: Sequence[str], service: Service, *, is_sampled: bool) -> None:
        plan: SamplingPlan | None = FramesPerSecond(SAMPLES_PER_S) if is_sampled else None
        cameras = [Camera(url=url, name=f"camera-{n}") for n, url in enumerate(urls)]
        self._source = RtspSource(cameras, sample=plan)
        self._results: defaultdict[str, list[Result]] = defaultdict(list)
        self._cameras = len(cameras)
        self._is_sampled = is_sampled
        self._flow = Dataflow("cameras")
        inference = Inference(prompt="What is there?", mode=FrameMode(interval_s=1.0))
        frames = op.input("cameras", self._flow, self._source)
        op.output("count", infer("ask", frames, inference, service), _Sink(self._results))

    def run(self) -> None:
        run(self._flow)

    def stop(self) -> None:
        STOP.set()

    def expected_pictures_per_s(self, fps: int) -> int:
        return SAMPLES_PER_S if self._is_sampled else fps

    def begun(self) -> bool:
        """Whether every camera has been answered about."""
        results = list(self._results.values())
        return len(results) == self._cameras and all(
            len(of_one) >= _RESULTS_TO_BEGIN for of_one in results
        )

    def pictures_per_s(self, from_us: int, until_us: int) -> float:
        """Return how many pictures a second were published and left, all cameras together."""
        return sum(_rate(results, from_us, until_us) for results in list(self._results.values()))

    def passed_through(self) -> int:
        """Return how many cameras' video is published as it is."""
        return sum(status.passes_through for status in self._source.statuses().values())


def _rate(results: list[Result], from_us: int, until_us: int) -> float:
    within = [result for result in results if from_us <= result.received_at_us <= until_us]
    by_stream: defaultdict[str, list[Result]] = defaultdict(list)
    for result in within:
        by_stream[result.stream_id].append(result)
    pictures = 0
    for of_one in by_stream.values():
        settled = sum(result.frames_covered + result.frames_between for result in of_one[1:])
        # Another track begins to count anew; then this is too little.
        sent = max(0, (of_one[-1].frames_sent_total or 0) - (of_one[0].frames_sent_total or 0))
        pictures += min(settled, sent)
    if len(within) < 2:  # noqa: PLR2004 - a rate needs two
        return 0.0
    return pictures / (within[-1].received_at_us - within[0].received_at_us) * _US_PER_S


class _Sink(DynamicSink[Said]):
    def __init__(self, results: Mapping[str, list[Result]]) -> None:
        self._results = results

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Counting:  # noqa: ARG002 - the engine's signature
        return _Counting(self._results)


class _Counting(StatelessSinkPartition[Said]):
    def __init__(self, results: Mapping[str, list[Result]]) -> None:
        self._results = results

    def write_batch(self, items: list[Said]) -> None:
        for item in items:
            if isinstance(item, Result):
                self._results[item.stream_key].append(item)
