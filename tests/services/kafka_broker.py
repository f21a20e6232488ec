"""A real Kafka node in a process of its own; for tests and benchmarks."""

from __future__ import annotations

import base64
import signal
import subprocess
import time
import uuid
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final

from certificates import certificate
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from cryptography import x509
from installed_services import START_S, free_port, installed

_PROPERTIES: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},SASL://127.0.0.1:{sasl},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL://127.0.0.1:{sasl}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL:SASL_SSL
inter.broker.listener.name=PLAINTEXT
listener.name.sasl.ssl.keystore.type=PEM
listener.name.sasl.ssl.keystore.location={certificate}
listener.name.sasl.sasl.enabled.mechanisms=PLAIN
listener.name.sasl.plain.sasl.jaas.config=\
  org.apache.kafka.common.security.plain.PlainLoginModule required user_me="right-password";
log.dirs={folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
log.retention.ms=-1
"""


class Broker:
    """One Kafka node, broker and controller in one, at 127.0.0.1 and always the same ports.

    At `sasl_bootstrap` it speaks TLS with `certificate`, and wants the user `me` with
    the password `right-password`.

    Args:
        folder: Its data; kept when it is killed and started again.
        properties: Further lines of its settings.
    """

    def __init__(self, folder: Path, properties: str = "") -> None:
        self._java_path, self._libs = installed("kafka-*", "Kafka")
        self._folder = folder
        self.port = free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        sasl = free_port()
        self.sasl_bootstrap = f"127.0.0.1:{sasl}"
        self._properties = folder / "server.properties"
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate = certificate(
            folder / "certificate.pem", x509.IPAddress(IPv4Address("127.0.0.1"))
        )
        text = _PROPERTIES.format(
            port=self.port,
            sasl=sasl,
            controller=free_port(),
            folder=folder,
            certificate=self.certificate,
        )
        self._properties.write_text(text + properties, encoding="utf-8")
        self.process: subprocess.Popen[bytes] | None = None
        # A dash in front would be taken for an option.
        cluster = "k" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]
        self._java("kafka.tools.StorageTool", "format", "-t", cluster, "-c").wait(timeout=START_S)
        self.start()

    def _java(self, *command: str) -> subprocess.Popen[bytes]:
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [
                    self._java_path, "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                    "-cp", f"{self._libs}/*", *command, str(self._properties),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def start(self, *, wait: bool = True) -> None:
        self.process = self._java("kafka.Kafka")
        if not wait:
            return
        try:
            self.wait()
        except BaseException:
            self.kill()
            raise

    def wait(self) -> None:
        deadline_s = time.monotonic() + START_S
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        while True:
            try:
                admin.list_topics(timeout=1)
            except KafkaException:
                assert self.process is not None
                log = (self._folder / "log").read_text(errors="replace")[-2000:]
                assert self.process.poll() is None, f"the broker has ended:\n{log}"
                assert time.monotonic() < deadline_s, f"the broker did not start:\n{log}"
            else:
                return

    def kill(self) -> None:
        """End it without a goodbye."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(timeout=10)
            self.process = None

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def read(
        self, topic: str, *, isolation: str = "read_committed", timeout_s: float = 30.0
    ) -> list[Any]:
        """Return all messages of a topic that a reader with this isolation sees."""
        return read_topic(self.bootstrap, topic, isolation=isolation, timeout_s=timeout_s)


def read_topic(
    bootstrap: str, topic: str, *, isolation: str = "read_committed", timeout_s: float = 30.0
) -> list[Any]:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": uuid.uuid4().hex,
            "isolation.level": isolation,
            "enable.partition.eof": True,
            "enable.auto.commit": False,
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=timeout_s).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        messages, ended = [], set()
        deadline_s = time.monotonic() + timeout_s
        while len(ended) < len(partitions):
            assert time.monotonic() < deadline_s, f"{topic} was not read to its end"
            for message in consumer.consume(1000, timeout=0.2):
                if message.error() is None:
                    messages.append(message)
                else:
                    ended.add(message.partition())
        return messages
    finally:
        consumer.close()


def headers_of(message: Any) -> dict[str, str]:
    return {name: value.decode() for name, value in message.headers()}
