"""Columns of objects of several forms that a tag tells apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import pyarrow as pa

from overshoot_flow.schema.arrow_arrays import children_of, struct_array, with_nulls
from overshoot_flow.schema.columns import TAG_FIELD, Column, DictionaryColumn, JsonPath, Values
from overshoot_flow.schema.struct_columns import StructColumn


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """One of the alternatives that a tag tells apart.

    Attributes:
        tags: Values of the tag property.
        column: The object without its tag property.
        field: Its column, or None where the tag says everything.
    """

    tags: tuple[str, ...]
    column: StructColumn
    field: pa.Field[Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedColumn(Column):
    """Objects of several forms: a struct of the tag and one nullable struct for each form.

    Attributes:
        tag: Name of the property that tells them apart.
        tags: Column of the tag.
        alternatives: The forms.
    """

    tag: str
    tags: DictionaryColumn
    alternatives: tuple[Alternative, ...]

    @classmethod
    def of(
        cls,
        tag: tuple[str, str],
        tags: DictionaryColumn,
        alternatives: Sequence[Alternative],
        *,
        nullable: bool,
        schema_path: str,
    ) -> TaggedColumn:
        """Return the column; `tag` is the property's name and that of its field."""
        metadata = {TAG_FIELD: tag[0]}
        fields = [pa.field(tag[1], tags.arrow_type, nullable=False, metadata=metadata)]
        fields += [each.field for each in alternatives if each.field is not None]
        return cls(
            arrow_type=pa.struct(fields),
            nullable=nullable,
            schema_path=schema_path,
            tag=tag[0],
            tags=tags,
            alternatives=tuple(alternatives),
        )

    @property
    def has_integers(self) -> bool:
        """Whether an alternative has."""
        return any(each.column.has_integers for each in self.alternatives)

    def with_integers(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Return the value with its alternative's members so."""
        return self._column_of(value).with_integers(value)

    @property
    def nests_freely(self) -> bool:
        """Whether an alternative does."""
        return any(each.column.nests_freely for each in self.alternatives)

    @property
    def keys_each(self) -> None:
        """Each alternative has its own number."""
        return

    def count_keys(self, value: Any) -> int:  # noqa: ANN401 - any JSON value
        """Return the number in its alternative."""
        return self._column_of(value).count_keys(value)

    def settle(self, value: Any, path: JsonPath) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
        """Return the object with every property settled."""
        return self._column_of(value).settle(value, path)

    def _column_of(self, value: dict[str, Any]) -> StructColumn:
        [own] = [each for each in self.alternatives if value[self.tag] in each.tags]
        return own.column

    def to_arrow(self, values: Values) -> pa.Array[Any]:
        """Return structs over the tags and one array for every alternative."""
        return struct_array(values, self.arrow_type, self._arrays)

    def _arrays(self, objects: Values) -> list[pa.Array[Any]]:
        tags = list(map(itemgetter(self.tag), objects))
        arrays = [self.tags.to_arrow(tags)]
        for each in self.alternatives:
            if each.field is not None:
                of_tag = dict.fromkeys(each.tags)
                own = [v if t in of_tag else None for v, t in zip(objects, tags, strict=True)]
                arrays.append(each.column.to_arrow(own))
        return arrays

    def to_json(self, array: pa.Array[Any]) -> list[Any]:
        """Return dicts, the tag first."""
        tags, *arrays = children_of(array)
        objects: list[dict[str, Any]] = [{self.tag: tag} for tag in tags.to_pylist()]
        with_columns = [each for each in self.alternatives if each.field is not None]
        for each, own in zip(with_columns, arrays, strict=True):
            for target, value in zip(objects, each.column.to_json(own), strict=True):
                target.update(value or {})
        return with_nulls(objects, array)
