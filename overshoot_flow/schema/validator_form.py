"""The form in which a schema is given to the validator: what it says stays the same.

The validator compares integers with an integer bound several times faster than with a float, and
takes only such references as are URIs: `#/$defs/Größe` is none, though users and their tools write
it. The user's document, and with it the key of the schema, stay as they are.
"""

from __future__ import annotations

import copy
from typing import Any, Final
from urllib.parse import quote

from overshoot_flow.schema.columns import json_pointer
from overshoot_flow.schema.dialects import Schema
from overshoot_flow.schema.references import References

_BOUNDS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_MAX_EXACT: Final = 1 << 53
"""Beyond this, the text of a float need not be that of the integer."""


def validator_form(document: Schema, references: References) -> Schema:
    """Return a copy whose whole bounds are integers and whose references are URIs.

    Args:
        document: The schema.
        references: Its references.
    """
    form = copy.deepcopy(document)
    for path, schema in references.places():
        # It may be reached in two ways; what is done twice changes nothing.
        place: Any = form
        for key in path:
            place = place[key]
        for keyword in _BOUNDS:
            bound = schema.get(keyword)
            if isinstance(bound, float) and bound.is_integer() and abs(bound) <= _MAX_EXACT:
                place[keyword] = int(bound)
        if "$ref" in schema:
            target, _ = references.target(schema["$ref"], path)
            place["$ref"] = f"#{quote(json_pointer(target))}"
    return form
