"""Reads where the answers go."""

from __future__ import annotations

from typing import Final, TypedDict

from overshoot_flow.errors import ConfigurationError
from overshoot_flow_connectors.fleet_fields import FleetTable, FleetUnique
from overshoot_flow_connectors.fleet_kafka import read_kafka_sink
from overshoot_flow_connectors.fleet_model import FleetParquetSink, FleetSink, FleetStagedSink
from overshoot_flow_connectors.object_store import ObjectPlace, is_url
from overshoot_flow_connectors.parquet_files import LAYOUTS, Layout

_KEYS: Final = {
    "parquet": ("type", "directory", "staging", "partition_by", "roll_interval_s"),
    "iceberg": ("type", "directory", "catalog", "namespace", "staging", "roll_interval_s"),
    "delta": ("type", "directory", "staging", "roll_interval_s"),
}
_TYPES: Final = ("parquet", "kafka", "iceberg", "delta")
_DEFAULT_TYPE: Final = "parquet"
_LAYOUTS: Final = {",".join(layout): layout for layout in LAYOUTS}


class _Options(TypedDict, total=False):
    """What the classes of sinks have defaults for."""

    layout: Layout
    roll_interval_s: float


def read_sinks(root: FleetTable) -> tuple[FleetSink, ...]:
    """Read every `[[sink]]`; without those that have problems."""
    places = FleetUnique()
    sinks = [_sink(table, places) for table in root.tables("sink")]
    return tuple(sink for sink in sinks if sink is not None)


def _sink(table: FleetTable, places: FleetUnique) -> FleetSink | None:
    kind: str | None = _DEFAULT_TYPE
    if "type" not in table:
        table.problem(None, '"type" is missing; write type = "parquet"')
    else:
        kind = table.choice("type", _TYPES)
    if kind == "kafka":
        return read_kafka_sink(table)
    if kind is None:
        return None
    table.refuse_unknown(_KEYS[kind])
    catalog = table.text("catalog") if kind == "iceberg" else None
    if catalog is not None and "directory" in table:
        table.problem("directory", "directory and catalog exclude each other; leave one out")
        return None
    place = catalog or _place(table, kind)
    options: _Options = {}
    if (roll_interval_s := table.number("roll_interval_s", above=0)) is not None:
        options["roll_interval_s"] = roll_interval_s
    if (partition_by := table.choice("partition_by", tuple(_LAYOUTS))) is not None:
        options["layout"] = _LAYOUTS[partition_by]
    if place is None:
        return None
    if kind == "parquet" and not is_url(place):
        return _on_disk(table, places, options)
    return _staged(table, places, kind, place, options)


def _place(table: FleetTable, kind: str) -> str | None:
    """Return a path, absolute, or a URL."""
    text = table.text("directory", required=True)
    if text is None:
        return None
    if kind != "iceberg" and is_url(text):
        try:
            ObjectPlace.of(text)
        except ConfigurationError as error:
            table.problem("directory", str(error))
            return None
        return text
    path = table.path("directory")
    if path is None:
        return None
    if path.exists() and not path.is_dir():
        table.problem("directory", f"{path} is a file; name a directory")
    return str(path)


def _on_disk(table: FleetTable, places: FleetUnique, options: _Options) -> FleetParquetSink | None:
    directory = table.path("directory")
    if "staging" in table:
        table.problem("staging", "rows wait in the directory itself; leave staging out")
    if directory is None:
        return None
    places.take(table, "directory", directory, "two sinks need two directories")
    return FleetParquetSink(directory=directory, **options)


def _staged(
    table: FleetTable, places: FleetUnique, kind: str, place: str, options: _Options
) -> FleetStagedSink | None:
    staging = table.path("staging", required=True)
    if staging is None:
        return None
    if staging.exists() and not staging.is_dir():
        table.problem("staging", f"{staging} is a file; name a directory")
    places.take(table, "staging", staging, "two sinks need two directories")
    return FleetStagedSink(
        kind=kind,
        place=place,
        is_catalog="catalog" in table,
        namespace=table.text("namespace"),
        staging=staging,
        **options,
    )
