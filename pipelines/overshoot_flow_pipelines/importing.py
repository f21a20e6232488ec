"""Finds what the user names as `module:attribute` or `file.py:attribute`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from overshoot_flow.errors import ConfigurationError


def imported(place: str, attribute: str, target: str) -> Any:  # noqa: ANN401 - whatever the user has named
    """Import an attribute, also a nested one.

    Args:
        place: A module, or the path of a Python file.
        attribute: Name in it, with dots for one within another.
        target: Both, as the user wrote it.

    Raises:
        ConfigurationError: There is none; the text says what to write.
    """
    found: Any = _module(place, target)
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise ConfigurationError(
                f"{place} has no {attribute!r}: name what it has, as {place}:NAME"
            ) from None
    return found


def _module(place: str, target: str) -> Any:  # noqa: ANN401 - a module has any attributes
    folder, name = Path.cwd(), place
    if place.endswith(".py"):
        file = Path(place).absolute()
        if not file.is_file():
            raise ConfigurationError(f"there is no file {file}")
        folder, name = _importable(file)
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # One that the module itself lacks is the user's to see, with its traceback.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise ConfigurationError(
            f"cannot import {name!r} of {target!r}: name a module that can be imported from here, "
            "or a file as path/to/file.py:NAME"
        ) from None
    except ValueError:
        raise ConfigurationError(
            f"{target!r} names no module: module:attribute or file.py:attribute"
        ) from None


def _importable(file: Path) -> tuple[Path, str]:
    """Items that travel between processes are found again by the name of their module."""
    names = [] if file.stem == "__init__" else [file.stem]
    folder = file.parent
    while (folder / "__init__.py").exists():
        names.insert(0, folder.name)
        folder = folder.parent
    return folder, ".".join(names)
