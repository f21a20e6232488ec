"""Random documents of random schemas: is one altered between the answer and Parquet?

Of every schema some documents are valid by construction, others have one value replaced, removed
or added. `jsonschema` says whether those are valid. What is accepted must come back equal from
Parquet, what is valid must be accepted, unless its reason is an integer too large for its column.
"""

# ruff: noqa: ANN401, PLR2004, PLR0911 - any JSON value; the numbers are odds

from __future__ import annotations

import io
import json
import random
import string
from collections.abc import Callable
from typing import Any, TypeAlias

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq

from overshoot_flow.schema.json_schema import OutputSchema, Parsed

DOCUMENTS_PER_SCHEMA = 20
MAX_DEPTH = 4
Draw: TypeAlias = Callable[[], Any]
Typed: TypeAlias = tuple[Any, Draw]

INTEGER_EDGES = [0, 1, 127, 128, 255, 256, 65535, 2**31, 2**53, 2**53 + 1, 2**63 - 1, 2**64, 10**30]
NUMBERS = [0.0, -0.0, 1.0, 0.1, 1.5, 1e-7, 5e-324, 1e300, 2.0**53, 0.30000000000000004, 3, 2**53]
TEXTS = ["", "a", "null", "é", "e\u0301", "\0", "😀", "2024-01-01", '"', "\\", "1.0e5", "x" * 300]
DATES = ["2024-01-01", "2024-02-29", "0001-01-01", "9999-12-31", "1969-12-31", "0000-01-01"]
TIMES = ["00:00:00Z", "23:59:60Z", "12:30:00.5+02:00", "01:02:03.1234567Z", "12:00:00.250z"]
MOMENTS = [f"{day}T{time}" for day in DATES for time in TIMES if "60Z" not in time]
MOMENTS += ["2016-12-31T23:59:60Z", "2024-01-01t00:00:00-08:00"]
DURATIONS = ["PT0S", "PT60S", "P1D", "P2W", "P1Y2M", "P1DT2H", "P999999999999D"]
UUIDS = ["123e4567-e89b-12d3-a456-426614174000", "123E4567-E89B-12D3-A456-426614174000"]
FORMATS = {"date": DATES, "time": TIMES, "date-time": MOMENTS, "duration": DURATIONS, "uuid": UUIDS}


class Maker:
    """Makes schemas, each with a function that draws valid documents."""

    def __init__(self, choice: random.Random) -> None:
        self.choice = choice

    def any_json(self, depth: int = 2) -> Any:
        """Return any JSON value."""
        kind = self.choice.randrange(8 if depth else 5)
        if kind < 5:
            edge = self.choice.choice(INTEGER_EDGES)
            pool = [None, True, edge, self.choice.choice(NUMBERS), self.choice.choice(TEXTS)]
            return pool[kind]
        values = [self.any_json(depth - 1) for _ in range(self.choice.randrange(3))]
        return values if kind == 5 else {self.name(): value for value in values}

    def name(self) -> str:
        """Return a name, often one that is hard to tell from another."""
        odd = ["", "A", "a", "é", "e\u0301", "a.b", "other_json", "a_text", "\0", "item"]
        return self.choice.choice([*odd, *self.choice.choices(string.ascii_letters, k=6)])

    def scalar(self) -> Typed:
        """Return a scalar type."""
        choice = self.choice
        kind = choice.randrange(8)
        if kind == 0:
            low, high = sorted(choice.choice([1, -1]) * choice.choice(INTEGER_EDGES) for _ in "ab")
            schema = {"type": "integer", "minimum": low, "maximum": high}
            return schema, lambda: choice.randint(low, high)
        if kind == 1:
            return {"type": "integer"}, lambda: choice.randint(-(2**63), 2**63 - 1)
        if kind == 2:
            return {"type": "number"}, lambda: choice.choice([*NUMBERS, choice.random()])
        if kind == 3:
            name = choice.choice(list(FORMATS))
            return {"type": "string", "format": name}, lambda: choice.choice(FORMATS[name])
        if kind == 4:
            values = choice.sample(TEXTS, k=3)
            return {"enum": values}, lambda: choice.choice(values)
        if kind == 5:
            return {"type": "boolean"}, lambda: choice.random() < 0.5
        if kind == 6:
            return choice.choice([{}, True]), self.any_json
        return {"type": "string"}, lambda: choice.choice(TEXTS)

    def typed(self, depth: int) -> Typed:
        """Return any type."""
        choice = self.choice
        kind = choice.randrange(10) if depth else 0
        if kind < 4:
            return self.scalar()
        schema, draw = self.typed(depth - 1)
        if kind == 4:
            nullable = {"anyOf": [schema, {"type": "null"}]}
            return nullable, lambda: None if choice.random() < 0.3 else draw()
        if kind == 5:
            return {"type": "array", "items": schema}, lambda: [
                draw() for _ in range(choice.randrange(4))
            ]
        if kind == 6:
            return {"type": "object", "additionalProperties": schema}, lambda: {
                self.name(): draw() for _ in range(choice.randrange(3))
            }
        if kind == 7:
            least = choice.randrange(2)
            tuple_of = {"type": "array", "prefixItems": [schema], "minItems": least}
            return tuple_of, lambda: [draw()] if least or choice.random() < 0.5 else []
        return self.tagged(depth - 1) if kind == 8 else self.object(depth - 1)

    def object(self, depth: int) -> Typed:
        """Return an object."""
        choice = self.choice
        members = {self.name(): self.typed(depth) for _ in range(choice.randrange(1, 5))}
        required = {name for name in members if choice.random() < 0.5}
        is_open = choice.random() < 0.5

        def draw() -> dict[str, Any]:
            document = {
                name: member[1]()
                for name, member in members.items()
                if name in required or choice.random() < 0.6
            }
            if is_open and choice.random() < 0.3:
                document.setdefault(f"more{self.name()}", self.any_json())
            return document

        schema: dict[str, Any] = {
            "type": "object",
            "properties": {name: member[0] for name, member in members.items()},
            "required": sorted(required),
        }
        return schema if is_open else {**schema, "additionalProperties": False}, draw

    def tagged(self, depth: int) -> Typed:
        """Return objects of several forms."""
        tags = self.choice.sample(TEXTS, k=2)
        forms = {tag: self.object(depth) for tag in tags}
        branches = [
            {
                **schema,
                "properties": {**schema["properties"], "kind": {"const": tag}},
                "required": [*schema["required"], "kind"],
            }
            for tag, (schema, _) in forms.items()
        ]

        def draw() -> dict[str, Any]:
            tag = self.choice.choice(tags)
            return {**forms[tag][1](), "kind": tag}

        return {"oneOf": branches}, draw

    def changed(self, value: Any) -> Any:
        """Return the value with one place of it replaced, removed or added to."""
        choice = self.choice
        if isinstance(value, dict) and value and choice.random() < 0.8:
            name = choice.choice(list(value))
            if choice.random() < 0.2:
                return {key: each for key, each in value.items() if key != name}
            return {**value, name: self.changed(value[name])}
        if isinstance(value, list) and value and choice.random() < 0.8:
            index = choice.randrange(len(value))
            return [*value[:index], self.changed(value[index]), *value[index + 1 :]]
        if isinstance(value, dict):
            return {**value, self.name(): self.any_json()}
        return self.any_json()


