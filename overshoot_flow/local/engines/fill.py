"""Makes a document that satisfies a JSON Schema out of what an engine found.

A property takes the finding of its name when the type fits, else what its type suggests: a string
the text, an integer the first integer of the text, an enum the first of its values that stands in
the text, a boolean whether anything was seen, a `date-time` the moment of the frame. Optional
properties appear only when something of their name was found.

The subset that always validates: objects, nested objects, arrays, strings, integers, numbers,
booleans, `enum`, `const`, null beside a type, `anyOf`, `oneOf` with one fitting branch, local
`$ref`, bounds of numbers, strings and arrays, `date-time`, `date` and `time`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias
from urllib.parse import unquote

from overshoot_flow.local.engines.narrowing import narrow_integer, narrow_number, narrow_string

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
_Schema: TypeAlias = Mapping[str, object]

# At most 15 digits: exact in a float as well.
_INTEGER: Final = re.compile(r"(?:(?<!\S)-)?[0-9]{1,15}")
_NUMBER: Final = re.compile(r"(?:(?<!\S)-)?[0-9]{1,15}(?:\.[0-9]{1,15})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What an engine found in a window, to fill documents from.

    Attributes:
        text: The whole answer as text.
        seen: What a boolean says that nothing else decides.
        at: Moment of the frame that the answer is about, aware of its zone.
        named: Returns what was found under a property's name, or None.
    """

    text: str
    seen: bool
    at: datetime
    named: Callable[[str], Json]


@dataclass(frozen=True, slots=True)
class _Option:
    """One way to satisfy a schema: a type, its keywords, and the references that led there."""

    kind: str
    schema: _Schema
    followed: frozenset[str]


def integers_in(text: str) -> list[int]:
    """Return the integers in `text` in order; a minus counts at the start of a word only."""
    return [int(found) for found in _INTEGER.findall(text)]


def fill(schema: Mapping[str, object], findings: Findings) -> Json:
    """Return a document that satisfies `schema` for the subset that this module names.

    Outside the subset the document is the nearest that the known keywords give.
    """
    return _Filler(schema, findings).value(schema, None, frozenset())


class _Filler:
    """Fills one document; `followed` is the references on the way from the root to a place."""

    def __init__(self, root: _Schema, findings: Findings) -> None:
        self._root = root
        self._findings = findings

    def value(self, schema: object, found: Json, followed: frozenset[str]) -> Json:
        """Return a value for `schema`, from `found` when that fits."""
        options = list(self._options(schema, followed))
        possible = [option for option in options if option.kind != "null"]
        for option in possible:
            fitting = self._fit(option, found)
            if fitting is not None:
                return fitting
        nullable = len(possible) < len(options)
        if not possible or (nullable and not any(map(self._knows, possible))):
            return None
        return self._invent(possible[0])

    def _options(self, schema: object, followed: frozenset[str]) -> Iterator[_Option]:
        """Yield every way to satisfy `schema`; a reference into itself is no way."""
        if not isinstance(schema, Mapping):
            yield _Option("any", {}, followed)
            return
        reference = schema.get("$ref")
        if isinstance(reference, str):
            if reference not in followed:
                rest = {key: value for key, value in schema.items() if key != "$ref"}
                target = {**self._target(reference), **rest}
                yield from self._options(target, followed | {reference})
            return
        for keyword in ("anyOf", "oneOf", "allOf"):
            branches = schema.get(keyword)
            if isinstance(branches, Sequence) and branches:
                rest = {key: value for key, value in schema.items() if key != keyword}
                for branch in branches:
                    merged = {**rest, **branch} if isinstance(branch, Mapping) else rest
                    yield from self._options(merged, followed)
                return
        yield from _typed_options(schema, followed)

    def _target(self, reference: str) -> _Schema:
        """Return what a local reference points at, or a schema that takes anything."""
        node: object = self._root
        pointer = unquote(reference.removeprefix("#"))
        for step in pointer.split("/")[1:] if reference.startswith("#") else ["?"]:
            key = step.replace("~1", "/").replace("~0", "~")
            node = node.get(key) if isinstance(node, Mapping) else None
        return node if isinstance(node, Mapping) else {}

    def _fit(self, option: _Option, found: Json) -> Json:
        """Return `found` as the option's type and within its bounds, or None."""
        schema = option.schema
        fitting: Json = None
        match option.kind, found:
            case "any", _:
                fitting = found
            case "enum", _:
                fitting = _member(schema, found)
            case "object", dict():
                # Only `_elements` makes objects, and it makes them to this very schema.
                fitting = found
            case "array", list():
                fitting = self._array(option, found) or None
            case "boolean", bool():
                fitting = found
            case "string", str() | int() | float() if not isinstance(found, bool):
                fitting = narrow_string(str(found), schema, self._findings.at)
            case "integer" | "number", str() | int() | float() if not isinstance(found, bool):
                fitting = _number(option, found)
        return fitting

    def _knows(self, option: _Option) -> bool:
        """Say whether something was found for a part of this object, or for this enum."""
        if option.kind == "enum":
            return any(True for _ in self._members_in_text(option.schema))
        if option.kind != "object":
            return False
        return any(
            self._fit(inner, self._findings.named(name)) is not None or self._knows(inner)
            for name, schema in _properties(option.schema).items()
            for inner in self._options(schema, option.followed)
        )

    def _invent(self, option: _Option) -> Json:
        """Return what the option's type suggests when nothing was found by name."""
        findings = self._findings
        value: Json
        match option.kind:
            case "enum":
                members = _list(option.schema, "enum")
                value = next(self._members_in_text(option.schema), members[0])
            case "object":
                value = self._object(option)
            case "array":
                value = self._array(option, None)
            case "integer":
                value = narrow_integer(next(iter(integers_in(findings.text)), 0), option.schema)
            case "number":
                value = narrow_number(next(iter(_numbers_in(findings.text)), 0.0), option.schema)
            case "boolean":
                value = findings.seen
            case _:
                value = narrow_string(findings.text, option.schema, findings.at)
        return value

    def _object(self, option: _Option) -> Json:
        properties = _properties(option.schema)
        required = [name for name in _list(option.schema, "required") if isinstance(name, str)]
        extra = option.schema.get("additionalProperties", True)
        document: dict[str, Json] = {}
        for name in dict.fromkeys([*properties, *required]):
            schema = properties.get(name, extra)
            found = self._findings.named(name)
            options = list(self._options(schema, option.followed))
            known = any(self._fit(one, found) is not None or self._knows(one) for one in options)
            if name in required or known:
                document[name] = self.value(schema, found, option.followed)
        return document

    def _elements(self, items: _Option) -> list[Json]:
        """Return what an array without a name of its own is made of."""
        findings = self._findings
        elements: list[Json] = []
        match items.kind:
            case "string" | "any":
                elements.extend(line for line in findings.text.splitlines() if line.strip())
            case "integer":
                elements.extend(integers_in(findings.text))
            case "number":
                elements.extend(_numbers_in(findings.text))
            case "enum":
                elements.extend(self._members_in_text(items.schema))
            case "boolean":
                elements.append(findings.seen)
            case "object" if self._knows(items):
                elements.append(self._object(items))
        return elements

    def _array(self, option: _Option, found: list[Json] | None) -> list[Json]:
        """Return the elements that fit, as many as the bounds allow, filled up to `minItems`.

        Without a finding of the array's own name the text decides.
        """
        schema = option.schema
        items = schema.get("items")
        options = [one for one in self._options(items, option.followed) if one.kind != "null"]
        elements = found or []
        if found is None and options:
            elements = self._elements(options[0])
        fits = (
            next((fit for one in options if (fit := self._fit(one, element)) is not None), None)
            for element in elements
        )
        chosen: list[Json] = [fit for fit in fits if fit is not None]
        if schema.get("uniqueItems") is True:
            chosen = [one for index, one in enumerate(chosen) if one not in chosen[:index]]
        longest, shortest = schema.get("maxItems"), schema.get("minItems")
        if isinstance(longest, int):
            chosen = chosen[:longest]
        while isinstance(shortest, int) and len(chosen) < shortest:
            chosen.append(self.value(items, None, option.followed))
        return chosen

    def _members_in_text(self, schema: _Schema) -> Iterator[Json]:
        """Yield the enum's values that stand in the text as whole words."""
        for member in _list(schema, "enum"):
            word = rf"(?<!\w){re.escape(str(member))}(?!\w)"
            if re.search(word, self._findings.text, re.IGNORECASE):
                yield member


