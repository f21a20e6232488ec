"""`overshoot-flow fleet` with a Kafka sink: what is said about a camera is in the topics, once."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from end_to_end_support import KEY, Server
from fleet_support import PASSWORD, FleetFile
from kafka_broker import read_topic
from observed import Scrape
from rtsp_support import CameraServer, free_port, until
from test_cameras import holes
from test_fleet_command import fleet_process

pytestmark = pytest.mark.xdist_group("real time")

Servers = Callable[..., CameraServer]
DATASETS = ("results", "gaps", "dead_letters", "usage")


@pytest.fixture
def file(
    server: Server, camera_servers: Servers, kafka: str, topic_prefix: str, tmp_path: Path
) -> FleetFile:
    # A reader that comes while a topic is being made may wait long for it.
    admin = AdminClient({"bootstrap.servers": kafka})
    topics = [NewTopic(f"{topic_prefix}{dataset}", 1, 1) for dataset in DATASETS]
    for made in admin.create_topics(topics).values():
        made.result(timeout=60)
    cameras = camera_servers({"a": {}}, ("user", PASSWORD))
    written = FleetFile(tmp_path, server, cameras)
    written.tail = (
        f'[[sink]]\ntype = "kafka"\nbootstrap = "{kafka}"\ntopic_prefix = "{topic_prefix}"\n'
        'delivery = "transactional"\n'
    )
    written.camera("a", 'labels = { site = "north" }')
    written.write()
    return written


def until_sent(process: subprocess.Popen[str], port: int, topic: str) -> None:
    """Wait until the process has made some more rows safe, as it says itself."""

    def sent() -> float:
        if process.poll() is not None:
            pytest.fail(f"it has ended: {process.communicate()}")
        try:
            return sum(Scrape.of(port).values("kafka_records_total", topic=topic))
        except OSError:
            return 0

    until(lambda: sent() >= 3)


def test_rows_of_a_camera_arrive_once_over_a_stop_and_a_kill(
    file: FleetFile, kafka: str, topic_prefix: str
) -> None:
    topic = f"{topic_prefix}results"
    port = free_port()
    options = ("--metrics", f"127.0.0.1:{port}", "--state", str(file.path.parent / "state"))
    said = ""
    for ending in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
        # One that is killed must stay so: the supervisor would begin it again.
        with fleet_process(file, *options, "--no-restart") as process:
            until_sent(process, port, topic)
            process.send_signal(ending)
            out, err = process.communicate(timeout=60)
        assert process.returncode == (0 if ending is signal.SIGTERM else -ending), err
        said += out + err

    read = {dataset: read_topic(kafka, f"{topic_prefix}{dataset}") for dataset in DATASETS}
    rows = {name: [json.loads(each.value()) for each in found] for name, found in read.items()}
    results, gaps = rows["results"], rows["gaps"]
    found = [*results, *gaps, *rows["dead_letters"]]
    assert {row["stream_key"] for row in found} == {"a"}
    assert {row["labels"]["site"] for row in found} == {"north"}
    # No moment of the camera is missing, and no row is there twice.
    assert holes(found) == []
    ids = [row["result_id"] for row in results]
    assert len(set(ids)) == len(ids)
    assert {"stopped", "crash"} <= {row["reason"] for row in gaps}
    messages = [message for found in read.values() for message in found]
    records = [dict(message.headers())["record-id"] for message in messages]
    assert len(set(records)) == len(records)
    for secret in (PASSWORD, KEY):
        assert secret not in said
        assert not any(secret.encode() in message.value() for message in messages)
