"""Topics of requests for clips, and flows that read them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from end_to_end_support import Run

from overshoot_flow.config import Inference, Service
from overshoot_flow.flow import infer, run
from overshoot_flow.results import Outcome
from overshoot_flow.session.runtime import RUNTIME
from overshoot_flow.spending import Budget
from overshoot_flow_connectors.kafka_clips import KafkaClipSource


class Requests:
    """A topic of its own, and what was written into it."""

    def __init__(self, bootstrap: str, topic: str, partitions: int = 1) -> None:
        self.bootstrap = bootstrap
        self.topic = topic
        admin = AdminClient({"bootstrap.servers": bootstrap})
        admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(timeout=60)
        self._producer = Producer({"bootstrap.servers": bootstrap})

    def ask(self, uri: Path | str, partition: int = 0, **request: Any) -> None:
        self.write(json.dumps({"uri": str(uri), **request}).encode(), partition)

    def write(self, value: bytes | None, partition: int = 0) -> None:
        self._producer.produce(self.topic, value, partition=partition)
        assert self._producer.flush(10) == 0

    def delete_before(self, offset: int) -> None:
        """Do what the retention of a topic does."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        place = TopicPartition(self.topic, 0, offset)
        admin.delete_records([place])[place].result(timeout=60)

    def source(self, **settings: Any) -> KafkaClipSource:
        settings = {"stop_at_end": True, **settings}
        return KafkaClipSource(self.bootstrap, self.topic, **settings)


def run_clips(
    source: KafkaClipSource,
    inference: Inference,
    service: Service,
    *,
    on_outcome: Callable[[Outcome], None] = lambda _: None,
    budget: Budget | None = None,
    **settings: Any,
) -> Run:
    """Run source → infer and collect what is said."""
    done = Run()
    RUNTIME.failures.clear()
    flow = Dataflow("clips")
    frames = op.input("requests", flow, source)
    outcomes = infer("ask", frames, inference, service, budget=budget)

    def collect(_step_id: str, outcome: Outcome) -> None:
        done.outcomes.append(outcome)
        on_outcome(outcome)

    op.output("kept", op.inspect("collect", outcomes, collect), TestingSink([]))
    run(flow, **settings)
    return done


def windows_of(done: Run, stream_key: str) -> list[tuple[int, int, list[int]]]:
    """Bounds and stamps of one clip's answered windows."""
    return [
        (result.media_start_us, result.media_end_us, result.output["stamps"])
        for result in done.results
        if result.stream_key == stream_key
    ]