def _typed_options(schema: _Schema, followed: frozenset[str]) -> Iterator[_Option]:
    """Yield an option per type of a schema without references and branches."""
    types = schema.get("type")
    kinds = [types] if isinstance(types, str) else _list(schema, "type")
    if "const" in schema or "enum" in schema:
        members = [schema["const"]] if "const" in schema else _list(schema, "enum")
        allowed = [one for one in members if not kinds or _is_of(one, kinds)]
        values = [one for one in allowed if one is not None]
        if values:
            yield _Option("enum", {"enum": values}, followed)
        if None in allowed:
            yield _Option("null", {}, followed)
        return
    if not kinds:
        kinds = ["object" if "properties" in schema else "array" if "items" in schema else "any"]
    for kind in kinds:
        yield _Option(str(kind), schema, followed)


def _is_of(value: object, kinds: Sequence[object]) -> bool:
    """Say whether `value` is of one of the JSON types `kinds`."""
    match value:
        case None:
            names = {"null"}
        case bool():
            names = {"boolean"}
        case str():
            names = {"string"}
        case int() | float():
            names = {"number", "integer"} if float(value).is_integer() else {"number"}
        case _:
            names = {"array"} if isinstance(value, list) else {"object"}
    return not names.isdisjoint(kinds)


def _member(schema: _Schema, found: Json) -> Json:
    """Return the enum's value that `found` names, in any case, or None."""
    name = str(found).casefold()
    members = _list(schema, "enum")
    return next((one for one in members if str(one).casefold() == name), None)


def _number(option: _Option, found: str | float) -> Json:
    """Return `found` as the option's kind of number, or None when it is none."""
    if isinstance(found, str):
        pattern = _INTEGER if option.kind == "integer" else _NUMBER
        if not pattern.fullmatch(found):
            return None
        found = float(found)
    if option.kind == "number":
        return narrow_number(found, option.schema)
    return narrow_integer(found, option.schema) if float(found).is_integer() else None


def _numbers_in(text: str) -> list[float]:
    return [float(found) for found in _NUMBER.findall(text)]


def _properties(schema: _Schema) -> Mapping[str, object]:
    properties = schema.get("properties")
    return properties if isinstance(properties, Mapping) else {}


def _list(schema: _Schema, keyword: str) -> list[Json]:
    value = schema.get(keyword)
    return value if isinstance(value, list) else []
