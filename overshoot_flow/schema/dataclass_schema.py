"""A dataclass with standard types → the JSON Schema of the objects that it describes."""

from __future__ import annotations

import dataclasses
import enum
import types
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from overshoot_flow.errors import UnsupportedSchemaError

_SCALARS: Final[Mapping[Any, Mapping[str, Any]]] = {
    Any: {},
    types.NoneType: {"type": "null"},
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    Decimal: {"type": "number"},
    bool: {"type": "boolean"},
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
    time: {"type": "string", "format": "time"},
    timedelta: {"type": "string", "format": "duration"},
    UUID: {"type": "string", "format": "uuid"},
}
_LISTS: Final = (list, Sequence)
_SETS: Final = (set, frozenset, AbstractSet)
_MAPS: Final = (dict, Mapping)


def schema_of_dataclass(described: type[Any]) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a dataclass.

    A field without a default is required, and nothing but the fields is allowed. Fields may be
    `str`, `int`, `float`, `Decimal`, `bool`, `None`, `Any`, `datetime`, `date`, `time`,
    `timedelta` (ISO 8601), `UUID`, an `Enum` or `Literal`, other dataclasses, and lists, sets,
    tuples, mappings with text keys and unions of them. A text in `Annotated[...]` is a
    description.

    Raises:
        UnsupportedSchemaError: A field has another type; the text names it.
    """
    converter = _Converter()
    reference = converter.reference(described)
    name = str(reference["$ref"]).rsplit("/", 1)[1]
    if converter.referred_to[described] > 1:
        # It holds itself.
        return {"$ref": reference["$ref"], "$defs": converter.definitions}
    root = converter.definitions.pop(name)
    return {**root, "$defs": converter.definitions} if converter.definitions else root


class _Converter:
    def __init__(self) -> None:
        self.definitions: dict[str, dict[str, Any]] = {}
        self.referred_to: dict[type[Any], int] = {}
        self._names: dict[str, type[Any]] = {}

    def reference(self, described: type[Any]) -> dict[str, Any]:
        name = described.__name__
        named = self._names.setdefault(name, described)
        if named is not described:
            raise UnsupportedSchemaError(
                f"/$defs/{name}", f"{named!r} and {described!r} have one name; rename one of them"
            )
        self.referred_to[described] = self.referred_to.get(described, 0) + 1
        if self.referred_to[described] == 1:
            self.definitions[name] = {}
            self.definitions[name] = self._object(described)
        return {"$ref": f"#/$defs/{name}"}

    def _object(self, described: type[Any]) -> dict[str, Any]:
        try:
            hints = get_type_hints(described, include_extras=True)
        except (NameError, TypeError) as error:
            raise UnsupportedSchemaError(
                f"/$defs/{described.__name__}",
                f"a type of {described.__qualname__} is not known: {error}; define it in the "
                "module",
            ) from None
        fields = [each for each in dataclasses.fields(described) if each.init]
        properties = {
            each.name: self.value(hints[each.name], f"{described.__qualname__}.{each.name}")
            for each in fields
        }
        missing = dataclasses.MISSING
        required = [
            each.name
            for each in fields
            if each.default is missing and each.default_factory is missing
        ]
        return {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }

    def value(self, hint: Any, where: str) -> dict[str, Any]:  # noqa: ANN401 - a type form
        """Return the schema of one type."""
        origin, arguments = get_origin(hint), get_args(hint)
        if origin is Annotated:
            schema = self.value(arguments[0], where)
            texts = [each for each in arguments[1:] if isinstance(each, str)]
            return {**schema, "description": " ".join(texts)} if texts else schema
        if hint in _SCALARS:
            return dict(_SCALARS[hint])
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            return self.reference(hint)
        if origin is Literal or (isinstance(hint, type) and issubclass(hint, enum.Enum)):
            members: Any = hint
            values = arguments if origin is Literal else [each.value for each in members]
            return _fixed(values, where)
        if origin in (Union, types.UnionType):
            return {"anyOf": [self.value(each, where) for each in arguments]}
        return self._container(hint, origin or hint, arguments, where)

    def _container(
        self,
        hint: Any,  # noqa: ANN401 - a type form
        origin: Any,  # noqa: ANN401 - a type form
        arguments: tuple[Any, ...],
        where: str,
    ) -> dict[str, Any]:
        if origin in _LISTS and arguments:
            return {"type": "array", "items": self.value(arguments[0], where)}
        if origin in _SETS and arguments:
            items = self.value(arguments[0], where)
            return {"type": "array", "items": items, "uniqueItems": True}
        if origin is tuple and arguments:
            if arguments[1:] == (...,):
                return {"type": "array", "items": self.value(arguments[0], where)}
            return {
                "type": "array",
                "prefixItems": [self.value(each, where) for each in arguments],
                "items": False,
                "minItems": len(arguments),
            }
        if origin in _MAPS and arguments and arguments[0] is str:
            return {"type": "object", "additionalProperties": self.value(arguments[1], where)}
        raise UnsupportedSchemaError(
            "",
            f"{where} is {hint!r}, which has no JSON form; use a standard type, an Enum, another "
            "dataclass, or a list, tuple or dict[str, ...] of these",
        )


def _fixed(values: Sequence[Any], where: str) -> dict[str, Any]:
    for value in values:
        if not isinstance(value, (str, int, float, bool, types.NoneType)):
            raise UnsupportedSchemaError("", f"{where} has the value {value!r}; JSON has no such")
    return {"enum": list(values)}
