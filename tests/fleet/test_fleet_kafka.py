"""Kafka sinks of a fleet file."""

from __future__ import annotations

import pytest
from fleet_samples import ENVIRONMENT, SMALL

from overshoot_flow.config import Secret
from overshoot_flow.errors import FleetFileError
from overshoot_flow_connectors.fleet import parse_fleet
from overshoot_flow_connectors.fleet_model import FleetKafkaSink

ALL_ENVIRONMENT = {**ENVIRONMENT, "USER_INFO": "me:geheim"}
SINK = '[[sink]]\ntype = "kafka"\nbootstrap = "broker:9092"\n'


def parse(sink: str) -> FleetKafkaSink:
    (read,) = parse_fleet(SMALL + sink, environment=ALL_ENVIRONMENT).sinks
    assert isinstance(read, FleetKafkaSink)
    return read


def test_the_least_is_a_broker() -> None:
    assert parse(SINK) == FleetKafkaSink(bootstrap="broker:9092")


def test_everything_may_be_said() -> None:
    text = """\
topic_prefix = "video-"
format = "avro"
registry = "https://registry:8081"
registry_user_info = { env = "USER_INFO" }
delivery = "transactional"
[sink.settings]
"security.protocol" = "SASL_SSL"
"sasl.mechanism" = "PLAIN"
"sasl.username" = "me"
"sasl.password" = { env = "PASSWORD" }
"linger.ms" = 5
"""
    sink = parse(SINK + text)
    assert sink.settings["sasl.password"] == Secret(ENVIRONMENT["PASSWORD"])
    assert sink.settings["linger.ms"] == 5
    assert ENVIRONMENT["PASSWORD"] not in repr(sink)
    assert "geheim" not in repr(sink)
    made = sink.make()
    assert next(iter(made.topics.values())) == "video-results"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", '8: sink 1: "bootstrap" is missing'),
        ('bootstrap = "b:1"\nformat = "xml"', '11: sink 1: format must be "json" or "arrow" or'),
        ('bootstrap = "b:1"\nformat = "avro"', '11: sink 1: avro needs registry = "https://…"'),
        ('bootstrap = "b:1"\nregistry = "http://r"', "11: sink 1: only avro and json_schema use"),
        ('bootstrap = "b:1"\ndelivery = "once"', "11: sink 1: delivery must be"),
        ('bootstrap = "b:1"\n[sink.settings]\nacks = "1"', "sink 1: the setting acks cannot be"),
        ('bootstrap = "b:1"\n[sink.settings]\n"no.such" = 1', "No such configuration property"),
        ('bootstrap = "b:1"\n[sink.settings]\nx = [1]', "12: sink 1: settings: x must be a text,"),
        ('bootstrap = "b:1"\ntopic = "x"', '11: sink 1: unknown key "topic"'),
    ],
)
def test_problems_have_their_lines(text: str, problem: str) -> None:
    with pytest.raises(FleetFileError) as raised:
        parse_fleet(f'{SMALL}[[sink]]\ntype = "kafka"\n{text}', environment=ENVIRONMENT)
    assert problem in str(raised.value)
