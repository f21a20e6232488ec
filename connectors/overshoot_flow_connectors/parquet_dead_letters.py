"""The dead letters of a directory of Parquet datasets, and which of them were replayed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.results import Failure, FailureReason
from overshoot_flow.schema.dead_letters import failures_of
from overshoot_flow.schema.keyed_records import schema_key
from overshoot_flow.schema.records import ANSWERS_ENTRY, SCHEMA_VERSION, Dataset
from overshoot_flow_connectors.parquet_files import (
    BY_DATE_AND_SOURCE,
    SCHEMA_PREFIX,
    Layout,
    disk_errors,
    layout_of,
)

REPLAYS: Final = "replays"
"""The dataset that names the dead letters which have become results."""
_REPLAY_FIELDS: Final[list[pa.Field[Any]]] = [
    pa.field("result_id", pa.string(), nullable=False),
    pa.field("stream_key", pa.string(), nullable=False),
    pa.field("replayed_at", pa.timestamp("us", "UTC"), nullable=False),
    pa.field("schema_key", pa.string(), nullable=False),
    pa.field("repaired", pa.bool_(), nullable=False),
]
REPLAYS_SCHEMA: Final = pa.schema(
    _REPLAY_FIELDS, metadata={"overshoot_flow.schema_version": SCHEMA_VERSION}
)

_ROWS_AT_ONCE: Final = 4096
_DECLARED: Final = (b"overshoot_flow.json_schema", ANSWERS_ENTRY.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which dead letters are meant; None stands for all.

    Attributes:
        reason: Those with this reason.
        stream_key: Those about this stream.
        schema_key: Those whose answer was checked with the schema of this key.
    """

    reason: FailureReason | None = None
    stream_key: str | None = None
    schema_key: str | None = None

    def has(self, failure: Failure) -> bool:
        """Say whether this one is meant."""
        return (
            self.reason in (None, failure.reason)
            and self.stream_key in (None, failure.stream_key)
            and self.schema_key in (None, key_of(failure))
        )


def key_of(failure: Failure) -> str:
    """Return the key of the schema that an answer was checked with."""
    return schema_key(failure.schema_json, failure.then_form)


class DeadLetters:
    """Reads dead letters, in the order of their files.

    Args:
        directory: The directory of all datasets.

    Raises:
        ConfigurationError: It is not a directory.
        SinkError: While reading: a file cannot be read.
    """

    def __init__(self, directory: Path) -> None:
        if not directory.is_dir():
            raise ConfigurationError(
                f"{directory} is no directory; name the one that holds {Dataset.DEAD_LETTERS}/"
            )
        self.directory = directory

    def failures(self, selection: Selection = Selection()) -> Iterator[Failure]:
        """Yield the dead letters that are meant, those that were replayed among them."""
        for rows in self._rows(Dataset.DEAD_LETTERS):
            yield from filter(selection.has, failures_of(rows))

    def replayed_ids(self) -> set[str]:
        """Return the identities of those that have become results."""
        ids: set[str] = set()
        for rows in self._rows(REPLAYS, ["result_id"]):
            ids.update(_texts(rows.column("result_id")))
        return ids

    def answered(self, ids: Iterable[str]) -> set[str]:
        """Return those of `ids` that are results already, whoever has written them."""
        files = self._files(Dataset.RESULTS)
        wanted = pa.array(list(ids), pa.string())
        if not files or not len(wanted):
            return set()
        with disk_errors(self.directory / Dataset.RESULTS):
            found = ds.dataset(
                [str(file) for file in files], schema=pa.schema({"result_id": pa.string()})
            ).to_table(filter=pc.is_in(pc.field("result_id"), wanted))
        return {identity for rows in found.to_batches() for identity in _texts(rows.column(0))}

    def layout(self) -> Layout:
        """Return the partition columns of the directory."""
        with disk_errors(self.directory / Dataset.DEAD_LETTERS):
            file = next((self.directory / Dataset.DEAD_LETTERS).rglob("*.parquet"), None)
        return BY_DATE_AND_SOURCE if file is None else layout_of(file.parent)

    def has_schema_folders(self) -> bool:
        """Say whether results have a folder for each schema, or will have when there are some."""
        results = self.directory / Dataset.RESULTS
        with disk_errors(results):
            if next(results.glob(f"{SCHEMA_PREFIX}*"), None) is not None:
                return True
            if next(results.glob("date=*"), None) is not None:
                return False
        letters = self._files(Dataset.DEAD_LETTERS)
        if not letters:
            return True
        with disk_errors(letters[-1]):
            metadata: Mapping[bytes, Any] = pq.read_schema(letters[-1]).metadata or {}
        # With one declared form of answers the files of all datasets name it.
        return metadata.keys().isdisjoint(_DECLARED)

    def _files(self, dataset: str) -> list[Path]:
        with disk_errors(self.directory / dataset):
            return sorted((self.directory / dataset).rglob("*.parquet"))

    def _rows(self, dataset: str, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        for path in self._files(dataset):
            with disk_errors(path), pq.ParquetFile(path) as file:
                yield from file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=columns)


def _texts(column: pa.Array[Any]) -> list[str]:
    texts: list[Any] = column.to_pylist()
    return texts
