"""Alternatives that a tag tells apart: `oneOf` or `anyOf` of objects with a constant property."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from overshoot_flow.schema.columns import DictionaryColumn, JsonPath
from overshoot_flow.schema.names import ColumnNames, joined
from overshoot_flow.schema.places import Part, Place, RecursionFoundError
from overshoot_flow.schema.tagged_columns import Alternative, TaggedColumn

if TYPE_CHECKING:
    from overshoot_flow.schema.arrow_types import Compiler


def tagged_column(
    compiler: Compiler, place: Place, active: frozenset[JsonPath], depth: int
) -> TaggedColumn | None:
    """Return the column of an object whose alternatives are told apart by a tag, or None.

    A tag is a required property of strings that every alternative lists and no two share. Where
    several properties are one, it is the first of the first alternative.
    """
    for union in place.unions:
        alternatives = [replace(each, parts=(*place.parts, *each.parts)) for each in union]
        if any(each.kinds - {"null"} != {"object"} for each in union):
            continue
        for name in _properties(alternatives[0]):
            tags = [_tags(compiler, each, name, active) for each in alternatives]
            found = [tag for each in tags for tag in each]
            if all(tags) and len(set(found)) == len(found):
                tagged = list(zip(tags, alternatives, strict=True))
                return _column(compiler, place, name, tagged, active=active, depth=depth)
    return None


def _properties(place: Place) -> list[str]:
    return list(dict.fromkeys(name for _, named in place.each("properties") for name in named))


def _tags(
    compiler: Compiler, place: Place, name: str, active: frozenset[JsonPath]
) -> tuple[str, ...]:
    """Return the strings that a property of an alternative may be, if it has to be there."""
    parts = [
        Part((*path, name), named[name])
        for path, named in place.each("properties")
        if name in named
    ]
    if not parts or not any(name in names for _, names in place.each("required")):
        return ()
    try:
        tag = compiler.places.place(parts, active | place.targets)
    except RecursionFoundError:
        return ()
    if tag.values is None or tag.kinds != {"string"}:
        return ()
    return tuple(tag.values)


def _column(
    compiler: Compiler,
    place: Place,
    tag: str,
    tagged: Sequence[tuple[tuple[str, ...], Place]],
    *,
    active: frozenset[JsonPath],
    depth: int,
) -> TaggedColumn:
    all_tags = [tag for tags, _ in tagged for tag in tags]
    tags_column = DictionaryColumn.of(all_tags, nullable=False, schema_path=place.pointer)
    names = ColumnNames([tag])
    alternatives = []
    for tags, each in tagged:
        column = compiler.struct(
            replace(each, kinds=frozenset({"object", "null"})),
            active | each.targets,
            depth + 1,
            ignored=tag,
        )
        # Parquet has no struct without fields: then the tag says all that there is to say.
        field = None
        if column.arrow_type.num_fields:
            field = pa.field(names.other(joined(tags)), column.arrow_type)
        alternatives.append(Alternative(tags=tags, column=column, field=field))
    return TaggedColumn.of(
        (tag, names.of(tag)),
        tags_column,
        alternatives,
        nullable="null" in place.kinds,
        schema_path=place.pointer,
    )
