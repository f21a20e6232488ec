"""Sinks of a fleet file: read, and built."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleet_samples import ENVIRONMENT, SMALL

from overshoot_flow_connectors.delta import DeltaSink
from overshoot_flow_connectors.fleet import load_fleet
from overshoot_flow_connectors.fleet_model import FleetKafkaSink
from overshoot_flow_connectors.iceberg import IcebergSink
from overshoot_flow_connectors.parquet import ParquetSink
from overshoot_flow_pipelines.fleet_sinks import folder_of, sink_of


@pytest.mark.parametrize(
    ("text", "kind", "place"),
    [
        ('type = "parquet"\ndirectory = "a"', ParquetSink, "{folder}/a"),
        ('type = "parquet"\ndirectory = "s3://b/a"\nstaging = "s"', ParquetSink, "s3://b/a"),
        ('type = "delta"\ndirectory = "a"\nstaging = "s"', DeltaSink, "{folder}/a"),
        ('type = "delta"\ndirectory = "s3://b/a"\nstaging = "s"', DeltaSink, "s3://b/a"),
        ('type = "iceberg"\ndirectory = "a"\nstaging = "s"', IcebergSink, "{folder}/a"),
        (
            'type = "iceberg"\ncatalog = "prod"\nnamespace = "x.y"\nstaging = "s"',
            IcebergSink,
            "prod",
        ),
    ],
)
def test_a_sink_is_what_the_file_says(text: str, kind: type, place: str, tmp_path: Path) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text(SMALL + f"[[sink]]\n{text}\nroll_interval_s = 7\n")
    (sink,) = load_fleet(file, ENVIRONMENT).sinks
    assert sink.roll_interval_s == 7
    assert not isinstance(sink, FleetKafkaSink)
    assert sink.place == place.format(folder=tmp_path)
    assert folder_of(sink) == tmp_path / ("s" if "staging" in text else "a")
    built = sink_of(sink)
    assert type(built) is kind
    assert built.list_parts() == ["part-0000"]


@pytest.mark.parametrize("place", ['directory = "a"', 'directory = "s3://b/a"\nstaging = "s"'])
@pytest.mark.parametrize(
    ("line", "layout"),
    [
        ("", ("date", "source")),
        ('partition_by = "date,source"', ("date", "source")),
        ('partition_by = "date"', ("date",)),
    ],
)
def test_cameras_may_share_their_files(
    place: str, line: str, layout: tuple[str, ...], tmp_path: Path
) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text(SMALL + f'[[sink]]\ntype = "parquet"\n{place}\n{line}\n')
    (sink,) = load_fleet(file, ENVIRONMENT).sinks
    built = sink_of(sink)
    assert isinstance(built, ParquetSink)
    assert built._layout == layout
