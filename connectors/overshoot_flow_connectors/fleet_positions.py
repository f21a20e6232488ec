"""TOML with the line of every value.

`tomllib` says what a document means and where its syntax breaks, but keeps no positions; `tomlkit`
keeps the text of a document, and no line numbers either. So the values come from `tomllib`, and the
lines from tree-sitter's TOML grammar, which keeps the position of every node. An index of our own
would have to know four kinds of strings, comments within arrays and dotted keys once more.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import tree_sitter
import tree_sitter_toml

from overshoot_flow.errors import ConfigurationError

Path: TypeAlias = tuple[str | int, ...]
"""Where a value stands: keys of tables and indices of arrays, from the document's root."""

_LANGUAGE: Final = tree_sitter.Language(tree_sitter_toml.language())
_AT_LINE: Final = re.compile(r" \(at line (\d+), column \d+\)$")
_MANY_DIGITS: Final = re.compile(r"[0-9_]{1000}")
_AT_END: Final = " (at end of document)"


class TomlSyntaxError(ConfigurationError):
    """The text is no TOML.

    Attributes:
        line: Number of the line, from 1.
    """

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


class Lines:
    """The lines of one document's values, counted from 1."""

    def __init__(self, lines: Mapping[Path, int]) -> None:
        self._lines = lines

    def of(self, path: Path) -> int:
        """Return the line of the key at `path`, or of the nearest table or array around it."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)


def parse_toml(text: str) -> tuple[dict[str, Any], Lines]:
    """Parse a TOML 1.0 document.

    Returns:
        Its values, and their lines.

    Raises:
        TomlSyntaxError: The text is no TOML.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(text, str(error)) from None
    except ValueError:
        # Python reads no whole number of so many digits; the message tells no line.
        found = _MANY_DIGITS.search(text)
        line = 1 if found is None else text.count("\n", 0, found.start()) + 1
        raise TomlSyntaxError(line, "a number must have 64 bits") from None
    except RecursionError:
        raise TomlSyntaxError(1, "arrays or tables are nested too deeply") from None
    index = _Index()
    index.document(tree_sitter.Parser(_LANGUAGE).parse(text.encode()).root_node)
    return document, Lines(index.lines)


def _syntax_error(text: str, message: str) -> TomlSyntaxError:
    found = _AT_LINE.search(message)
    if found is not None:
        return TomlSyntaxError(int(found[1]), message[: found.start()])
    return TomlSyntaxError(text.rstrip().count("\n") + 1, message.removesuffix(_AT_END))


class _Index:
    """Walks a syntax tree and notes where the values begin."""

    def __init__(self) -> None:
        self.lines: dict[Path, int] = {}
        self._elements: Counter[Path] = Counter()

    def document(self, root: tree_sitter.Node) -> None:
        for node in root.named_children:
            if node.type == "pair":
                self._pair(node, ())
            elif node.type in {"table", "table_array_element"}:
                self._table(node)

    def _table(self, node: tree_sitter.Node) -> None:
        key, *members = (child for child in node.named_children if child.type != "comment")
        path: Path = ()
        names = _names(key)
        for position, name in enumerate(names, start=1):
            path = (*path, name)
            self.lines.setdefault(path, _line(node))
            if node.type == "table_array_element" and position == len(names):
                self._elements[path] += 1
            if path in self._elements:
                # `[camera.labels]` belongs to the `[[camera]]` above it.
                path = (*path, self._elements[path] - 1)
                self.lines.setdefault(path, _line(node))
        for member in members:
            self._pair(member, path)

    def _pair(self, node: tree_sitter.Node, path: Path) -> None:
        key, value = (child for child in node.named_children if child.type != "comment")
        for name in _names(key):
            path = (*path, name)
            self.lines.setdefault(path, _line(key))
        self._value(value, path)

    def _value(self, node: tree_sitter.Node, path: Path) -> None:
        children = [child for child in node.named_children if child.type != "comment"]
        if node.type == "array":
            for position, child in enumerate(children):
                self.lines[*path, position] = _line(child)
                self._value(child, (*path, position))
        elif node.type == "inline_table":
            for child in children:
                self._pair(child, path)


def _line(node: tree_sitter.Node) -> int:
    return node.start_point.row + 1


def _names(key: tree_sitter.Node) -> list[str]:
    """Return the parts of a key, which may be dotted and quoted, as TOML reads them."""
    names = []
    inner: Any = tomllib.loads(f"{(key.text or b'').decode()} = 0")
    while isinstance(inner, dict):
        ((name, inner),) = inner.items()
        names.append(name)
    return names
