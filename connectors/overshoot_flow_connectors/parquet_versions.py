"""Versions of a dataset's columns: files of several of them stay readable as one dataset.

A column that may be null may come and go; older or newer files lack it, and readers that unite
columns by name show null there. The same holds within structs, lists and maps. Everything else
stays as it is in all versions, so that it has one type and no null that nobody expects.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.schema.records import Dataset, RecordBatchOf
from overshoot_flow_connectors.parquet_files import (
    BY_DATE_AND_SOURCE,
    SCHEMA_PREFIX,
    Layout,
    disk_errors,
    layout_of,
    schema_folder,
)

_VERSION: Final = re.compile(r"-v([0-9a-f]{8})\.parquet")


def columns_version(schema: pa.Schema) -> str:
    """Return eight hex digits that tell schemas of other columns apart; metadata aside."""
    columns = schema.to_string(
        truncate_metadata=False, show_field_metadata=False, show_schema_metadata=False
    )
    return hashlib.sha256(columns.encode()).hexdigest()[:8]


def file_name(stem: str, version: str) -> str:
    """Return the name of a file with rows of these columns, which `known_versions` understands."""
    return f"{stem}-v{version}.parquet"


def known_versions(folder: Path) -> dict[str, pa.Schema]:
    """Return the schemas of all files below a directory, by their version.

    One file of each version is opened, and every file whose name tells none.

    Raises:
        SinkError: A file cannot be read.
    """
    with disk_errors(folder):
        files = sorted(folder.rglob("*.parquet"))
    return versions_of(files, _schema_of)


def versions_of(
    files: Iterable[Path], read_schema: Callable[[Path], pa.Schema]
) -> dict[str, pa.Schema]:
    """Return the schemas of `files` by their version, reading as few as possible."""
    versions: dict[str, pa.Schema] = {}
    for file in files:
        named = _VERSION.search(file.name)
        if named is None or named.group(1) not in versions:
            schema = read_schema(file)
            versions[columns_version(schema) if named is None else named.group(1)] = schema
    return versions


def _schema_of(file: Path) -> pa.Schema:
    with disk_errors(file):
        return pq.read_schema(file)


def version_conflict(present: pa.Schema, wanted: pa.Schema) -> str | None:
    """Return why rows of two schemas are not one dataset, naming the column, or None."""
    return next(_conflicts(present, wanted, ""), None)


class SchemaGuard:
    """Refuses rows whose columns do not go with those of the folder that they are meant for.

    The folder is that of the dataset or, where a dataset has several schemas, of the schema. A
    dataset has one layout or the other, with schemas and without, with sources and without:
    readers refuse a mixture.

    Args:
        directory: The directory of all datasets.
        layout: Its partition columns.
    """

    def __init__(self, directory: Path, layout: Layout = BY_DATE_AND_SOURCE) -> None:
        self._directory = directory
        self._layout = layout
        self._is_layout_known = False
        self._versions: dict[Path, dict[str, pa.Schema]] = {}
        self._latest: dict[Path, tuple[pa.Schema, str]] = {}
        self._by_schema: dict[str, bool] = {}

    def check(self, records: RecordBatchOf) -> str:
        """Compare with the files that are there and the rows before; return the version.

        Raises:
            ConfigurationError: A column does not fit, or the layout; the text says what to do.
            SinkError: A file of the dataset cannot be read.
        """
        return self._check(schema_folder(records), records.batch.schema)

    def check_logged(self, place: Path, batch: pa.RecordBatch) -> str:
        """Do the same for rows that wait for the leaf directory `place`."""
        self._check_partitions(place)
        by_schema = place.parts[1].startswith(SCHEMA_PREFIX)
        return self._check(Path(*place.parts[: 2 if by_schema else 1]), batch.schema)

    def _check(self, folder: Path, schema: pa.Schema) -> str:
        latest = self._latest.get(folder)
        if latest is not None and latest[0].equals(schema):
            return latest[1]
        if not self._is_layout_known:
            # Before the first row of any dataset: one refused later would leave a mixture.
            for dataset in Dataset:
                file = next(self._files(Path(dataset)), None)
                if file is not None:
                    self._check_partitions(file.parent)
            self._is_layout_known = True
        if folder not in self._versions:
            self._check_layout(folder)
            self._versions[folder] = self._present(folder)
        versions, version = self._versions[folder], columns_version(schema)
        if version not in versions:
            self._check_columns(folder, versions.values(), schema)
            versions[version] = schema
        self._latest[folder] = schema, version
        return version

    def _check_columns(
        self, folder: Path, versions: Iterable[pa.Schema], schema: pa.Schema
    ) -> None:
        for present in versions:
            conflict = version_conflict(present, schema)
            if conflict is not None:
                raise ConfigurationError(
                    f"{self._name(folder)} has rows of another schema, which these rows do "
                    f"not go with: {conflict}; write into another directory"
                )

    def _check_layout(self, folder: Path) -> None:
        dataset = folder.parts[0]
        by_schema = len(folder.parts) > 1
        other = "date=*" if by_schema else f"{SCHEMA_PREFIX}*"
        if self._has(dataset, other) or self._by_schema.setdefault(dataset, by_schema) != by_schema:
            layouts = ["rows of one declared schema", "a folder for each output schema"]
            present, wanted = layouts if by_schema else reversed(layouts)
            raise ConfigurationError(
                f"{self._name(Path(dataset))} has {present}, and these rows would give it "
                f"{wanted}: give `to_arrow` an inference for all rows or for none, or write into "
                "another directory"
            )

    def _check_partitions(self, leaf: Path) -> None:
        present = layout_of(leaf)
        if present != self._layout:
            raise ConfigurationError(
                f"{self._name(Path(leaf.parts[0]))} is partitioned by {' and '.join(present)}, and "
                f"these rows would be by {' and '.join(self._layout)}: give "
                f"ParquetSink partition_by={present}, or write into another directory"
            )

    # What is there.

    def _name(self, folder: Path) -> str:
        return str(self._directory / folder)

    def _present(self, folder: Path) -> dict[str, pa.Schema]:
        return known_versions(self._directory / folder)

    def _has(self, dataset: str, pattern: str) -> bool:
        path = self._directory / dataset
        with disk_errors(path):
            return next(path.glob(pattern), None) is not None

    def _files(self, folder: Path) -> Iterator[Path]:
        """Yield the files below a folder, relative as it is, and look for no more than wanted."""
        path = self._directory / folder
        with disk_errors(path):
            for file in path.rglob("*.parquet"):
                yield file.relative_to(self._directory)


def _conflicts(
    present: Iterable[pa.Field[Any]], wanted: Iterable[pa.Field[Any]], prefix: str
) -> Iterator[str]:
    before = {field.name: field for field in present}
    now = {field.name: field for field in wanted}
    for name in dict.fromkeys([*now, *before]):
        column = f"{prefix}{name}"
        if name not in before:
            if not now[name].nullable:
                yield (
                    f"column {column} ({now[name].type} not null) is new, and rows before have no "
                    "value for it: let it be null"
                )
        elif name not in now:
            if not before[name].nullable:
                yield (
                    f"column {column} ({before[name].type} not null) is missing, and readers count "
                    "on its value: keep it"
                )
        else:
            yield from _field_conflicts(before[name], now[name], column)


def _field_conflicts(before: pa.Field[Any], now: pa.Field[Any], column: str) -> Iterator[str]:
    old, new = _plain(before.type), _plain(now.type)
    if before.nullable != now.nullable:
        yield f"column {column} is {_shown(before)} there and {_shown(now)} now"
    elif pt.is_struct(old) and pt.is_struct(new):
        yield from _conflicts(_fields(old), _fields(new), f"{column}.")
    elif (pt.is_list(old) and pt.is_list(new)) or (pt.is_large_list(old) and pt.is_large_list(new)):
        yield from _field_conflicts(old.value_field, new.value_field, f"{column}[]")
    elif pt.is_map(old) and pt.is_map(new) and old.key_type == new.key_type:
        yield from _field_conflicts(old.item_field, new.item_field, f"{column}[]")
    elif old != new:
        yield f"column {column} is {_shown(before)} there and {_shown(now)} now"


def _plain(arrow_type: Any) -> Any:  # noqa: ANN401 - the stubs' types of nested types differ
    """How a dictionary counts its values is no matter of the reader's."""
    return arrow_type.value_type if pt.is_dictionary(arrow_type) else arrow_type


def _fields(struct: Any) -> list[pa.Field[Any]]:  # noqa: ANN401 - as above
    return [struct.field(index) for index in range(struct.num_fields)]


def _shown(field: pa.Field[Any]) -> str:
    return f"{field.type}" if field.nullable else f"{field.type} not null"
