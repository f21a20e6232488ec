"""A run goes on only with the flow that began it; the refusal says what changed and what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_flows import numbers_flow

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow import run
from overshoot_flow.flow.run_shape import RunShape, shape_of

HOUSE = {"a": "/videos/house.mp4", "b": "/videos/yard.mp4"}
TO_BEGIN_ANEW = "or begin anew with an empty state folder and an empty output"


def sources_in_manifest(state: Path) -> Any:
    manifest = json.loads((state / "manifest.json").read_text())
    return manifest["shape"]["sources"]["numbers.in"]


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        (
            {"keys": "ab"},
            {"keys": "a"},
            "step numbers.in: sources of the run are not there any more: b. Bring them back",
        ),
        (
            {"keys": "abcdefgh"},
            {"keys": "a"},
            "sources of the run are not there any more: b, c, d, e, f and 2 more.",
        ),
        (
            {"identities": HOUSE},
            {"identities": {"a": HOUSE["a"]}},
            "not there any more: b (/videos/yard.mp4)",
        ),
        (
            {"identities": HOUSE},
            {"identities": {**HOUSE, "b": "/videos/roof.mp4"}},
            "the source b is /videos/roof.mp4 now, it was /videos/yard.mp4: give the new one a key",
        ),
        ({}, {"name": "other"}, "the flow is called 'other' now, it was 'numbers': give it its"),
        (
            {},
            {"step": "renamed"},
            "step numbers.in is called numbers.renamed now: give it its old name",
        ),
        ({}, {"inserted": "more"}, "the flow is with new numbers.more now: bring back the steps"),
        ({"inserted": "less"}, {}, "the flow is without numbers.less now: bring back the steps"),
        (
            {"inserted": "less"},
            {"inserted": "more", "step": "renamed"},
            "without numbers.in, numbers.less and with new numbers.more, numbers.renamed now",
        ),
        (
            {"partitions": ("0",)},
            {"partitions": ("0", "1")},
            "step numbers.out: the sink has 2 partitions, it had 1: set it back to 1",
        ),
        (
            {"partitions": ("0", "1")},
            {"partitions": ("0",)},
            "step numbers.out: the sink has 1 partitions, it had 2: set it back to 2",
        ),
        (
            {"partitions": ("0", "1")},
            {"partitions": ("x", "1")},
            "the sink's partitions are called 1, x now, they were 0, 1: give them their old names",
        ),
    ],
)
def test_a_changed_flow_is_refused_before_the_engine_starts(
    tmp_path: Path, before: dict[str, Any], now: dict[str, Any], words: str
) -> None:
    state = tmp_path / "state"
    run(numbers_flow(*before.pop("keys", ""), **before), state=state)
    manifest = (state / "manifest.json").read_bytes()
    kept: list[int] = []
    with pytest.raises(ConfigurationError) as refused:
        run(numbers_flow(*now.pop("keys", ""), kept=kept, **now), state=state)
    assert words in str(refused.value)
    assert str(state) in str(refused.value)
    assert TO_BEGIN_ANEW in str(refused.value)
    assert kept == []
    assert (state / "manifest.json").read_bytes() == manifest


def test_an_added_source_begins_at_its_beginning_and_is_recorded(tmp_path: Path) -> None:
    run(numbers_flow("a", "b"), state=tmp_path)
    kept: list[int] = []
    run(numbers_flow("a", "b", "c", kept=kept), state=tmp_path)
    assert kept == [1, 2, 3, 4, 5]
    assert sources_in_manifest(tmp_path) == {"a": None, "b": None, "c": None}
    with pytest.raises(ConfigurationError, match="not there any more: c"):
        run(numbers_flow("a", "b"), state=tmp_path)


def test_the_order_of_partitions_is_free(tmp_path: Path) -> None:
    run(numbers_flow("a", "b", partitions=("0", "1")), state=tmp_path)
    kept: list[int] = []
    run(numbers_flow("b", "a", kept=kept, partitions=("1", "0")), state=tmp_path)
    assert kept == []


def test_a_source_may_begin_to_tell_what_is_behind_its_keys(tmp_path: Path) -> None:
    run(numbers_flow("a", "b"), state=tmp_path)
    run(numbers_flow(identities=HOUSE), state=tmp_path)
    assert sources_in_manifest(tmp_path) == HOUSE


def test_a_key_that_is_used_twice_is_refused() -> None:
    # The engine would read one of the two and say nothing.
    with pytest.raises(ConfigurationError, match=r"numbers\.in: several partitions are called b:"):
        shape_of(numbers_flow("a", "b", "b"))
    with pytest.raises(ConfigurationError, match=r"numbers\.out: several partitions are called 0:"):
        shape_of(numbers_flow(partitions=("0", "0")))


def test_a_shape_survives_the_manifest() -> None:
    shape = shape_of(numbers_flow(identities=HOUSE, partitions=("0", "1")))
    assert shape.sources == {"numbers.in": HOUSE}
    assert shape.sinks == {"numbers.out": ("0", "1")}
    # The engine's operators are steps with steps inside of them.
    assert {"numbers.in", "numbers.key", "numbers.out"} < set(shape.steps)
    assert RunShape.from_document(json.loads(json.dumps(shape.to_document()))) == shape
