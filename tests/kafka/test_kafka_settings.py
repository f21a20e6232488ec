"""Settings: what may be given, and that no secret is shown."""

from __future__ import annotations

import logging
import pickle
from typing import Any

import pytest
from confluent_kafka import KafkaError

from overshoot_flow.config import Secret
from overshoot_flow.errors import ConfigurationError, SinkError
from overshoot_flow.schema.records import Dataset
from overshoot_flow_connectors.kafka import Avro, KafkaSink, NewTopics, Registry
from overshoot_flow_connectors.kafka_patience import Patience, Verdict
from overshoot_flow_connectors.kafka_settings import KafkaSettings
from overshoot_flow_connectors.kafka_waiting import Waiting

PASSWORD = 'p"ss\\wörd'  # noqa: S105 - it opens nothing


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"bootstrap": " "}, "bootstrap is empty"),
        ({"bootstrap": f"user:{PASSWORD}@host:1"}, "credentials belong into settings"),
        ({"delivery": "twice"}, "one of at_least_once, transactional"),
        ({"partitions": 0}, "partitions is 0"),
        ({"topic_prefix": "a b"}, "'a bresults' is no name of a topic"),
        ({"topics": {"answers": "x"}}, "the datasets are results, dead_letters, gaps, usage"),
        (
            {"delivery": "transactional", "topics": {"gaps": "overshoot-control"}},
            "overshoot-control is the control topic",
        ),
        ({"settings": {"acks": "1"}}, "acks cannot be given: it is always all"),
        ({"settings": {"delivery.timeout.ms": 1}}, "give max_outage instead"),
        ({"settings": {"transactional.id": "x"}}, "give delivery instead"),
        ({"settings": {"error_cb": print}}, "error_cb is builtin_function_or_method"),
        ({"settings": {"no.such": 1}}, "refuses the settings: No such configuration property"),
        ({"settings": {"linger.ms": "soon"}}, "refuses the settings: Invalid value"),
        ({"settings": {"message.max.bytes": "x"}}, "must be a number of bytes"),
        ({"settings": {"ssl.ca.location": "/no", "security.protocol": "ssl"}}, "ssl.ca.location"),
    ],
)
def test_what_cannot_work_fails_at_construction(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        KafkaSink(**{"bootstrap": "127.0.0.1:1", **arguments})


def test_a_registry_and_new_topics_are_checked_at_construction() -> None:
    with pytest.raises(ConfigurationError, match="http://"):
        Registry(url="registry:8081")
    with pytest.raises(ConfigurationError, match=r"basic\.auth\.user\.info"):
        Registry(url="http://user:pw@registry")
    with pytest.raises(ConfigurationError, match="subject_naming"):
        Registry(url="http://r", subject_naming="x")  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(ConfigurationError, match=r"registry's client refuses .*no_such"):
        KafkaSink("h:1", format=Avro(Registry(url="http://r", settings={"no_such": 1})))
    # A secret that was not given as one is not shown either.
    assert "geheim" not in repr(Registry(url="http://r", settings={"bearer.auth.token": "geheim"}))
    with pytest.raises(ConfigurationError, match="partitions of new topics is 0"):
        NewTopics(partitions=0)


def test_topics_are_named_by_prefix_or_one_by_one() -> None:
    sink = KafkaSink("h:1", topic_prefix="video.", topics={"gaps": "holes"})
    assert sink.topics == {
        Dataset.RESULTS: "video.results",
        Dataset.DEAD_LETTERS: "video.dead_letters",
        Dataset.GAPS: "holes",
        Dataset.USAGE: "video.usage",
    }


@pytest.mark.parametrize("password", [Secret(PASSWORD), PASSWORD], ids=["Secret", "text"])
def test_no_secret_is_shown(password: Any, caplog: pytest.LogCaptureFixture) -> None:
    settings = KafkaSettings("h:1", {"sasl.password": password, "sasl.username": "me"})
    assert PASSWORD not in repr(settings)
    assert settings.for_connection()["sasl.password"] == PASSWORD
    error = KafkaError(KafkaError._AUTHENTICATION, f"{PASSWORD} and {PASSWORD!r} are wrong")
    assert settings.reason(error) == "*** and '***' are wrong (_AUTHENTICATION)"
    waiting = Waiting(settings, 10)
    with pytest.raises(SinkError, match=r"refuses: \*\*\* and .* Check the credentials"):
        waiting.step(error)
    with caplog.at_level(logging.DEBUG):
        settings._logger().error("SASL %s", PASSWORD)
    assert [record.getMessage() for record in caplog.records] == ["SASL ***"]


def test_a_refused_value_that_is_secret_is_not_shown() -> None:
    with pytest.raises(ConfigurationError) as raised:
        KafkaSink("h:1", settings={"linger.ms": Secret("geheim")})
    assert "geheim" not in str(raised.value)
    assert raised.value.__suppress_context__


def test_a_sink_with_secrets_is_not_pickled() -> None:
    sink = KafkaSink("h:1", settings={"sasl.password": Secret("geheim")})
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(sink)


def test_patience_speaks_at_10_s_and_every_60_s_and_ends() -> None:
    patience = Patience(limit_s=150, began_s=1000)
    said = [now_s for now_s in range(1000, 1150) if patience.look(now_s) is Verdict.SAY]
    assert said == [1010, 1070, 1130]
    assert patience.look(1149) is Verdict.WAIT
    assert patience.look(1150) is Verdict.GIVE_UP


def test_an_outage_is_told_of_once_and_its_end(caplog: pytest.LogCaptureFixture) -> None:
    waiting = Waiting(KafkaSettings("h:1", {}), 100)
    error = KafkaError(KafkaError._TRANSPORT, "connection refused")
    with caplog.at_level(logging.INFO):
        waiting.step(error)
        waiting.done()
        assert not caplog.records
        waiting.step(error)
        assert waiting._patience is not None
        waiting._patience.began_s -= 50
        waiting.step()
        waiting.step()
        waiting.done()
    first, last = [record.getMessage() for record in caplog.records]
    assert "takes no records: connection refused (_TRANSPORT); waited 50 s" in first
    assert "takes records again after 50 s" in last
    waiting.step(error)
    waiting._patience.began_s -= 100
    with pytest.raises(SinkError, match="took no records for 100 s: connection refused"):
        waiting.step()
