"""A fleet with a Kafka sink becomes a flow, and its state must have a place."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleet_samples import ENVIRONMENT, SMALL

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow.graph import steps_of
from overshoot_flow_connectors.fleet_source import FleetSource
from overshoot_flow_connectors.kafka import KafkaSink
from overshoot_flow_connectors.parquet import ParquetSink
from overshoot_flow_pipelines.fleet_flow import default_state, fleet_flow
from overshoot_flow_pipelines.tally import Tally

KAFKA = '[[sink]]\ntype = "kafka"\nbootstrap = "127.0.0.1:1"\n'
PARQUET = '[[sink]]\ntype = "parquet"\ndirectory = "answers"\n'


def source_of(folder: Path, sinks: str, monkeypatch: pytest.MonkeyPatch) -> FleetSource:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    file = folder / "fleet.toml"
    file.write_text(SMALL + sinks, encoding="utf-8")
    return FleetSource(file)


def test_both_kinds_of_sinks_are_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = source_of(tmp_path, KAFKA + PARQUET, monkeypatch)
    sinks = [getattr(step, "sink", None) for step in steps_of(fleet_flow(source, Tally()))]
    assert [type(sink) for sink in sinks if sink is not None] == [KafkaSink, ParquetSink]
    assert default_state(source) == tmp_path / "answers" / "_run"


def test_without_a_folder_the_state_needs_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match="give --state DIR"):
        default_state(source_of(tmp_path, KAFKA, monkeypatch))
