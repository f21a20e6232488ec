from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from overshoot_flow.local.engines.readings import rows, value_after


def box(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def boxes(*corners: list[list[float]]) -> npt.NDArray[np.float32]:
    return np.array(corners, dtype=np.float32)


def test_texts_beside_each_other_are_one_row_from_left_to_right() -> None:
    found = boxes(box(200, 12, 300, 42), box(0, 60, 90, 90), box(0, 10, 100, 40))
    assert rows(found, ["COUNT 0042", "PLATE", "LANE 3"]) == ["LANE 3 COUNT 0042", "PLATE"]


def test_rows_that_overlap_a_little_stay_apart() -> None:
    found = boxes(box(0, 38, 90, 70), box(0, 10, 100, 40))
    assert rows(found, ["below", "above"]) == ["above", "below"]


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("LANE 3 COUNT 0042", "lane", "3"),
        ("LANE 3 COUNT 0042", "count", "0042"),
        ("lane: 3", "Lane", "3"),
        ("LANE=3;COUNT=4", "lane", "3"),
        ("LANE3", "lane", "3"),
        ("Plate AB-123.", "plate", "AB-123"),
        ("PLATE NUMBER AB", "plate_number", "AB"),
        ("PLATE NUMBER AB", "plateNumber", "AB"),
        ("LANES 3", "lane", None),
        ("ACCOUNT 3", "count", None),
        ("LANE\n3", "lane", None),
        ("LANE", "lane", None),
        ("LANE ..", "lane", None),
        ("LANE 3", "", None),
        ("a+b 3", "+", None),
    ],
)
def test_the_value_behind_a_name(text: str, name: str, expected: str | None) -> None:
    assert value_after(text, name) == expected