def same_json(first: Any, second: Any) -> bool:
    """Return whether two values are equal as JSON: `1` is `1.0`, `true` is not 1."""
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(
            same_json(value, second[name]) for name, value in first.items()
        )
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(same_json, first, second))
    return bool(first == second)


def known_formats() -> jsonschema.FormatChecker:
    """Return checks that know the texts that are drawn; the library's own are less exact."""
    checker = jsonschema.FormatChecker(formats=())
    for name, texts in FORMATS.items():
        checker.checks(name)(
            lambda value, texts=texts: not isinstance(value, str) or value in texts
        )
    return checker


def read_back(output: OutputSchema, documents: list[Any]) -> list[Any]:
    """Return the documents as Parquet has them."""
    file = io.BytesIO()
    pq.write_table(pa.table({"output": output.to_array(documents)}), file)
    # Threads of the reader that still live when the process ends would abort it.
    column = pq.read_table(file, use_threads=False, pre_buffer=False).column("output")
    return [each for chunk in column.chunks for each in output.to_documents(chunk)]


def fuzz(documents: int, seed: int) -> dict[str, int]:
    """Return how many documents were valid, and how many were altered or judged wrongly.

    Raises:
        AssertionError: There was one, with the schema and the text.
    """
    choice = random.Random(seed)  # noqa: S311 - repeatable, not secret
    maker = Maker(choice)
    counts = {"documents": 0, "schemas": 0, "accepted": 0, "too_large": 0, "rejected": 0}
    while counts["documents"] < documents:
        schema, draw = maker.object(MAX_DEPTH)
        output = OutputSchema(schema)
        oracle = jsonschema.Draft202012Validator(schema, format_checker=known_formats())
        counts["schemas"] += 1
        texts, accepted = [], []
        for number in range(DOCUMENTS_PER_SCHEMA):
            document = draw()
            if number % 2:
                document = maker.changed(document)
            text = json.dumps(document, ensure_ascii=number % 3 == 0)
            checked = output.check(text, "stop")
            counts["documents"] += 1
            if isinstance(checked, Parsed):
                counts["accepted"] += 1
                if not oracle.is_valid(document):
                    raise AssertionError(f"accepted, though invalid: {schema} {text}")
                texts.append(text)
                accepted.append(checked.document)
            elif "the integer" in checked.detail:
                counts["too_large"] += 1
            else:
                counts["rejected"] += 1
                if oracle.is_valid(document):
                    raise AssertionError(f"rejected, though valid: {checked} {schema} {text}")
        for text, back in zip(texts, read_back(output, accepted), strict=True):
            if not same_json(json.loads(text), back):
                raise AssertionError(f"altered: {schema} {text} {back}")
    return {**counts, "altered": 0}
