"""The sinks of a fleet file, built."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from bytewax.outputs import FixedPartitionedSink

from overshoot_flow.schema.records import RecordBatchOf
from overshoot_flow_connectors.fleet_model import (
    FleetKafkaSink,
    FleetParquetSink,
    FleetSink,
    FleetStagedSink,
)
from overshoot_flow_connectors.parquet import ParquetSink


def sink_of(sink: FleetSink) -> FixedPartitionedSink[RecordBatchOf, dict[str, object]]:
    """Build a sink; what its kind needs is imported here only.

    Raises:
        ConfigurationError: An extra is not installed; the text says how to install it.
    """
    if isinstance(sink, FleetKafkaSink):
        return sink.make()
    roll_interval = timedelta(seconds=sink.roll_interval_s)
    if isinstance(sink, FleetParquetSink):
        return ParquetSink(sink.directory, partition_by=sink.layout, roll_interval=roll_interval)
    if sink.kind == "parquet":
        return ParquetSink(
            sink.place,
            staging=sink.staging,
            partition_by=sink.layout,
            roll_interval=roll_interval,
        )
    if sink.kind == "delta":
        from overshoot_flow_connectors.delta import DeltaSink  # noqa: PLC0415 - needs an extra

        return DeltaSink(sink.place, staging=sink.staging, roll_interval=roll_interval)
    from overshoot_flow_connectors.iceberg import (  # noqa: PLC0415 - needs an extra
        DEFAULT_NAMESPACE,
        IcebergSink,
        embedded_catalog,
    )

    return IcebergSink(
        sink.place if sink.is_catalog else embedded_catalog(sink.place),
        staging=sink.staging,
        namespace=sink.namespace or DEFAULT_NAMESPACE,
        roll_interval=roll_interval,
    )


def kind_of(sink: FleetSink) -> str:
    """Return the sink's type, as the fleet file calls it."""
    if isinstance(sink, FleetKafkaSink):
        return "kafka"
    return "parquet" if isinstance(sink, FleetParquetSink) else sink.kind


def folder_of(sink: FleetParquetSink | FleetStagedSink) -> Path:
    """Return the folder on the disk that belongs to the sink."""
    return sink.directory if isinstance(sink, FleetParquetSink) else sink.staging
