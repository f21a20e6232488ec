"""Which files a source reads, what they are called, and what it refuses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from bytewax.dataflow import Dataflow
from bytewax.operators import input as op_input
from bytewax.operators import output as op_output
from bytewax.testing import TestingSink, run_main
from made_videos import Recipe, make

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow.items import EndOfMedia, Item, MediaGap
from overshoot_flow.media.frames import Frame
from overshoot_flow.media.sampling import FramesPerSecond
from overshoot_flow_connectors.file import FileSource


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b/cam.mp4", "a/cam.mp4", "a/Z.MKV", "a/notes.txt", "a/.hidden.mp4", ".x/cam.mp4"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


def names(source: FileSource, folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for _, path in source.sources]


def test_a_directory_means_its_videos_in_order(folder: Path) -> None:
    assert names(FileSource(folder), folder) == ["a/Z.MKV", "a/cam.mp4", "b/cam.mp4"]


def test_globs_and_paths_in_the_order_given(folder: Path) -> None:
    assert names(FileSource(str(folder / "*" / "cam.mp4")), folder) == [
        ".x/cam.mp4",
        "a/cam.mp4",
        "b/cam.mp4",
    ]
    source = FileSource([folder / "b" / "cam.mp4", folder / "a", str(folder / "**" / "*.txt")])
    assert names(source, folder) == ["b/cam.mp4", "a/Z.MKV", "a/cam.mp4", "a/notes.txt"]


def test_keys_are_stable_readable_and_distinct(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FileSource(folder)
    keys = source.list_parts()
    assert keys == [key for key, _ in source.sources]
    assert len(set(keys)) == 3
    assert [key.rsplit("-", 1)[0] for key in keys] == ["Z", "cam", "cam"]
    monkeypatch.chdir(folder / "a")
    assert FileSource(["../b/cam.mp4"]).list_parts() == [keys[2]]


def test_a_file_named_twice_is_one_partition(folder: Path) -> None:
    link = folder / "link.mp4"
    link.symlink_to(folder / "b" / "cam.mp4")
    again = [folder / "b" / "cam.mp4", link, os.fspath(folder / "b" / ".." / "b" / "cam.mp4")]
    assert names(FileSource(again), folder) == ["b/cam.mp4"]


@pytest.mark.parametrize(
    ("spec", "advice"),
    [
        ("missing.mp4", "check the path"),
        ("*.mp4", "check the pattern"),
        ("empty", "must be named or matched by a glob"),
    ],
)
def test_what_leads_to_no_file_is_refused(spec: str, advice: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match=advice):
        FileSource(tmp_path / spec)


def test_impossible_numbers_and_nothing_at_all_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="max_height"):
        FileSource(folder, max_height=1)
    with pytest.raises(ConfigurationError, match="concurrent"):
        FileSource(folder, concurrent=0)
    with pytest.raises(ConfigurationError, match="no video given"):
        FileSource([])


def test_a_flow_reads_every_file_and_reports_the_broken_one(tmp_path: Path) -> None:
    recipe = Recipe(frames=60, options={"bf": "2"})
    good = [make(tmp_path / name, recipe) for name in ("one.mp4", "two.mp4")]
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    source = FileSource([*good, broken], sample=FramesPerSecond(5), max_height=48, concurrent=1)
    items: list[Item] = []
    flow = Dataflow("read_files")
    op_output("out", op_input("in", flow, source), TestingSink(items))
    run_main(flow)
    for key in source.list_parts()[:2]:
        frames = [item for item in items if isinstance(item, Frame) and item.stream_key == key]
        assert [frame.pts_us for frame in frames] == [200_000 * number for number in range(10)]
        assert {(frame.width, frame.height) for frame in frames} == {(64, 48)}
    gaps = [item for item in items if isinstance(item, MediaGap)]
    assert [gap.stream_key for gap in gaps] == source.list_parts()[2:]
    assert "cannot open" in gaps[0].detail
    assert sum(isinstance(item, EndOfMedia) for item in items) == 3
