"""Random schemas, random documents for them, through Arrow and Parquet and back."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from type_text import same_json, through_parquet

from overshoot_flow.results import FailureReason
from overshoot_flow.schema.json_schema import OutputSchema, Parsed, Rejected

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
FAST = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)

# A schema with the strategy of its valid values, as the model would write them.
Typed = tuple[dict[str, Any], st.SearchStrategy[Any]]
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


def moments() -> st.SearchStrategy[str]:
    offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timedelta(minutes=minutes))
    times = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31))  # noqa: DTZ001 - zone follows
    texts = st.builds(
        lambda time, offset: time.replace(tzinfo=timezone(offset)).isoformat(), times, offsets
    )
    zeros = st.sampled_from(["Z", ".5Z", ".500Z", ".1234567Z", "z", "-00:00"])
    return texts | st.builds(
        lambda time, end: f"{time.isoformat(timespec='seconds')}{end}", times, zeros
    )


@st.composite
def integers(draw: st.DrawFn) -> Typed:
    edges = [0, 127, 128, 255, 256, 2**31, 2**32, 2**63 - 1, 2**63, 2**64, 10**30]
    edge = st.sampled_from(edges) | st.sampled_from(edges).map(lambda edge: -edge - 1)
    low, high = sorted([draw(edge), draw(edge)])
    values = st.integers(low, high)
    return {"type": "integer", "minimum": low, "maximum": high}, values


def scalars() -> st.SearchStrategy[Typed]:
    int64 = st.integers(-(2**63), 2**63 - 1)
    durations = st.from_regex(
        r"P([0-9]{1,9}W|[0-9]{1,9}D(T[0-9]{1,3}H)?|[0-9]{1,3}Y)", fullmatch=True
    )
    fixed: list[Typed] = [
        ({"type": "string"}, TEXT),
        ({"type": "string", "format": "date-time"}, moments()),
        ({"type": "string", "format": "time"}, moments().map(lambda text: text[11:])),
        ({"type": "string", "format": "date"}, st.dates().map(str)),
        ({"type": "string", "format": "duration"}, durations),
        ({"type": "string", "format": "uuid"}, st.uuids().map(str)),
        ({"type": "string", "format": "uuid"}, st.uuids().map(lambda uuid: str(uuid).upper())),
        ({"type": "integer"}, int64),
        ({"type": "number"}, st.floats(allow_nan=False, allow_infinity=False)),
        ({"type": "boolean"}, st.booleans()),
        ({"const": "c"}, st.just("c")),
        ({}, ANY_JSON),
        ({"type": ["string", "integer"]}, TEXT | st.integers()),
    ]
    enums = st.lists(TEXT, min_size=1, max_size=4, unique=True)
    return (
        st.sampled_from(fixed)
        | integers()
        | enums.map(lambda names: ({"enum": names}, st.sampled_from(names)))
    )


def nullable(typed: Typed) -> Typed:
    schema, values = typed
    return {"anyOf": [schema, {"type": "null"}]}, st.none() | values


def array(typed: Typed) -> Typed:
    schema, values = typed
    return {"type": "array", "items": schema}, st.lists(values, max_size=3)


def mapped(typed: Typed) -> Typed:
    schema, values = typed
    values = st.dictionaries(NAMES, values, max_size=3)
    return {"type": "object", "additionalProperties": schema}, values


@st.composite
def tuples(draw: st.DrawFn, members: st.SearchStrategy[Typed]) -> Typed:
    items = draw(st.lists(members, min_size=1, max_size=3))
    least = draw(st.integers(0, len(items)))
    schema: dict[str, Any] = {
        "type": "array",
        "prefixItems": [typed[0] for typed in items],
        "minItems": least,
    }
    whole = st.tuples(*(typed[1] for typed in items)).map(list)
    cut = st.builds(lambda value, length: value[:length], whole, st.integers(least, len(items)))
    if draw(st.booleans()):
        return {**schema, "items": False}, cut
    return schema, cut | st.builds(list.__add__, whole, st.lists(ANY_JSON, max_size=2))


@st.composite
def objects(draw: st.DrawFn, members: st.SearchStrategy[Typed]) -> Typed:
    properties = draw(
        st.lists(st.tuples(NAMES, members), min_size=1, max_size=4, unique_by=lambda p: p[0])
    )
    names = [name for name, _ in properties]
    required = draw(st.lists(st.sampled_from(names), unique=True))
    schema = {
        "type": "object",
        "properties": {name: typed[0] for name, typed in properties},
        "required": required,
    }
    values = st.fixed_dictionaries(
        {name: typed[1] for name, typed in properties if name in required},
        optional={name: typed[1] for name, typed in properties if name not in required},
    )
    if draw(st.booleans()):
        return {**schema, "additionalProperties": False}, values
    more = st.dictionaries(NAMES.filter(lambda name: name not in names), ANY_JSON, max_size=2)
    return schema, st.builds(lambda first, second: {**second, **first}, values, more)


@st.composite
def alternatives(draw: st.DrawFn, members: st.SearchStrategy[Typed]) -> Typed:
    tags = draw(st.lists(TEXT, min_size=2, max_size=3, unique=True))
    made = [draw(objects(members)) for _ in tags]
    branches: list[Any] = []
    values: list[st.SearchStrategy[Any]] = []
    for tag, (schema, value) in zip(tags, made, strict=True):
        properties = {**schema["properties"], "kind": {"const": tag}}
        branches.append(
            {**schema, "properties": properties, "required": [*schema["required"], "kind"]}
        )
        values.append(st.builds(dict, value, kind=st.just(tag)))
    return {"oneOf": branches}, st.one_of(values)


def typed() -> st.SearchStrategy[Typed]:
    leaves = scalars() | scalars().map(nullable)
    return st.recursive(
        leaves,
        lambda inner: (
            inner.map(array)
            | inner.map(mapped)
            | tuples(inner)
            | objects(inner)
            | objects(inner).map(nullable)
            | alternatives(inner)
        ),
        max_leaves=6,
    )


@FAST
@given(st.data())
def test_a_valid_document_comes_back_equal(data: st.DataObject) -> None:
    schema, values = data.draw(objects(typed()))
    documents = data.draw(st.lists(values, max_size=4))
    output = OutputSchema(schema)
    checked = [output.check(json.dumps(document), "stop") for document in documents]
    parsed = [each.document for each in checked if isinstance(each, Parsed)]
    assert len(parsed) == len(documents), checked
    read = through_parquet(output, [*parsed, None])
    assert read[-1] is None
    # Arrays without a null are made in another way.
    assert through_parquet(output, parsed) == read[:-1]
    for document, back in zip(documents, read, strict=False):
        assert same_json(document, back)


@FAST
@given(st.data())
def test_a_missing_required_property_is_rejected_where_it_is_missing(data: st.DataObject) -> None:
    inner_schema, inner_values = data.draw(objects(scalars()))
    # The validator leaves a name that is empty out of its paths.
    name = data.draw(NAMES.filter(bool))
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
@given(
    objects(typed()),
    st.text(max_size=40)
    | st.from_regex(r'[{}\[\]",:0-9eE.\\u-]{0,40}')
    | ANY_JSON.map(json.dumps)
    | st.dictionaries(NAMES, ANY_JSON, max_size=3).map(json.dumps),
)
def test_no_text_makes_the_check_raise_and_what_passes_is_not_altered(
    typed_object: Typed, text: str
) -> None:
    output = OutputSchema(typed_object[0])
    checked = output.check(text, "stop")
    if isinstance(checked, Parsed):
        [back] = through_parquet(output, [checked.document])
        assert same_json(json.loads(text), back)
    else:
        assert isinstance(checked, Rejected)
