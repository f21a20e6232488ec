"""The broker dies, freezes and comes back while the sink writes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from kafka_broker import Broker
from rtsp_support import until
from sink_samples import a_part, results

from overshoot_flow.errors import SinkError
from overshoot_flow_connectors.kafka import Delivery, KafkaSink

pytestmark = pytest.mark.xdist_group("real time")


class Background:
    """Calls in a thread; `result` waits and raises what the call has raised."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._call()
        except BaseException as error:  # noqa: BLE001 - handed to the test
            self._error = error

    @property
    def is_done(self) -> bool:
        return not self._thread.is_alive()

    def result(self) -> None:
        self._thread.join(timeout=90)
        assert self.is_done
        if self._error is not None:
            raise self._error


def written_ids(broker: Broker) -> list[str]:
    return [json.loads(each.value())["result_id"] for each in broker.read("x-results")]


@pytest.mark.parametrize("delivery", ["at_least_once", "transactional"])
def test_a_broker_that_is_killed_and_comes_back_loses_nothing(
    own_broker: Broker, delivery: Delivery
) -> None:
    sink = KafkaSink(own_broker.bootstrap, topic_prefix="x-", delivery=delivery)
    part = a_part(sink)
    part.write_batch(results(*range(100)))
    part.snapshot()
    own_broker.kill()
    part.write_batch(results(*range(100, 200)))
    snapshot = Background(part.snapshot)
    snapshot._thread.join(timeout=2)
    assert not snapshot.is_done
    own_broker.start()
    snapshot.result()
    part.write_batch(results(*range(200, 300)))
    part.snapshot()
    part.close()
    assert written_ids(own_broker) == [str(number) for number in range(300)]


def test_while_the_broker_is_frozen_the_queue_stays_bounded(own_broker: Broker) -> None:
    settings = {"queue.buffering.max.messages": 50, "socket.timeout.ms": 2000}
    sink = KafkaSink(own_broker.bootstrap, topic_prefix="x-", settings=settings)
    part = a_part(sink)
    part.write_batch(results(0))
    part.snapshot()
    own_broker.freeze()
    try:
        writing = Background(lambda: part.write_batch(results(*range(1, 500))))
        until(lambda: part._producer.unacknowledged == 50)
        writing._thread.join(timeout=1)
        assert not writing.is_done
        assert part._producer.unacknowledged == 50
    finally:
        own_broker.thaw()
    writing.result()
    part.snapshot()
    part.close()
    assert written_ids(own_broker) == [str(number) for number in range(500)]


@pytest.mark.parametrize("delivery", ["at_least_once", "transactional"])
def test_a_broker_that_stays_away_stops_the_run_with_its_reason(
    own_broker: Broker, delivery: Delivery
) -> None:
    sink = KafkaSink(
        own_broker.bootstrap,
        topic_prefix="x-",
        delivery=delivery,
        max_outage=timedelta(seconds=5),
    )
    part = a_part(sink)
    own_broker.kill()
    part.write_batch(results(1))
    with pytest.raises(SinkError, match=r"took no records for .*(refused|disconnect|down|No such)"):
        part.snapshot()
    part.close()
