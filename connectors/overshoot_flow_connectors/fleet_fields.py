"""Reads fields out of TOML tables and notes every problem with its line instead of stopping."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from overshoot_flow.config import Secret
from overshoot_flow.errors import ConfigurationError
from overshoot_flow_connectors.fleet_model import SecretReference
from overshoot_flow_connectors.fleet_positions import Lines
from overshoot_flow_connectors.fleet_positions import Path as TomlPath

_KINDS: Final = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "an array",
    dict: "a table",
}
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Names become keys of streams, folders and labels of metrics."""
_WHOLE_NUMBERS: Final = 2**63
"""TOML's whole numbers have 64 bits."""


@dataclass(slots=True, kw_only=True)
class FleetFileContext:
    """What reading one fleet file needs, and what it found.

    Attributes:
        lines: Where the values stand.
        folder: What relative paths start from.
        environment: Environment variables.
        files: Files that were referred to, absolute.
        problems: Line and text of each problem, without doubles.
    """

    lines: Lines
    folder: Path
    environment: Mapping[str, str]
    files: dict[Path, None] = field(default_factory=dict)
    problems: dict[tuple[int, str], None] = field(default_factory=dict)


class FleetTable:
    """One table of the file. A getter returns None for what is absent and for what is wrong.

    Args:
        values: The table.
        path: Where it stands.
        title: What it is called in problems, such as `camera "gate"`.
        context: Where problems go.
    """

    def __init__(
        self, values: Mapping[str, Any], path: TomlPath, title: str, context: FleetFileContext
    ) -> None:
        self._values = values
        self._path = path
        self.title = title
        self.context = context

    def __contains__(self, key: str) -> bool:
        """Whether the key is there, rightly or wrongly."""
        return key in self._values

    def is_text(self, key: str) -> bool:
        """Whether the key is there with a text, which may be blank."""
        return isinstance(self._values.get(key), str)

    def line(self, key: str | None = None) -> int:
        """Return the line of a key, or of the table."""
        return self.context.lines.of(self._path if key is None else (*self._path, key))

    def problem(self, key: str | None, text: str) -> None:
        """Note a problem at a key, or at the table as a whole."""
        self.context.problems[self.line(key), self._said(text)] = None

    def problem_at(self, path: TomlPath, text: str) -> None:
        """Note a problem at a place inside of the table."""
        self.context.problems[self.context.lines.of((*self._path, *path)), self._said(text)] = None

    def refuse_unknown(self, known: Sequence[str]) -> None:
        """Note every key that means nothing."""
        for key in self._values:
            if key in known:
                continue
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.65)
            advice = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(known)}"
            self.problem(key, f'unknown key "{key}"; {advice}')

    def text(self, key: str, *, required: bool = False) -> str | None:
        """Return a text that is not blank."""
        if key not in self._values:
            if required:
                self.problem(None, f'"{key}" is missing')
            return None
        value = self._values[key]
        if not isinstance(value, str):
            self._wrong_kind(key, "a text", value)
            return None
        if not value.strip():
            self.problem(key, f"{key} is empty")
            return None
        return value

    def name(self) -> str | None:
        """Return the table's `name`, which is there and can be one everywhere."""
        value = self.text("name", required=True)
        if value is None or _NAME.fullmatch(value):
            return value
        self.problem(
            "name",
            "name must be 1 to 64 letters, digits, dots, dashes or underscores of ASCII, the first "
            "a letter or digit",
        )
        return None

    def choice(self, key: str, allowed: Sequence[str]) -> str | None:
        """Return one of the allowed texts."""
        value = self.text(key)
        if value is None or value in allowed:
            return value
        names = " or ".join(f'"{each}"' for each in allowed)
        self.problem(key, f'{key} must be {names}, not "{value}"')
        return None

    def number(
        self,
        key: str,
        *,
        above: float | None = None,
        within: tuple[float, float] | None = None,
    ) -> float | None:
        """Return a finite number, which lies above a bound or within two."""
        value = self._values.get(key)
        if key not in self._values:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool):
            self._wrong_kind(key, "a number", value)
        elif _is_too_long(value):
            self.problem(key, f"{key} must be a number of 64 bits")
        elif not math.isfinite(value):
            self.problem(key, f"{key} must be finite, not {value}")
        elif above is not None and value <= above:
            self.problem(key, f"{key} must be above {above:g}, not {value}")
        elif within is not None and not within[0] <= value <= within[1]:
            self.problem(key, f"{key} must be {within[0]:g} to {within[1]:g}, not {value}")
        else:
            return value
        return None

    def integer(self, key: str, *, at_least: int | None = None) -> int | None:
        """Return a whole number."""
        value = self._values.get(key)
        if key not in self._values:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            self._wrong_kind(key, "a whole number", value)
        elif _is_too_long(value):
            self.problem(key, f"{key} must be a number of 64 bits")
        elif at_least is not None and value < at_least:
            self.problem(key, f"{key} must be at least {at_least}, not {value}")
        else:
            return value
        return None

    def array(self, key: str) -> Sequence[Any] | None:
        """Return an array, of whatever."""
        value = self._values.get(key)
        if key in self._values and not isinstance(value, list):
            self._wrong_kind(key, "an array", value)
            return None
        return value

    def table(self, key: str) -> FleetTable | None:
        """Return an inner table."""
        if key not in self._values:
            return None
        value = self._values[key]
        if not isinstance(value, dict):
            self._wrong_kind(key, "a table", value)
            return None
        title = f"{self.title}: {key}" if self.title else f"[{key}]"
        return FleetTable(value, (*self._path, key), title, self.context)

    def has_tables(self, key: str) -> bool:
        """Whether `[[key]]` is there at least once, or something that is wrong anyway."""
        return key in self._values and self._values[key] != []

    def tables(self, key: str) -> Iterator[FleetTable]:
        """Yield the tables of `[[key]]`; each is called by its name or number."""
        value = self._values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            self.problem(key, f"{key} must be written as [[{key}]], one for each")
            return
        for position, each in enumerate(value):
            name = each.get("name")
            is_named = isinstance(name, str) and name.strip() and name.isprintable()
            title = f'{key} "{name}"' if is_named else f"{key} {position + 1}"
            yield FleetTable(each, (*self._path, key, position), title, self.context)

    def texts(self) -> dict[str, str]:
        """Return the whole table, whose values are texts."""
        return {key: text for key in self._values if (text := self.text(key)) is not None}

    def settings(self) -> dict[str, str | int | float | bool | Secret]:
        """Return the whole table: texts, numbers, true and false, and references to secrets."""
        settings: dict[str, str | int | float | bool | Secret] = {}
        for key, value in self._values.items():
            if isinstance(value, dict):
                secret = self.secret(key)
                if secret is not None:
                    settings[key] = secret
            elif isinstance(value, int | float) and _is_too_long(value):
                self.problem(key, f"{key} must be a number of 64 bits")
            elif isinstance(value, str | int | float):
                settings[key] = value
            else:
                self._wrong_kind(key, "a text, a number, true or false", value)
        return settings

    def path(self, key: str, *, required: bool = False) -> Path | None:
        """Return a path, absolute; relative ones start at the fleet file's folder."""
        value = self.text(key, required=required)
        if value is None:
            return None
        if "\0" in value:
            self.problem(key, f"{key}: a path has no NUL character")
            return None
        try:
            return self.context.folder / Path(value).expanduser()
        except RuntimeError:
            user = Path(value).parts[0].removeprefix("~")
            who = f'the user "{user}"' if user else "who runs this"
            self.problem(key, f"{key}: {who} has no home folder here; write the whole path")
            return None

    def secret(self, key: str, *, required: bool = False) -> Secret | None:
        """Read a secret through its reference."""
        if key not in self._values:
            if required:
                self.problem(
                    None, f'"{key}" is missing; write {key} = {{ env = "NAME_OF_A_VARIABLE" }}'
                )
            return None
        if not isinstance(self._values[key], dict):
            # The value is not repeated: it may be the secret itself.
            self.problem(
                key,
                f"{key} must not stand in the file; put it into an environment variable and write "
                f'{key} = {{ env = "NAME_OF_A_VARIABLE" }}, or {key} = {{ file = "PATH" }}',
            )
            return None
        reference = self._reference(key)
        if reference is None:
            return None
        try:
            return reference.read(self.context.environment)
        except ConfigurationError as error:
            self.problem(key, f"{key}: {error}")
            return None

    def _reference(self, key: str) -> SecretReference | None:
        inner = self.table(key)
        if inner is None:
            return None
        inner.refuse_unknown(("env", "file"))
        if ("env" in inner) == ("file" in inner):
            inner.problem(None, "name exactly one of env and file")
            return None
        env, file = inner.text("env"), inner.path("file")
        if file is not None:
            self.context.files[file] = None
        return None if env is None and file is None else SecretReference(env=env, file=file)

    def _said(self, text: str) -> str:
        return f"{self.title}: {text}" if self.title else text

    def _wrong_kind(self, key: str, wanted: str, value: object) -> None:
        self.problem(key, f"{key} must be {wanted}, not {_KINDS.get(type(value), 'a time')}")


def _is_too_long(value: float) -> bool:
    """Whether it is a whole number that TOML does not know, and no float can stand for."""
    return isinstance(value, int) and not -_WHOLE_NUMBERS <= value < _WHOLE_NUMBERS


class FleetUnique:
    """Notes what several tables have in common although it must differ."""

    def __init__(self) -> None:
        self._taken: dict[Hashable, FleetTable] = {}

    def take(self, table: FleetTable, key: str, value: Hashable, advice: str) -> None:
        """Note a problem at `key` if an earlier table has the same `value`."""
        other = self._taken.setdefault(value, table)
        if other is not table:
            table.problem(key, f"{key} is already on line {other.line(key)}; {advice}")
