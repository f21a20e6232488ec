"""What is written into a fleet file is what the fleet has; every value's line is found."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from fleet_samples import ENVIRONMENT, SERVICE, SMALL
from hypothesis import given, settings
from hypothesis import strategies as st

from overshoot_flow.config import DEFAULT_MODEL, ClipMode, FrameMode
from overshoot_flow.media.sampling import FramesPerSecond, Keyframes
from overshoot_flow_connectors.fleet import parse_fleet
from overshoot_flow_connectors.fleet_model import Fleet, Polygon, Rectangle
from overshoot_flow_connectors.fleet_positions import parse_toml

# What JSON escapes in a text, TOML reads the same; but DEL must be escaped, and lone surrogates
# are no Unicode.
texts = st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), min_size=1).filter(
    str.strip
)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
relative = st.floats(0, 1, allow_nan=False)


def toml(value: Any) -> str:
    """Write a value inline."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{toml(key)} = {toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, float):
        return repr(value) if "e" in repr(value) or "." in repr(value) else f"{value!r}.0"
    return json.dumps(value, ensure_ascii=False)


def rectangle(x: list[float], y: list[float]) -> dict[str, float]:
    return {"left": min(x), "right": max(x), "top": min(y), "bottom": max(y)}


two = st.lists(relative, min_size=2, max_size=2, unique=True)
rectangles = st.builds(rectangle, two, two)
polygons = st.lists(st.tuples(relative, relative), min_size=3, max_size=6)
cameras = st.fixed_dictionaries(
    {"prompt": texts, "url": names.map(lambda host: f"rtsp://10.0.0.1/{host}")},
    optional={
        "fps": st.integers(1, 60) | st.floats(0.01, 60),
        "labels": st.dictionaries(texts, texts, max_size=3),
        "priority": st.integers(-5, 5),
        "mask": st.lists(rectangles | polygons, max_size=3),
        "budget_cents": st.floats(0.1, 1e6),
        "model": texts,
        "interval_s": st.floats(0.1, 60),
        "user": st.just("viewer"),
        "password": st.just({"env": "PASSWORD"}),
    },
).filter(lambda camera: ("user" in camera) == ("password" in camera))
fleets = st.dictionaries(names, cameras, min_size=1, max_size=4).filter(
    lambda fleet: len({camera["url"] for camera in fleet.values()}) == len(fleet)
)


def written(fleet: dict[str, dict[str, Any]]) -> str:
    lines = [SERVICE]
    for name, camera in fleet.items():
        lines += ["[[camera]]", f"name = {toml(name)}"]
        lines += [f"{key} = {toml(value)}" for key, value in camera.items()]
    return "\n".join(lines)


def shape(value: Any) -> Rectangle | Polygon:
    return Rectangle(**value) if isinstance(value, dict) else Polygon(tuple(value))


@settings(deadline=None, max_examples=50)
@given(fleets)
def test_a_fleet_has_what_its_file_says(given_fleet: dict[str, dict[str, Any]]) -> None:
    fleet = parse_fleet(written(given_fleet), environment=ENVIRONMENT)
    assert [camera.name for camera in fleet.cameras] == list(given_fleet)
    for camera, asked in zip(fleet.cameras, given_fleet.values(), strict=True):
        assert camera.address.url == asked["url"]
        assert camera.address.user == asked.get("user")
        assert camera.inference.prompt == asked["prompt"]
        assert camera.inference.model == asked.get("model", DEFAULT_MODEL)
        assert camera.labels == asked.get("labels", {})
        assert camera.priority == asked.get("priority", 0)
        assert camera.budget_cents == asked.get("budget_cents")
        assert camera.mask == tuple(map(shape, asked.get("mask", [])))
        plan = FramesPerSecond(asked["fps"]) if "fps" in asked else None
        assert camera.sample == plan
        mode = FrameMode(interval_s=asked["interval_s"]) if "interval_s" in asked else ClipMode()
        assert camera.inference.mode == mode
    assert fleet == parse_fleet(written(given_fleet), environment=ENVIRONMENT)


