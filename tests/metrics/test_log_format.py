"""The log as JSON: one object a line that says what it is about, and no objects of libraries."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest

from overshoot_flow.log_context import LogContext, log_context
from overshoot_flow_pipelines.log_format import formatter


class Log:
    """A logger of its own with the handler of the command line."""

    def __init__(self, name: str, log_format: str) -> None:
        self._stream = StringIO()
        self._handler = logging.StreamHandler(self._stream)
        self._handler.setFormatter(formatter(log_format))
        self._handler.addFilter(LogContext())
        self.logger = logging.getLogger(f"test.{name}")
        self.logger.propagate = False
        self.logger.setLevel(logging.DEBUG)
        self.logger.addHandler(self._handler)

    def close(self) -> None:
        self.logger.removeHandler(self._handler)

    @property
    def text(self) -> str:
        return self._stream.getvalue()

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def log(request: pytest.FixtureRequest) -> Iterator[Log]:
    made = Log(request.node.name, "json")
    yield made
    made.close()


def test_a_record_is_one_object_a_line(log: Log) -> None:
    log.logger.warning('über "%s"\nsecond line', "door")
    (record,) = log.records
    assert record.pop("ts").endswith("+00:00")
    assert record == {
        "level": "WARNING",
        "logger": log.logger.name,
        "message": 'über "door"\nsecond line',
    }


def test_an_exception_is_text(log: Log) -> None:
    try:
        int("no such thing")
    except ValueError:
        log.logger.exception("failed")
    (record,) = log.records
    assert record["exc_info"].startswith("Traceback")
    assert record["exc_info"].splitlines()[-1].startswith("ValueError: ")


def test_what_a_record_says_itself_wins_over_its_context(log: Log) -> None:
    with log_context(camera="door", step="ask"):
        log.logger.info("1")
        log.logger.info("2", extra={"camera": "gate"})
        with log_context(stream_id="s-1"):
            log.logger.info("3")
        log.logger.info("4")
    log.logger.info("5")
    facts = [
        {name: record.get(name) for name in ("camera", "step", "stream_id")}
        for record in log.records
    ]
    assert facts == [
        {"camera": "door", "step": "ask", "stream_id": None},
        {"camera": "gate", "step": "ask", "stream_id": None},
        {"camera": "door", "step": "ask", "stream_id": "s-1"},
        {"camera": "door", "step": "ask", "stream_id": None},
        {"camera": None, "step": None, "stream_id": None},
    ]


def test_tasks_inherit_what_they_are_about_and_do_not_mix(log: Log) -> None:
    async def work(camera: str) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
            log.logger.info(camera)

    async def both() -> None:
        tasks = []
        for camera in ("door", "gate"):
            with log_context(camera=camera):
                tasks.append(asyncio.create_task(work(camera)))
        await asyncio.gather(*tasks)

    asyncio.run(both())
    assert len(log.records) == 6
    assert all(record["camera"] == record["message"] for record in log.records)


def test_a_thread_says_itself_what_it_is_about(log: Log) -> None:
    named = log_context(camera="door")(lambda: log.logger.info("from a thread"))
    thread = threading.Thread(target=named)
    thread.start()
    thread.join()
    assert log.records[0]["camera"] == "door"


def test_objects_that_libraries_hang_on_records_are_left_out(log: Log) -> None:
    log.logger.info("connected", extra={"websocket": object(), "token": "secret"})
    assert log.records[0].keys() == {"ts", "level", "logger", "message"}


def test_text_stays_as_it_was(request: pytest.FixtureRequest) -> None:
    log = Log(request.node.name, "text")
    with log_context(camera="door"):
        log.logger.warning("gone")
    assert log.text == f"WARNING {log.logger.name}: gone\n"
    log.close()
