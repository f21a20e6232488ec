"""What the values of Kafka records are: JSON, Arrow, and with a schema registry Avro and JSON."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, Literal, Protocol, TypeAlias, TypeVar, get_args

import fastavro
import pyarrow as pa

from overshoot_flow.config import Secret
from overshoot_flow.errors import ConfigurationError
from overshoot_flow.schema.records import RecordBatchOf
from overshoot_flow_connectors.arrow_avro import AvroRows
from overshoot_flow_connectors.arrow_json import JsonRows, canonical_json

SubjectNaming: TypeAlias = Literal["topic", "record", "topic_record"]
Format: TypeAlias = "Json | ArrowIpc | Avro | JsonSchema"
_MAGIC: Final = b"\x00"
_Form = TypeVar("_Form")


@dataclass(frozen=True, slots=True)
class Json:
    """One row a value, as canonical JSON: sorted keys, no spaces, times in ISO 8601."""


@dataclass(frozen=True, slots=True)
class ArrowIpc:
    """One batch a value, as an Arrow IPC stream: schema and rows, read by any Arrow library."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """A schema registry with Confluent's API.

    Args:
        url: Where it is, without credentials.
        settings: Further settings of confluent-kafka's `SchemaRegistryClient`, such as
            `basic.auth.user.info`; values that are secret as `Secret`.
        subject_naming: What a subject is called: `topic` is `<topic>-value`, `record` the full
            name of the record, `topic_record` both. Results of several output schemas in one
            topic need one of the latter two.
        register: Whether schemas that are not there are registered; otherwise it is an error.

    Raises:
        ConfigurationError: A value is not one of these.
    """

    url: str
    settings: Mapping[str, str | int | float | bool | Secret] = field(
        default_factory=dict, repr=False
    )
    subject_naming: SubjectNaming = "topic"
    register: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if not self.url.startswith(("http://", "https://")):
            raise ConfigurationError("the registry's url must be http://… or https://…")
        if "@" in self.url:
            raise ConfigurationError(
                "the registry's url must not contain credentials: write them as settings "
                '{"basic.auth.user.info": Secret("user:password")}'
            )
        if self.subject_naming not in get_args(SubjectNaming):
            raise ConfigurationError(
                f"subject_naming is {self.subject_naming!r}; it must be one of "
                f"{', '.join(get_args(SubjectNaming))}"
            )


@dataclass(frozen=True, slots=True)
class Avro:
    """One row a value, as Avro in the registry's frame; the schema is made from the Arrow schema.

    Args:
        registry: Where the schemas are.
    """

    registry: Registry


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """One row a value, as canonical JSON in the registry's frame, with a JSON Schema.

    Args:
        registry: Where the schemas are.
    """

    registry: Registry


class SchemaIds(Protocol):
    """Gives the registry's number of a schema."""

    def id_of(self, subject: str, schema: str, schema_type: str) -> int:
        """Return the number of `schema` under `subject`.

        Raises:
            ConfigurationError: The registry refuses it; the text explains why.
            SinkError: The registry cannot be reached.
        """
        ...


class JsonEncoder:
    """See `Json`."""

    content_type = "application/json"
    by_row = True

    def __init__(self) -> None:
        self._forms = _Forms(JsonRows)

    def encode(self, topic: str, records: RecordBatchOf) -> list[bytes]:  # noqa: ARG002 - the same for all topics
        """Return one document for each row."""
        return self._forms.of(records).rows(records.batch)


class ArrowEncoder:
    """See `ArrowIpc`."""

    content_type = "application/vnd.apache.arrow.stream"
    by_row = False

    def encode(self, topic: str, records: RecordBatchOf) -> list[bytes]:  # noqa: ARG002 - the same for all topics
        """Return one stream."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, records.batch.schema) as writer:
            writer.write_batch(records.batch)
        return [sink.getvalue().to_pybytes()]


class AvroEncoder:
    """See `Avro`.

    Args:
        ids: The registry.
        naming: How subjects are called.
    """

    content_type = "application/vnd.confluent.avro"
    by_row = True

    def __init__(self, ids: SchemaIds, naming: SubjectNaming) -> None:
        self._forms = _Forms(_AvroForm)
        self._ids = _RegisteredIds(ids, naming, "AVRO")

    def encode(self, topic: str, records: RecordBatchOf) -> list[bytes]:
        """Return one value for each row.

        Raises:
            ConfigurationError: The registry refuses the schema.
            SinkError: The registry cannot be reached.
        """
        form = self._forms.of(records)
        frame = self._ids.frame(topic, records, form.rows.schema)
        values = []
        for row in form.rows.rows(records.batch):
            out = io.BytesIO()
            out.write(frame)
            fastavro.schemaless_writer(out, form.parsed, row)
            values.append(out.getvalue())
        return values


class JsonSchemaEncoder:
    """See `JsonSchema`.

    Args:
        ids: The registry.
        naming: How subjects are called.
    """

    content_type = "application/vnd.confluent.json"
    by_row = True

    def __init__(self, ids: SchemaIds, naming: SubjectNaming) -> None:
        self._forms = _Forms(JsonRows)
        self._ids = _RegisteredIds(ids, naming, "JSON")

    def encode(self, topic: str, records: RecordBatchOf) -> list[bytes]:
        """Return one value for each row.

        Raises:
            ConfigurationError: The registry refuses the schema.
            SinkError: The registry cannot be reached.
        """
        form = self._forms.of(records)
        frame = self._ids.frame(topic, records, form.schema)
        return [frame + document for document in form.rows(records.batch)]


def record_name(records: RecordBatchOf) -> str:
    """Return the full name of a record with the rows' columns."""
    key = records.schema_key
    return f"overshoot.{records.dataset}" if key is None else f"overshoot.{records.dataset}_{key}"


class _AvroForm:
    """A schema's Avro form, compiled once: fastavro would do it for every value."""

    def __init__(self, schema: pa.Schema, name: str) -> None:
        self.rows = AvroRows(schema, name)
        self.parsed = fastavro.parse_schema(self.rows.schema)


class _Forms(Generic[_Form]):
    """Remembers what was made out of a schema; there are few of them."""

    def __init__(self, make: Callable[[pa.Schema, str], _Form]) -> None:
        self._make = make
        self._made: dict[tuple[str, pa.Schema], _Form] = {}

    def of(self, records: RecordBatchOf) -> _Form:
        key = (record_name(records), records.batch.schema)
        if key not in self._made:
            self._made[key] = self._make(records.batch.schema, key[0])
        return self._made[key]


class _RegisteredIds:
    def __init__(self, ids: SchemaIds, naming: SubjectNaming, schema_type: str) -> None:
        self._ids = ids
        self._naming = naming
        self._schema_type = schema_type
        self._known: dict[tuple[str, str, pa.Schema], bytes] = {}

    def frame(self, topic: str, records: RecordBatchOf, schema: Mapping[str, object]) -> bytes:
        """Return the five bytes that stand before every value of this schema."""
        name = record_name(records)
        key = (topic, name, records.batch.schema)
        if key not in self._known:
            subject = {"topic": f"{topic}-value", "record": name, "topic_record": f"{topic}-{name}"}
            text = canonical_json(schema).decode()
            number = self._ids.id_of(subject[self._naming], text, self._schema_type)
            self._known[key] = _MAGIC + number.to_bytes(4, "big")
        return self._known[key]
