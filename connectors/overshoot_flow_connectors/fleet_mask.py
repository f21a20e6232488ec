"""Reads the parts of a camera's picture that nobody may see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from overshoot_flow_connectors.fleet_fields import FleetTable
from overshoot_flow_connectors.fleet_model import MaskShape, Polygon, Rectangle

_EDGES: Final = ("left", "top", "right", "bottom")
_FEWEST_CORNERS: Final = 3


class _MaskError(Exception):
    """One shape is wrong; the text says how."""


def read_mask(camera: FleetTable) -> tuple[MaskShape, ...]:
    """Read the mask of a camera: an array of rectangles and polygons."""
    shapes: list[MaskShape] = []
    for position, value in enumerate(camera.array("mask") or ()):
        try:
            shapes.append(_shape(value))
        except _MaskError as error:
            camera.problem_at(("mask", position), f"mask {position + 1}: {error}")
    return tuple(shapes)


def _shape(value: object) -> MaskShape:
    if isinstance(value, dict):
        return _rectangle(value)
    if isinstance(value, list):
        return _polygon(value)
    raise _MaskError(
        "write { left = …, top = …, right = …, bottom = … } or [[x, y], [x, y], [x, y]]"
    )


def _rectangle(value: Mapping[str, Any]) -> Rectangle:
    for key in value:
        if key not in _EDGES:
            raise _MaskError(f'unknown key "{key}"; known are {", ".join(_EDGES)}')
    for key in _EDGES:
        if key not in value:
            raise _MaskError(f'"{key}" is missing')
    left, top, right, bottom = (_relative(key, value[key]) for key in _EDGES)
    if left >= right:
        raise _MaskError("left must be less than right")
    if top >= bottom:
        raise _MaskError("top must be less than bottom")
    return Rectangle(left=left, top=top, right=right, bottom=bottom)


def _polygon(value: list[Any]) -> Polygon:
    if len(value) < _FEWEST_CORNERS:
        raise _MaskError(f"a polygon has at least {_FEWEST_CORNERS} corners, not {len(value)}")
    points = []
    for number, point in enumerate(value, start=1):
        if not isinstance(point, list) or len(point) != 2:  # noqa: PLR2004 - x and y
            raise _MaskError(f"corner {number} must be [x, y]")
        x, y = point
        points.append(
            (_relative(f"x of corner {number}", x), _relative(f"y of corner {number}", y))
        )
    return Polygon(tuple(points))


def _relative(what: str, value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise _MaskError(f"{what} must be a number from 0 to 1, relative to the picture's size")
