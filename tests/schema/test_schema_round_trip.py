"""Random schemas of the supported subset, random documents for them, through Arrow and Parquet."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from overshoot_flow.results import FailureReason
from overshoot_flow.schema.json_schema import OutputSchema, Parsed, Rejected

NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=6
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
FAST = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)

# A schema with the strategy of its valid values, as the model would write them.
Typed = tuple[dict[str, Any], st.SearchStrategy[Any]]


def moments() -> st.SearchStrategy[str]:
    offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timedelta(minutes=minutes))
    times = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1))  # noqa: DTZ001 - zone follows
    return st.builds(
        lambda time, offset: time.replace(tzinfo=timezone(offset)).isoformat(), times, offsets
    )


def scalars() -> st.SearchStrategy[Typed]:
    int64 = st.integers(-(2**63), 2**63 - 1)
    fixed: list[Typed] = [
        ({"type": "string"}, TEXT),
        ({"type": "string", "format": "date-time"}, moments()),
        ({"type": "integer"}, int64),
        ({"type": "number"}, st.floats(allow_nan=False, allow_infinity=False)),
        ({"type": "boolean"}, st.booleans()),
        ({"const": "c"}, st.just("c")),
    ]
    enums = st.lists(TEXT, min_size=1, max_size=4, unique=True)
    return st.sampled_from(fixed) | enums.map(
        lambda names: ({"enum": names}, st.sampled_from(names))
    )


def nullable(typed: Typed) -> Typed:
    schema, values = typed
    return {"anyOf": [schema, {"type": "null"}]}, st.none() | values


def array(typed: Typed) -> Typed:
    schema, values = typed
    return {"type": "array", "items": schema}, st.lists(values, max_size=3)


@st.composite
def objects(draw: st.DrawFn, members: st.SearchStrategy[Typed]) -> Typed:
    properties = draw(
        st.lists(
            st.tuples(NAMES, members), min_size=1, max_size=4, unique_by=lambda p: p[0].casefold()
        )
    )
    required = draw(st.lists(st.sampled_from([name for name, _ in properties]), unique=True))
    schema = {
        "type": "object",
        "properties": {name: typed[0] for name, typed in properties},
        "required": required,
    }
    values = st.fixed_dictionaries(
        {name: typed[1] for name, typed in properties if name in required},
        optional={name: typed[1] for name, typed in properties if name not in required},
    )
    return schema, values


def typed() -> st.SearchStrategy[Typed]:
    leaves = scalars() | scalars().map(nullable)
    return st.recursive(
        leaves,
        lambda inner: inner.map(array) | objects(inner) | objects(inner).map(nullable),
        max_leaves=8,
    )


def as_read(schema: dict[str, Any], value: Any) -> Any:
    """What a reader of the column must see for a document's value."""
    if value is None:
        return None
    if "anyOf" in schema:
        return as_read(schema["anyOf"][0], value)
    match schema.get("type"):
        case "object":
            members = schema["properties"].items()
            return {name: as_read(member, value.get(name)) for name, member in members}
        case "array":
            return [as_read(schema["items"], item) for item in value]
        case "string" if "format" in schema:
            return datetime.fromisoformat(value).astimezone(UTC)
        case _:
            return value


@FAST
@given(st.data())
def test_a_valid_document_comes_back_equal(data: st.DataObject) -> None:
    schema, values = data.draw(objects(typed()))
    documents = data.draw(st.lists(values, max_size=4))
    output = OutputSchema(schema)
    checked = [output.check(json.dumps(document), "stop") for document in documents]
    assert checked == [Parsed(document) for document in documents]

    array = output.to_array([*documents, None])
    array.validate(full=True)
    file = io.BytesIO()
    pq.write_table(pa.table({"output": array}), file, compression="zstd")
    column = pq.read_table(file).column("output")
    assert column.type == output.arrow_type
    assert column.to_pylist() == [*(as_read(schema, each) for each in documents), None]


@FAST
@given(st.data())
def test_a_missing_required_property_is_rejected_where_it_is_missing(data: st.DataObject) -> None:
    inner_schema, inner_values = data.draw(objects(scalars()))
    name = data.draw(NAMES)
    schema = {"type": "object", "properties": {name: inner_schema}}
    document = {name: data.draw(inner_values)}
    lacking = data.draw(st.sampled_from(list(inner_schema["properties"])))
    inner_schema["required"] = [lacking]
    document[name].pop(lacking, None)

    checked = OutputSchema(schema).check(json.dumps(document), "stop")
    assert isinstance(checked, Rejected)
    assert checked.reason is FailureReason.SCHEMA
    assert checked.instance_path == "/" + name.replace("~", "~0").replace("/", "~1")


@FAST
@given(objects(typed()), st.text(max_size=40) | st.from_regex(r'[{}\[\]",:0-9eE.\\u-]{0,40}'))
def test_no_text_makes_the_check_raise(typed_object: Typed, text: str) -> None:
    checked = OutputSchema(typed_object[0]).check(text, "stop")
    assert isinstance(checked, (Parsed, Rejected))
