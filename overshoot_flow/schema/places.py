"""What a schema says about one place of a document, once its references and allOf are merged.

A place is made of parts: the schema objects that all look at the same value. Every valid value
satisfies all of them, so that what any part says about the type holds. Keywords that only narrow
a value (`not`, `if`, `pattern`, `contains`, …) say nothing about the type and are left to the
validator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from overshoot_flow.errors import UnsupportedSchemaError
from overshoot_flow.schema.columns import JsonPath, json_pointer
from overshoot_flow.schema.dialects import Dialect
from overshoot_flow.schema.references import References

KINDS: Final = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
MAX_PARTS: Final = 1000
"""Most schema objects that are merged for one place."""


class Part(NamedTuple):
    """One schema object and where it stands."""

    path: JsonPath
    schema: Any


class RecursionFoundError(Exception):
    """A place leads back to one that it is inside of; never leaves `schema`."""


@dataclass(frozen=True, slots=True)
class Place:
    """What all parts say together.

    Attributes:
        path: Of the part that says most, for messages.
        parts: The schema objects, without references, allOf and alternatives.
        unions: The alternatives of each `anyOf` and `oneOf` with more than one besides null.
        kinds: JSON types that a value may have; `integer` is named only without `number`.
        is_typed: Whether `kinds` follows from the schema, and is not just every type there is.
        values: The values that `enum` and `const` leave, or None without them.
        targets: Paths that references led to on the way here.
        is_never: Whether no value is valid.
    """

    path: JsonPath
    parts: tuple[Part, ...] = ()
    unions: tuple[tuple[Place, ...], ...] = ()
    kinds: frozenset[str] = KINDS - {"integer"}
    is_typed: bool = False
    values: tuple[Any, ...] | None = None
    targets: frozenset[JsonPath] = frozenset()
    is_never: bool = False

    @property
    def pointer(self) -> str:
        """JSON pointer of `path`."""
        return json_pointer(self.path)

    def each(self, keyword: str) -> Iterator[tuple[JsonPath, Any]]:
        """Yield what every part with this keyword says, and the keyword's path."""
        for path, schema in self.parts:
            if keyword in schema:
                yield (*path, keyword), schema[keyword]


@dataclass(slots=True)
class _Merge:
    parts: list[Part] = field(default_factory=list)
    unions: list[tuple[Place, ...]] = field(default_factory=list)
    lists: list[Sequence[Any]] = field(default_factory=list)
    targets: set[JsonPath] = field(default_factory=set)
    kinds: frozenset[str] = KINDS
    is_typed: bool = False
    is_never: bool = False


