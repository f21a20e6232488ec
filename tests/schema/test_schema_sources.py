from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import pyarrow as pa
import pydantic
import pydantic.v1
import pytest

from overshoot_flow.config import Inference
from overshoot_flow.errors import ConfigurationError, UnsupportedSchemaError
from overshoot_flow.schema.dataclass_schema import schema_of_dataclass
from overshoot_flow.schema.json_schema import OutputSchema, Parsed, Rejected
from overshoot_flow.schema.sources import schema_document

CARS = {
    "type": "object",
    "properties": {"cars": {"type": "integer"}},
    "required": ["cars"],
    "additionalProperties": False,
}


@dataclass
class Cars:
    cars: int


class CarsModel(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    cars: int
    plate: str | None = None


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Point:
    x: float
    y: Annotated[float, "counted from above"] = 0.0


@dataclass
class Everything:
    text: str
    flag: bool
    color: Color
    kind: Literal["car", "bus"]
    at: datetime
    day: date
    uuid: UUID
    price: Decimal
    point: Point
    free: Any
    maybe: int | None = None
    points: list[Point] = field(default_factory=list)
    path: tuple[int, ...] = ()
    pair: tuple[int, str] = (0, "")
    names: frozenset[str] = frozenset()
    counts: Mapping[str, int] = field(default_factory=dict)
    computed: int = field(default=1, init=False)


@dataclass
class Tree:
    name: str
    children: list[Tree]


@dataclass
class Wrong:
    at: Cars
    what: complex


@dataclass
class NotKnown:
    what: Nowhere  # type: ignore[name-defined]  # noqa: F821 - that is the test


def test_every_source_gives_the_same_question(tmp_path: Path) -> None:
    file = tmp_path / "cars.json"
    file.write_text(json.dumps(CARS))
    asked = [Inference(prompt="?", output_schema=each) for each in (CARS, file, str(file), Cars)]
    file.unlink()
    assert [each.json_schema for each in asked] == [CARS] * 4
    assert len({each.prompt_version for each in asked}) == 1
    assert Inference(prompt="?").json_schema is None


def test_a_pydantic_model_is_a_schema_that_types_and_checks() -> None:
    asked = Inference(prompt="?", output_schema=CarsModel)
    assert asked.json_schema == CarsModel.model_json_schema()
    schema = OutputSchema(schema_document(CarsModel))
    assert schema.arrow_type.field("plate").nullable
    assert isinstance(schema.check('{"cars": 1, "plate": null}', "stop"), Parsed)
    assert isinstance(schema.check('{"cars": 1, "bus": 2}', "stop"), Rejected)


class OldBox(pydantic.v1.BaseModel):
    width: float


class OldModel(pydantic.v1.BaseModel):
    span: tuple[int, str]
    box: OldBox | None = pydantic.v1.Field(None, description="of the car")


def test_a_model_of_the_first_pydantic_is_a_schema_that_types_and_checks() -> None:
    schema = OutputSchema(schema_document(OldModel))
    assert schema.arrow_type.field("span").type.field("item_0").type == pa.int64()
    assert schema.arrow_type.field("box").type.field("width").type == pa.float64()
    assert isinstance(schema.check('{"span": [1, "a"], "box": {"width": 1.5}}', "stop"), Parsed)
    assert isinstance(schema.check('{"span": [1, 2]}', "stop"), Rejected)


@dataclass
class Größe:  # noqa: PLC2401 - that is the test
    breite: int


def test_a_class_may_have_a_name_of_any_letters() -> None:
    @dataclass
    class Seen:
        size: Größe

    schema = OutputSchema(schema_of_dataclass(Seen))
    assert isinstance(schema.check('{"size": {"breite": 1}}', "stop"), Parsed)
    rejected = schema.check('{"size": {"breite": "x"}}', "stop")
    assert isinstance(rejected, Rejected)
    assert rejected.schema_path == "/$defs/Größe/properties/breite/type"


def test_a_dataclass_is_a_schema_that_types_and_checks() -> None:
    @dataclass
    class Seen:
        cars: int
        point: Point
        colors: list[Color]
        plate: str | None = None

    schema = OutputSchema(schema_of_dataclass(Seen))
    assert not schema.arrow_type.field("cars").nullable
    assert schema.arrow_type.field("plate").nullable
    assert schema.arrow_type.field("point").type.field("x").type == pa.float64()
    text = '{"cars": 1, "point": {"x": 1.5}, "colors": ["red"], "plate": null}'
    assert isinstance(schema.check(text, "stop"), Parsed)
    assert isinstance(schema.check(text.replace("red", "green"), "stop"), Rejected)
    assert isinstance(schema.check(text.replace("1.5", '1.5, "z": 1'), "stop"), Rejected)


def test_every_standard_type_has_its_json_form() -> None:
    document = schema_of_dataclass(Everything)
    point = {"$ref": "#/$defs/Point"}
    assert document["properties"] == {
        "text": {"type": "string"},
        "flag": {"type": "boolean"},
        "color": {"enum": ["red", "blue"]},
        "kind": {"enum": ["car", "bus"]},
        "at": {"type": "string", "format": "date-time"},
        "day": {"type": "string", "format": "date"},
        "uuid": {"type": "string", "format": "uuid"},
        "price": {"type": "number"},
        "point": point,
        "free": {},
        "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "points": {"type": "array", "items": point},
        "path": {"type": "array", "items": {"type": "integer"}},
        "pair": {
            "type": "array",
            "prefixItems": [{"type": "integer"}, {"type": "string"}],
            "items": False,
            "minItems": 2,
        },
        "names": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
    }
    assert document["required"] == [
        *("text", "flag", "color", "kind", "at", "day", "uuid", "price", "point", "free")
    ]
    assert document["$defs"]["Point"]["required"] == ["x"]
    y = document["$defs"]["Point"]["properties"]["y"]
    assert y == {"type": "number", "description": "counted from above"}


def test_a_class_that_holds_itself_refers_to_itself() -> None:
    document = schema_of_dataclass(Tree)
    assert document["$ref"] == "#/$defs/Tree"
    children = document["$defs"]["Tree"]["properties"]["children"]
    assert children == {"type": "array", "items": {"$ref": "#/$defs/Tree"}}


@pytest.mark.parametrize(
    ("described", "words"),
    [(Wrong, "Wrong.what is <class 'complex'>"), (NotKnown, "Nowhere")],
)
def test_a_field_without_a_json_form_is_named(described: type[Any], words: str) -> None:
    with pytest.raises(UnsupportedSchemaError, match=words):
        Inference(prompt="?", output_schema=described)


def test_two_classes_of_one_name_are_refused() -> None:
    def another() -> type[Any]:
        @dataclass
        class Cars:
            buses: int

        return Cars

    holder = dataclass(type("Holder", (), {"__annotations__": {"a": Cars, "b": another()}}))
    with pytest.raises(UnsupportedSchemaError, match="have one name"):
        schema_of_dataclass(holder)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot read the schema"),
        (b"{", "is not JSON"),
        (b"\xff", "is not UTF-8"),
        (b"[1]", "must be a JSON object"),
        (b'{"type": "object", "type": "array"}', "'type' stands twice"),
    ],
)
def test_a_file_that_is_no_schema_is_refused(
    content: bytes | None, words: str, tmp_path: Path
) -> None:
    file = tmp_path / "schema.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=words) as refused:
        Inference(prompt="?", output_schema=file)
    assert str(file) in str(refused.value)


class NoModel:
    @classmethod
    def model_json_schema(cls) -> Any:
        raise RuntimeError("no schema for\nthis")


@pytest.mark.parametrize(("source", "words"), [(int, "int is no"), (NoModel, "no schema for$")])
def test_a_class_that_says_nothing_is_refused(source: type[Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Inference(prompt="?", output_schema=source)
