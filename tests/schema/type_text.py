"""Arrow types and JSON values in a form that a table of cases can hold in one line."""

from __future__ import annotations

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from overshoot_flow.schema.columns import JSON_FIELD, TAG_FIELD, TEXT_FIELD
from overshoot_flow.schema.json_schema import OutputSchema, Parsed

_NAMES = {
    "timestamp[us, tz=UTC]": "ts",
    "date32[day]": "date",
    "time64[us]": "time",
    "duration[us]": "duration",
    "extension<arrow.uuid>": "uuid",
    "decimal128(38, 0)": "decimal",
    "dictionary<values=string, indices=int32, ordered=0>": "enum",
}


def with_property(schema: Any, **more: Any) -> dict[str, Any]:
    """A closed object whose required property `p` has the schema."""
    return {
        "type": "object",
        "properties": {"p": schema},
        "required": ["p"],
        "additionalProperties": False,
        **more,
    }


def shown(field: pa.Field[Any]) -> str:
    """The type of a field; `!` says that it is never null."""
    return _type(field) + ("" if field.nullable else "!")


def _type(field: pa.Field[Any]) -> str:
    metadata = field.metadata or {}
    if JSON_FIELD.encode() in metadata:
        return {"value": "json", "other": "other"}[metadata[JSON_FIELD.encode()].decode()]
    if TEXT_FIELD.encode() in metadata:
        return "text"
    arrow_type = field.type
    if isinstance(arrow_type, pa.ListType):
        return f"[{shown(arrow_type.value_field)}]"
    if isinstance(arrow_type, pa.MapType):
        return f"map<{shown(arrow_type.item_field)}>"
    if isinstance(arrow_type, pa.StructType):
        members = ", ".join(f"{each.name}: {shown(each)}" for each in arrow_type)
        return f"{{{members}}}"
    name = _NAMES.get(str(arrow_type), str(arrow_type))
    return f"tag {name}" if TAG_FIELD.encode() in metadata else name


def field_of(schema: Any, **more: Any) -> pa.Field[Any]:
    """The field of a required property."""
    struct = OutputSchema(with_property(schema, **more)).arrow_type
    assert isinstance(struct, pa.StructType)
    return struct.field(0)


def same_json(first: Any, second: Any) -> bool:
    """Equal as JSON: `1` is `1.0`, `true` is not 1."""
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(
            same_json(value, second[name]) for name, value in first.items()
        )
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(same_json, first, second))
    return bool(first == second)


def through_parquet(output: OutputSchema, documents: list[Any]) -> list[Any]:
    """What is read back of documents that were written."""
    array = output.to_array(documents)
    array.validate(full=True)
    assert array.type == output.arrow_type
    file = io.BytesIO()
    pq.write_table(pa.table({"output": array}), file, compression="zstd")
    # Threads of the reader that still live when the process ends would abort it.
    column = pq.read_table(file, use_threads=False, pre_buffer=False).column("output")
    assert column.type == output.arrow_type
    return [each for chunk in column.chunks for each in output.to_documents(chunk)]


def assert_round_trip(output: OutputSchema, texts: list[str]) -> None:
    """Every text is a valid answer and comes back equal, beside a row without one."""
    checked = [output.check(text, "stop") for text in texts]
    assert [each for each in checked if not isinstance(each, Parsed)] == []
    read = through_parquet(output, [*(each.document for each in checked), None])  # type: ignore[union-attr]  # asserted above
    assert read[-1] is None
    for text, document in zip(texts, read, strict=False):
        assert same_json(json.loads(text), document), (text, document)