class Places:
    """Merges the schema objects of one document into places."""

    def __init__(self, references: References, dialect: Dialect) -> None:
        self._references = references
        self._dialect = dialect

    def place(self, parts: Sequence[Part], active: frozenset[JsonPath]) -> Place:
        """Return the place that these parts describe.

        Args:
            parts: At least one.
            active: Targets of references that this place is already inside of.

        Raises:
            RecursionFoundError: A reference leads to one of `active`.
            UnsupportedSchemaError: Too many parts.
        """
        merge = _Merge()
        todo = list(reversed(parts))
        while todo:
            path, schema = todo.pop()
            if schema is False:
                merge.is_never = True
            if not isinstance(schema, dict):
                continue
            if len(merge.parts) + len(merge.targets) > MAX_PARTS:
                raise UnsupportedSchemaError(
                    json_pointer(path), f"more than {MAX_PARTS} schemas for one place; merge them"
                )
            schema = self._dialect.modern(schema)
            inside = self._inside(merge, Part(path, schema), active)
            todo += reversed(inside)
        return self._merged(merge, parts[0].path)

    def _inside(self, merge: _Merge, part: Part, active: frozenset[JsonPath]) -> list[Part]:
        path, schema = part
        if schema.keys() - {"$ref"} or not merge.parts:
            merge.parts.append(part)
        inside: list[Part] = []
        if "$ref" in schema:
            target_path, target = self._references.target(schema["$ref"], path)
            if target_path in active:
                raise RecursionFoundError
            merge.targets.add(target_path)
            inside.append(Part(target_path, target))
        for index, each in enumerate(schema.get("allOf", [])):
            inside.append(Part((*path, "allOf", index), each))
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                self._alternatives(merge, Part((*path, keyword), schema[keyword]), active)
        return inside

    def _alternatives(self, merge: _Merge, union: Part, active: frozenset[JsonPath]) -> None:
        branches = [Part((*union.path, index), each) for index, each in enumerate(union.schema)]
        places = [self.place([each], active) for each in branches]
        kinds = [frozenset() if each.is_never else each.kinds for each in places]
        merge.kinds = _intersection(merge.kinds, frozenset().union(*kinds))
        if all(each.is_typed or each.is_never for each in places):
            merge.is_typed = True
        kept = [index for index, each in enumerate(kinds) if each - {"null"}]
        if len(kept) == 1:
            # Null beside one type: that type's facts hold for every value but null, for which
            # they say nothing about the type.
            place = places[kept[0]]
            merge.unions += place.unions
            merge.targets |= place.targets
            merge.parts += [_without_type(each) for each in place.parts]
            if place.values is not None:
                merge.lists.append((*place.values, None))
        elif kept:
            merge.unions.append(tuple(places[index] for index in kept))

    def _merged(self, merge: _Merge, path: JsonPath) -> Place:
        kinds, is_typed = merge.kinds, merge.is_typed
        lists = list(merge.lists)
        says_most: JsonPath | None = None
        for part in merge.parts:
            if "type" in part.schema:
                declared = part.schema["type"]
                declared = {declared} if isinstance(declared, str) else set(declared)
                kinds = _intersection(kinds, frozenset(declared))
                is_typed = True
                says_most = says_most if says_most is not None else part.path
            if "enum" in part.schema:
                lists.append(part.schema["enum"])
            if "const" in part.schema:
                lists.append([part.schema["const"]])
        if says_most is None:
            says_most = merge.parts[0].path if merge.parts else path
        values = None
        if lists:
            kinds, values = _fixed(kinds, lists, is_typed=is_typed)
            is_typed = True
        if "number" in kinds:
            kinds -= {"integer"}
        return Place(
            path=says_most,
            parts=tuple(merge.parts),
            unions=tuple(merge.unions),
            kinds=kinds,
            is_typed=is_typed,
            values=values,
            targets=frozenset(merge.targets),
            is_never=merge.is_never or not kinds,
        )


def kind_of(value: Any) -> str:  # noqa: ANN401, PLR0911 - any JSON value; one line for each type
    """Return the JSON type of a value; `1.0` is an integer."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case list():
            return "array"
        case Mapping():
            return "object"
        case float() if not value.is_integer():
            return "number"
        case _:
            return "integer"


def is_same(first: Any, second: Any) -> bool:  # noqa: ANN401 - any JSON values
    """Return whether two fixed values are one to JSON, for which `true` is not 1."""
    return kind_of(first) == kind_of(second) and first == second


def _fixed(
    kinds: frozenset[str], lists: Sequence[Sequence[Any]], *, is_typed: bool
) -> tuple[frozenset[str], tuple[Any, ...]]:
    accepted = _with_integer(kinds)
    values = [
        value
        for index, value in enumerate(lists[0])
        if kind_of(value) in accepted
        and not any(is_same(value, earlier) for earlier in lists[0][:index])
        and all(any(is_same(value, each) for each in other) for other in lists[1:])
    ]
    found = frozenset(kind_of(each) for each in values)
    if is_typed and "number" in kinds and "integer" in found:
        # Declared as numbers, they are numbers even if all that are listed are whole.
        found |= {"number"}
    return _intersection(kinds, found) & found, tuple(values)


def _with_integer(kinds: frozenset[str]) -> frozenset[str]:
    return kinds | {"integer"} if "number" in kinds else kinds


def _intersection(first: frozenset[str], second: frozenset[str]) -> frozenset[str]:
    return _with_integer(first) & _with_integer(second)


def _without_type(part: Part) -> Part:
    kept = {
        key: value for key, value in part.schema.items() if key not in ("type", "enum", "const")
    }
    return part._replace(schema=kept)


def without_null(place: Place) -> Place:
    """Return the place for the values besides null."""
    values = None if place.values is None else tuple(v for v in place.values if v is not None)
    return replace(place, kinds=place.kinds - {"null"}, values=values)
