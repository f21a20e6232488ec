"""References inside a schema document, and what makes them a danger to whoever validates.

Nothing is ever fetched: a reference that leaves the document is refused. A schema that refers to
itself without going down into the value would be checked for ever, and one that does so several
times for one value costs a power of the value's depth. The first is refused; for the second
`depth_limit` says how deep a value may be.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from overshoot_flow.errors import UnsupportedSchemaError
from overshoot_flow.schema.columns import JsonPath, json_pointer
from overshoot_flow.schema.dialects import (
    Dialect,
    Schema,
    below,
    check_keywords,
    definitions,
    in_place,
)

MAX_SCHEMA_DEPTH: Final = 200
"""Deepest nesting of the schema document itself."""
MAX_CHECKS_PER_VALUE: Final = 10_000
"""Most schema objects that may have to look at one value."""
MAX_CHECKS_BY_RECURSION: Final = 1 << 16
"""Most times that a recursive schema may have to look at one innermost value."""


@dataclass(slots=True)
class _Node:
    path: JsonPath
    schema: Schema
    in_place: list[JsonPath] = field(default_factory=list)
    below: list[tuple[str, str, JsonPath]] = field(default_factory=list)


class References:
    """Finds what references of one document lead to, after refusing what is dangerous.

    Attributes:
        looks_per_level: How many times a recursive schema may look at one value for each level
            that the value lies deeper; 1 where depth costs nothing.
        depth_limit: Deepest nesting of values that is cheap to check, or None where any is.

    Raises:
        UnsupportedSchemaError: A reference leaves the document, leads nowhere or into a circle,
            a keyword is unknown, or checking one value would take too many steps.
    """

    def __init__(self, document: Schema, dialect: Dialect) -> None:
        self._document = document
        self._dialect = dialect
        self._anchors: dict[str, JsonPath] = {}
        self._nodes: dict[JsonPath, _Node] = {}
        self._find_anchors()
        self._visit()
        self._checks: dict[JsonPath, int] = {}
        for path in self._nodes:
            self._count_checks(path)
        self.looks_per_level = self._looks_per_level()
        self.depth_limit = (
            None
            if self.looks_per_level == 1
            else int(math.log(MAX_CHECKS_BY_RECURSION, self.looks_per_level))
        )

    def target(self, reference: Any, at: JsonPath) -> tuple[JsonPath, Any]:  # noqa: ANN401 - user input
        """Return the path and the schema that a `$ref` at the path `at` leads to.

        Raises:
            UnsupportedSchemaError: It leaves the document or leads nowhere.
        """
        pointer = json_pointer((*at, "$ref"))
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise UnsupportedSchemaError(
                pointer,
                f"{str(reference)[:80]} is outside this document and is never fetched; copy it "
                "into $defs and refer to #/$defs/…",
            )
        fragment = unquote(reference[1:])
        if fragment and not fragment.startswith("/"):
            if fragment not in self._anchors:
                raise UnsupportedSchemaError(
                    pointer, f"{reference[:80]} leads nowhere; add the definition"
                )
            anchored = self._anchors[fragment]
            return anchored, _at(self._document, anchored)
        path: JsonPath = ()
        target: Any = self._document
        for part in fragment.split("/")[1:]:
            key: Any = part.replace("~1", "/").replace("~0", "~")
            try:
                key = int(key) if isinstance(target, list) else key
                target = target[key]
            except (KeyError, IndexError, TypeError, ValueError):
                raise UnsupportedSchemaError(
                    pointer, f"{reference[:80]} leads nowhere; add the definition"
                ) from None
            path = (*path, key)
        if not isinstance(target, (dict, bool)):
            raise UnsupportedSchemaError(pointer, f"{reference[:80]} leads to no schema")
        return path, target

    def places(self) -> Iterator[tuple[JsonPath, Schema]]:
        """Yield every schema object that answers are checked with, and its path."""
        for path, node in self._nodes.items():
            yield path, node.schema

    def _find_anchors(self) -> None:
        for path, schema in _schemas(self._document):
            if path and isinstance(schema.get("$id"), str):
                # Draft 7 has no $anchor: a fragment as $id is its way to say the same.
                if not (self._dialect.ref_is_alone and schema["$id"].startswith("#")):
                    raise UnsupportedSchemaError(
                        json_pointer((*path, "$id")), "only the root may have $id; remove it"
                    )
                self._anchors[schema["$id"][1:]] = path
            if isinstance(schema.get("$anchor"), str):
                self._anchors[schema["$anchor"]] = path

    def _visit(self) -> None:
        todo: list[tuple[JsonPath, Any]] = [((), self._document)]
        while todo:
            path, schema = todo.pop()
            if not isinstance(schema, dict) or path in self._nodes:
                continue
            if len(path) > MAX_SCHEMA_DEPTH:
                raise UnsupportedSchemaError(
                    json_pointer(path), f"nested deeper than {MAX_SCHEMA_DEPTH} levels; flatten it"
                )
            check_keywords(schema, self._dialect, path)
            todo += [((*path, *rest), each) for rest, each in definitions(schema)]
            schema = self._dialect.modern(schema)
            node = self._nodes[path] = _Node(path, schema)
            if "$ref" in schema:
                target_path, target = self.target(schema["$ref"], path)
                node.in_place.append(target_path)
                todo.append((target_path, target))
            for rest, each in in_place(schema):
                node.in_place.append((*path, *rest))
                todo.append(((*path, *rest), each))
            for slot, rest, each in below(schema):
                name = str(rest[-1]) if slot == "property" else ""
                node.below.append((slot, name, (*path, *rest)))
                todo.append(((*path, *rest), each))

    def _count_checks(self, start: JsonPath) -> None:
        # Depth first without recursion, so that a long chain is no danger itself.
        on_the_way: set[JsonPath] = set()
        todo = [start]
        while todo:
            path = todo[-1]
            node = self._nodes.get(path)
            if node is None or path in self._checks:
                todo.pop()
                continue
            waiting = [each for each in node.in_place if each not in self._checks]
            waiting = [each for each in waiting if each in self._nodes]
            if path in on_the_way:
                if waiting:
                    raise UnsupportedSchemaError(
                        json_pointer(path),
                        "refers to itself without going down into the value; remove the circle",
                    )
                todo.pop()
                count = 1 + sum(self._checks.get(each, 1) for each in node.in_place)
                if count > MAX_CHECKS_PER_VALUE:
                    raise UnsupportedSchemaError(
                        json_pointer(path),
                        f"more than {MAX_CHECKS_PER_VALUE} schemas look at one value; write fewer "
                        "alternatives",
                    )
                self._checks[path] = count
                continue
            for each in waiting:
                if each in on_the_way:
                    raise UnsupportedSchemaError(
                        json_pointer(path),
                        "refers to itself without going down into the value; remove the circle",
                    )
            on_the_way.add(path)
            todo += waiting

    def _looks_per_level(self) -> int:
        most = 1
        for circle in _circles(self._nodes):
            for path in circle:
                slots: dict[tuple[str, str], int] = {}
                for node in self._looking_with(path):
                    for slot, name, target in node.below:
                        if target in circle or self._leads_into(target, circle):
                            slots[slot, name] = slots.get((slot, name), 0) + 1
                any_property = slots.get(("properties", ""), 0)
                for (slot, _), count in slots.items():
                    # An item of an array is no property of an object: nothing looks at it as both.
                    most = max(most, count + any_property if slot == "property" else count)
        return most

    def _looking_with(self, path: JsonPath) -> Iterator[_Node]:
        """Yield what looks at a value beside the schema at `path`, as often as it does."""
        todo = [path]
        while todo:
            node = self._nodes.get(todo.pop())
            if node is not None:
                yield node
                todo += node.in_place

    def _leads_into(self, path: JsonPath, circle: set[JsonPath]) -> bool:
        return any(node.path in circle for node in self._looking_with(path))


def _at(document: Any, path: JsonPath) -> Any:  # noqa: ANN401 - user input
    for key in path:
        document = document[key]
    return document


def _schemas(document: Schema) -> Iterator[tuple[JsonPath, Schema]]:
    """Yield every schema object of a document that is not only reached by a reference."""
    todo: list[tuple[JsonPath, Any]] = [((), document)]
    while todo:
        path, schema = todo.pop()
        if not isinstance(schema, dict) or len(path) > MAX_SCHEMA_DEPTH:
            continue
        yield path, schema
        inside = [*definitions(schema), *in_place(schema)]
        inside += [(rest, each) for _, rest, each in below(schema)]
        todo += [((*path, *rest), each) for rest, each in inside]


def _circles(nodes: dict[JsonPath, _Node]) -> list[set[JsonPath]]:
    """Return the groups of schemas that lead to each other (Kosaraju's algorithm)."""
    edges = {
        path: [*node.in_place, *(target for _, _, target in node.below)]
        for path, node in nodes.items()
    }
    backwards: dict[JsonPath, list[JsonPath]] = {path: [] for path in nodes}
    for path, targets in edges.items():
        for target in targets:
            if target in nodes:
                backwards[target].append(path)
    groups: list[set[JsonPath]] = []
    placed: set[JsonPath] = set()
    for start in reversed(_order_of_leaving(edges)):
        group: set[JsonPath] = set()
        to_place = [start]
        while to_place:
            path = to_place.pop()
            if path not in placed:
                placed.add(path)
                group.add(path)
                to_place += backwards[path]
        if len(group) > 1 or start in edges[start]:
            groups.append(group)
    return groups


def _order_of_leaving(edges: dict[JsonPath, list[JsonPath]]) -> list[JsonPath]:
    """Return the nodes in the order in which a search depth first is done with them."""
    order: list[JsonPath] = []
    seen: set[JsonPath] = set()
    todo = [(start, False) for start in reversed(edges)]
    while todo:
        path, is_done = todo.pop()
        if is_done:
            order.append(path)
        elif path not in seen and path in edges:
            seen.add(path)
            todo.append((path, True))
            todo += [(target, False) for target in edges[path]]
    return order
