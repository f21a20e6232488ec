"""The form that the validator gets, and what an invalid answer costs."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from overshoot_flow.results import FailureReason
from overshoot_flow.schema.dialects import DRAFT_7, DRAFT_2020_12
from overshoot_flow.schema.json_schema import OutputSchema, Parsed, Rejected
from overshoot_flow.schema.keyed_records import schema_key
from overshoot_flow.schema.references import References
from overshoot_flow.schema.validator_form import validator_form

N: Any = {"$ref": "#/$defs/N"}


def closed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def test_whole_bounds_are_integers_to_the_validator_alone() -> None:
    written = closed(
        share={"type": "number", "minimum": 0.0, "maximum": 1.0, "default": 0.0},
        below={"type": "number", "exclusiveMaximum": 2.5, "exclusiveMinimum": -3.0},
        fixed={"enum": [{"minimum": 1.0}, 2.0]},
        large={"type": "number", "maximum": 1e300},
        ref={"$ref": "#/x-shared/limit"},
    ) | {"x-shared": {"limit": {"type": "integer", "maximum": 7.0}}}
    text = json.dumps(written)
    form = validator_form(written, References(written, DRAFT_2020_12))
    assert json.dumps(written) == text
    given = json.loads(text)
    given["properties"]["share"] |= {"minimum": 0, "maximum": 1}
    given["properties"]["below"]["exclusiveMinimum"] = -3
    given["x-shared"]["limit"]["maximum"] = 7
    assert json.dumps(form) == json.dumps(given)
    schema = OutputSchema(written)
    assert json.loads(schema.canonical) == written
    assert '"minimum":0.0' in schema.canonical
    assert schema_key(schema.canonical) != schema_key(OutputSchema(form).canonical)


@pytest.mark.parametrize("kind", ["integer", "number"])
def test_a_bound_means_the_same_however_it_is_written(kind: str) -> None:
    bounds = [("minimum", -2), ("maximum", 3), ("exclusiveMinimum", -3), ("exclusiveMaximum", 4)]
    values = ["-3", "-3.0", "-2.5", "-2", "-2.0", "-0.0", "0", "0.5", "3", "3.0", "3e0"]
    values += ["3.0000000000000001", "3.5", "4", "4.0", "4e0", "1e18"]
    for keyword, bound in bounds:
        whole = OutputSchema(closed(p={"type": kind, keyword: bound}))
        floating = OutputSchema(closed(p={"type": kind, keyword: float(bound)}))
        assert whole.arrow_type == floating.arrow_type
        for value in values:
            text = f'{{"p": {value}}}'
            assert whole.check(text, "stop") == floating.check(text, "stop"), (keyword, value)


@pytest.mark.parametrize("name", ["Größe", "Page[Item]", "Page«Item»", "a b", "100%", "a/b~c", "#"])
@pytest.mark.parametrize("dialect", [DRAFT_7, DRAFT_2020_12])
def test_a_definition_may_have_any_name(name: str, dialect: Any) -> None:
    pointer = name.replace("~", "~0").replace("/", "~1")
    document = closed(p={"$ref": f"#/definitions/{pointer}"})
    document |= {"$schema": dialect.uri, "definitions": {name: {"type": "integer"}}}
    schema = OutputSchema(document)
    assert isinstance(schema.check('{"p": 1}', "stop"), Parsed)
    rejected = schema.check('{"p": "x"}', "stop")
    assert isinstance(rejected, Rejected)
    assert rejected.schema_path == f"/definitions/{pointer}/type"


def test_the_fault_of_a_deep_answer_is_named_as_long_as_that_is_cheap() -> None:
    node = {"anyOf": [{"type": "array", "items": N}] * 2 + [{"type": "integer"}]}
    schema = OutputSchema(closed(p=N) | {"$defs": {"N": node}})
    for depth, path in ((4, "/p/0/0/0/0"), (15, "")):
        rejected = schema.check(f'{{"p": {"[" * depth}"x"{"]" * depth}}}', "stop")
        assert isinstance(rejected, Rejected)
        assert rejected.reason is FailureReason.SCHEMA
        assert rejected.instance_path == path
        assert ("too deep" in rejected.detail) == (depth == 15)


def test_an_answer_with_many_faults_costs_no_more_than_one_with_one() -> None:
    forms = [
        closed(kind={"const": kind}, at={"type": "array", "items": {"enum": [kind]}})
        for kind in range(10)
    ]
    schema = OutputSchema(closed(p={"type": "array", "items": {"anyOf": forms}}))

    def cost_s(faults: int) -> float:
        text = json.dumps({"p": [{"kind": 1, "at": [99] * 50}] * faults})
        costs = []
        for _ in range(3):
            start = time.process_time()
            assert isinstance(schema.check(text, "stop"), Rejected)
            costs.append(time.process_time() - start)
        return min(costs)

    assert cost_s(50) < 10 * cost_s(1)
