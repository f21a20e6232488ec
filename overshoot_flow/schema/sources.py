"""Where a JSON Schema may come from: a mapping, a file, a pydantic model, a dataclass."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.schema.dataclass_schema import schema_of_dataclass
from overshoot_flow.schema.dialects import DRAFT_7

SchemaSource: TypeAlias = Mapping[str, Any] | str | os.PathLike[str] | type[Any]
"""A schema document, the path of a JSON file with one, or a class that describes the answer."""


def schema_document(source: SchemaSource) -> Mapping[str, Any]:
    """Return the schema as plain JSON data.

    Args:
        source: A mapping is returned as it is. A text or a path names a JSON file. A class is a
            pydantic model (of version 1 too), or anything else with `model_json_schema`, or a
            dataclass, see `schema_of_dataclass`.

    Raises:
        ConfigurationError: It is none of these, or cannot be read; the text says what to do.
        UnsupportedSchemaError: A field of the dataclass has no JSON form.
    """
    if isinstance(source, Mapping):
        return source
    if isinstance(source, (str, os.PathLike)):
        return _read(Path(source))
    if isinstance(source, type) and callable(getattr(source, "model_json_schema", None)):
        return _of_model(source, "model_json_schema")
    if isinstance(source, type) and _is_old_model(source):
        # Version 1 writes tuples as draft 7 does, and does not say so.
        return {"$schema": DRAFT_7.uri, **_of_model(source, "schema")}
    if isinstance(source, type) and dataclasses.is_dataclass(source):
        return schema_of_dataclass(source)
    named = source.__qualname__ if isinstance(source, type) else f"a {type(source).__name__}"
    raise ConfigurationError(
        f"{named} is no output schema; give a mapping, the path of a JSON file, a pydantic model "
        "class or a dataclass"
    )


def _is_old_model(model: Any) -> bool:  # noqa: ANN401 - pydantic is no dependency
    return hasattr(model, "__fields__") and callable(getattr(model, "schema", None))


def _of_model(model: Any, method: str) -> Mapping[str, Any]:  # noqa: ANN401 - as above
    try:
        document: Any = getattr(model, method)()
    except (RuntimeError, TypeError, ValueError) as error:
        # pydantic's own errors are of these.
        raise ConfigurationError(
            f"{model.__qualname__} has no JSON Schema: {str(error).splitlines()[0]}"
        ) from error
    if not isinstance(document, Mapping):
        raise ConfigurationError(
            f"{model.__qualname__}.{method}() returned a {type(document).__name__}; it must return "
            "a mapping"
        )
    return document


def _read(file: Path) -> Mapping[str, Any]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"cannot read the schema {file}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"the schema {file} is not UTF-8 text: {error}") from None
    try:
        document = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"the schema {file} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ConfigurationError(f"the schema {file} must be a JSON object")
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!a} stands twice in one object")
    return document
