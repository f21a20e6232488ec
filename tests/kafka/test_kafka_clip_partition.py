"""What the state of a partition of requests has, moment by moment; the session is played."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow.items import EndOfMedia, MediaGap, StreamOver, Tick
from overshoot_flow.results import Piece
from overshoot_flow.session.ledger import LEDGER
from overshoot_flow_connectors.kafka_clips import KafkaClipSource


def test_a_clip_leaves_the_state_in_the_epoch_of_its_last_outcomes(
    kafka: str, topic_prefix: str
) -> None:
    topic = f"{topic_prefix}clips"
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(timeout=60)
    producer = Producer({"bootstrap.servers": kafka})
    producer.produce(topic, b"no request")
    assert producer.flush(10) == 0
    key = f"{topic}-0-0"
    source = KafkaClipSource(kafka, topic, stop_at_end=True)
    part: Any = source.build_part("flow.clips", f"{topic}-0", None)
    said: list[Any] = []
    while not any(isinstance(item, EndOfMedia) for item in said):
        said += part.next_batch()
    assert [item.stream_key for item in said if isinstance(item, MediaGap)] == [key]
    account = LEDGER.account(key)
    assert account is not None
    account.attach("ask")
    # Its gap is under way: whoever goes on from here must say it again.
    assert part.snapshot()["open"].keys() == {0}
    account.put(Piece(step_id="ask", stream_key=key, start_us=0, end_us=0, outcomes=()))
    account.session_ended("ask")
    # It is in the ledger, and not yet emitted.
    state = part.snapshot()
    assert (state["offset"], state["open"].keys()) == (1, {0})
    ticks = [item for item in part.next_batch() if isinstance(item, Tick) and item.pieces]
    assert [tick.stream_key for tick in ticks] == [key]
    # It is emitted, though the stream is not closed yet: nobody must say it again.
    assert LEDGER.account(key) is account
    assert part.snapshot()["open"] == {}
    after: list[Any] = []
    while StreamOver(stream_key=key) not in after:
        after += part.next_batch()
    with pytest.raises(StopIteration):
        part.next_batch()
    part.close()

    # The state before goes on with a request that need not be read again.
    again: Any = source.build_part("flow.clips", f"{topic}-0", state)
    repeated: list[Any] = []
    while not any(isinstance(item, EndOfMedia) for item in repeated):
        repeated += again.next_batch()
    assert [item.stream_key for item in repeated if isinstance(item, MediaGap)] == [key]
    again.close()
    with pytest.raises(ConfigurationError, match="not of requests for clips"):
        source.build_part("flow.clips", f"{topic}-0", {"steps": {}})
