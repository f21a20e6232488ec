"""Fleet files: many cameras, what is asked about each, and where, in one TOML document."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from overshoot_flow.errors import FleetFileError
from overshoot_flow_connectors.fleet_cameras import read_cameras
from overshoot_flow_connectors.fleet_fields import FleetFileContext, FleetTable
from overshoot_flow_connectors.fleet_model import Fleet
from overshoot_flow_connectors.fleet_positions import TomlSyntaxError, parse_toml
from overshoot_flow_connectors.fleet_services import read_metrics, read_services
from overshoot_flow_connectors.fleet_sinks import read_sinks

_FLEET_KEYS: Final = (
    "budget_cents",
    "dwell_s",
    "defaults",
    "service",
    "camera",
    "sink",
    "metrics",
)

_DWELL_RANGE_S: Final = (5.0, 86_400.0)
"""A new stream answers after a few seconds only; less would be spent on changing places."""


def load_fleet(file: str | os.PathLike[str], environment: Mapping[str, str] = os.environ) -> Fleet:
    """Read a fleet file, and the schemas and secrets that it refers to.

    Args:
        file: The file; relative paths in it start at its folder.
        environment: Environment variables that it may refer to.

    Raises:
        FleetFileError: The file cannot be read or something in it is wrong. The text has one line
            for each problem, such as `fleet.toml:12: camera "gate": fps must be above 0, not -1`.
    """
    path = Path(file)
    try:
        # Editors on Windows put a byte order mark in front.
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise FleetFileError([f"cannot read {path}: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise FleetFileError([f"{path}:{line}: the text is not UTF-8"]) from None
    return parse_fleet(text, file=path, environment=environment)


def parse_fleet(
    text: str, *, file: Path = Path("fleet.toml"), environment: Mapping[str, str] = os.environ
) -> Fleet:
    """Read the text of a fleet file; see `load_fleet`.

    Args:
        text: The text.
        file: What problems call it, and where relative paths start.
        environment: Environment variables that it may refer to.

    Raises:
        FleetFileError: Something in it is wrong.
    """
    try:
        document, lines = parse_toml(text)
    except TomlSyntaxError as error:
        raise FleetFileError([f"{file}:{error.line}: {error}"]) from None
    context = FleetFileContext(lines=lines, folder=file.absolute().parent, environment=environment)
    context.files[file.absolute()] = None
    root = FleetTable(document, (), "", context)
    root.refuse_unknown(_FLEET_KEYS)
    fleet = Fleet(
        services=read_services(root),
        cameras=read_cameras(root),
        sinks=read_sinks(root),
        budget_cents=root.number("budget_cents", above=0),
        dwell_s=root.number("dwell_s", within=_DWELL_RANGE_S),
        metrics_listen=read_metrics(root),
        files=tuple(context.files),
    )
    if context.problems:
        raise FleetFileError(
            [f"{file}:{line}: {problem}" for line, problem in sorted(context.problems)]
        )
    return fleet