values = st.recursive(
    st.integers() | st.booleans() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
tables = st.dictionaries(texts, values, min_size=1, max_size=4)


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(texts, st.lists(tables, min_size=1, max_size=3), max_size=3))
def test_every_key_is_found_on_its_line(document: dict[str, list[dict[str, Any]]]) -> None:
    lines: list[str] = []
    expected: dict[tuple[str | int, ...], int] = {}
    for key, elements in document.items():
        for position, table in enumerate(elements):
            lines.append(f"[[{toml(key)}]] # a comment")
            expected[key, position] = len(lines)
            for name, value in table.items():
                lines += ["", f"{toml(name)} = {toml(value)}"]
                expected[key, position, name] = len(lines)
    parsed, found = parse_toml("\n".join(lines))
    assert parsed == document
    assert {path: found.of(path) for path in expected} == expected


def test_lines_within_values_dotted_keys_and_inner_tables() -> None:
    text = '''\
a."b c".d = 1
e = [ # first
  1, # one
  { f = [
    2 ] },
]
[[t]]
g = """
two
lines"""
h = \'\'\'
i = 1
\'\'\'
[t.u] # of the first t
v = 1
[[t.w]]
[[t.w]]
x = 1
[[t]]
u.v = 2
'''
    document, lines = parse_toml(text)
    assert document == tomllib.loads(text)
    for path, line in {
        ("a", "b c", "d"): 1,
        ("e",): 2,
        ("e", 0): 3,
        ("e", 1): 4,
        ("e", 1, "f", 0): 5,
        ("t", 0): 7,
        ("t", 0, "h"): 11,
        ("t", 0, "u"): 14,
        ("t", 0, "u", "v"): 15,
        ("t", 0, "w", 0): 16,
        ("t", 0, "w", 1, "x"): 18,
        ("t", 1): 19,
        ("t", 1, "u", "v"): 20,
        # What is not there is where it would be.
        ("t", 1, "y"): 19,
        ("z",): 1,
    }.items():
        assert (path, lines.of(path)) == (path, line)


def small(added: str, defaults: str = "") -> Fleet:
    return parse_fleet(f"{SMALL}{added}\n[defaults]\n{defaults}", environment=ENVIRONMENT)


def test_a_camera_says_more_than_the_defaults() -> None:
    (camera,) = small("", 'prompt = "?"\nmodel = "m"\nsample = "keyframes"\nmode = "frame"').cameras
    assert camera.inference.prompt == "Is it open?"
    assert camera.inference.model == "m"
    assert camera.sample == Keyframes()
    assert camera.inference.mode == FrameMode()


def test_windows_are_taken_from_the_defaults_only_within_one_mode() -> None:
    defaults = "clip_length_s = 2\ndelay_s = 4"
    assert small("delay_s = 3", defaults).cameras[0].inference.mode == ClipMode(
        clip_length_s=2, delay_s=3
    )
    assert small('mode = "frame"', defaults).cameras[0].inference.mode == FrameMode()
    assert small("interval_s = 9").cameras[0].inference.mode == FrameMode(interval_s=9)


def test_a_url_that_is_a_secret_may_hold_credentials() -> None:
    text = SMALL.replace('"rtsp://10.0.0.11/a"', '{ env = "URL" }')
    url = "rtsp://viewer:p%40ss@cam.example:8554/a?token=abc"
    (camera,) = parse_fleet(text, environment=ENVIRONMENT | {"URL": url}).cameras
    assert camera.address.url == "rtsp://cam.example:8554/a"
    assert camera.address.secret_url().reveal() == url
    assert "abc" not in repr(camera)
    assert "p@ss" not in repr(camera)


def test_credentials_are_encoded_for_the_url() -> None:
    (camera,) = small('user = "v"\npassword = { env = "PASSWORD" }\ntransport = "tls"').cameras
    assert camera.address.secret_url().reveal() == "rtsps://v:p%40ss%3A%2Fword@10.0.0.11/a"
    assert camera.address.transport == "tls"
