"""What is a request for a clip, and what is none; and which video it names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from overshoot_flow.errors import ConfigurationError
from overshoot_flow_connectors.clip_media import ClipMedia, media_identity
from overshoot_flow_connectors.clip_request import BadRequest, ClipRequest, parse_request
from overshoot_flow_connectors.object_video import ObjectVideo


def parsed(**document: Any) -> ClipRequest | BadRequest:
    return parse_request(json.dumps({"uri": "a.mp4", **document}).encode())


@pytest.mark.parametrize(
    ("document", "start_us", "end_us", "fragment"),
    [
        ({}, 0, None, ""),
        ({"start": 0}, 0, None, ""),
        ({"start": None, "end": 2}, 0, 2_000_000, "#t=0,2"),
        ({"start": 1.1, "end": 1.1000010}, 1_100_000, 1_100_001, "#t=1.1,1.100001"),
        ({"start": 10}, 10_000_000, None, "#t=10"),
        ({"start": 1e3}, 1_000_000_000, None, "#t=1000"),
    ],
)
def test_bounds_are_seconds(
    document: dict[str, Any], start_us: int, end_us: int | None, fragment: str
) -> None:
    request = parsed(**document)
    assert isinstance(request, ClipRequest)
    assert (request.start_us, request.end_us, request.fragment) == (start_us, end_us, fragment)


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        (None, "no value"),
        (b"\xff", "not UTF-8"),
        (b"[]", "no JSON object"),
        (b'{"uri": "a", "uri": "b"}', "no JSON"),
        (b'{"uri": " "}', "uri must be a text, not empty"),
        (b'{"uri": "a\\u0000b"}', "uri must be a text"),
        (b'{"uri": "a", "start": -1}', "start must be between 0"),
        (b'{"uri": "a", "start": true}', "start must be a number"),
        (b'{"uri": "a", "end": "7"}', "end must be a number"),
        (b'{"uri": "a", "end": 1e300}', "end must be between"),
        (b'{"uri": "a", "end": NaN}', "no JSON"),
        (b'{"uri": "a", "end": 0}', "end is 0 s, not after start, 0 s"),
        (b'{"uri": "a", "start": 1, "end": 1.0000001}', "not after start"),
        (b'{"uri": "a", "labels": {"x": 1}}', "labels must be"),
        (b'{"uri": "a", "labels": []}', "labels must be"),
        (b'{"uri": "a", "id": 7}', "id must be a text"),
        (b'{"uri": "a", "id": "7", "labels": {"request_id": "8"}}', "another request_id"),
        (b'{"uri": "' + b"a" * 70_000 + b'"}', "more than 65536"),
    ],
)
def test_what_is_no_request_says_why(value: bytes | None, detail: str) -> None:
    request = parse_request(value)
    assert isinstance(request, BadRequest)
    assert detail in request.detail


@given(st.binary() | st.from_type(dict[str, str | int | None]).map(json.dumps).map(str.encode))
def test_nothing_raises(value: bytes) -> None:
    assert isinstance(parse_request(value), ClipRequest | BadRequest)


def test_labels_and_id() -> None:
    request = parsed(labels={"case": "A"}, id="7")
    assert isinstance(request, ClipRequest)
    assert dict(request.labels) == {"case": "A", "request_id": "7"}


def test_files_are_found_by_path_and_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = tmp_path / "a film [1].mp4"
    film.write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    media = ClipMedia()
    for uri in (str(film), film.as_uri(), film.name, f"file://localhost{film.as_uri()[7:]}"):
        assert media.find(uri) == film
        assert media_identity(media.find(uri))["size"] == 1
    for uri in ("*.mp4", str(tmp_path), "file://elsewhere/a.mp4", "x" * 10_000, "no.mp4"):
        with pytest.raises(ConfigurationError):
            media.find(uri)


def test_objects_are_found_by_url(tmp_path: Path) -> None:
    (tmp_path / "bucket" / "in").mkdir(parents=True)
    (tmp_path / "bucket" / "in" / "a.mp4").write_bytes(b"xy")
    store = SubTreeFileSystem(str(tmp_path), LocalFileSystem())
    media = ClipMedia(["s3://bucket/in/"], store)
    found = media.find("s3://bucket/in/a.mp4")
    assert isinstance(found, ObjectVideo)
    assert media_identity(found)["size"] == 2
    for uri, text in (
        ("s3://bucket/in/b.mp4", "does not exist"),
        ("s3://bucket/in", "not where"),
        ("s3://bucket/inside/a.mp4", "not where"),
        ("s3://bucket/in/../a.mp4", "not where"),
        ("gs://bucket/in/a.mp4", "not where"),
        (str(tmp_path / "bucket" / "in" / "a.mp4"), "not where"),
    ):
        with pytest.raises(ConfigurationError, match=text):
            media.find(uri)
