"""What is not the same again is not asked about, and the report says why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from ask_again_support import FAULTS, SPEC, Archive, said, why
from outcome_samples import a_failure
from window_flow_support import WindowServer

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.local.testvideo import generate
from overshoot_flow.media.sampling import FramesPerSecond
from overshoot_flow.protocol.windows import Windows
from overshoot_flow.results import FailureReason
from overshoot_flow.schema.keyed_records import KeyedRecordBuilder
from overshoot_flow.session.windows_again import NotAsked
from overshoot_flow_connectors.file import FileSource
from overshoot_flow_connectors.parquet import ParquetSink

CARS = {"type": "object", "properties": {"cars": {"type": "integer"}}}


def test_another_question_is_refused(v1_server: WindowServer, tmp_path: Path) -> None:
    archive = Archive.of(v1_server, tmp_path)
    out = archive.run(tmp_path / "out", *FAULTS)
    asked = len(v1_server.chats())
    same = archive.inference
    for other, words in (
        (replace(same, prompt="cars?"), "the prompt was 'stamps?'"),
        (replace(same, output_schema=CARS), "the schema was another"),
        (replace(same, model="local/other"), "the model was perhaps"),
        (replace(same, system="Be brief."), "the system text"),
    ):
        report = archive.ask(out, inference=other)
        assert why(report) == {NotAsked.QUESTION: 4}
        assert words in report.not_asked[0].detail
    report = archive.ask(out, inference=replace(same, windows=Windows(3)))
    assert why(report) == {NotAsked.WINDOWS: 4}
    assert len(v1_server.chats()) == asked
    assert len(said(out)) == 2


def test_other_pictures_are_refused(v1_server: WindowServer, tmp_path: Path) -> None:
    archive = Archive.of(v1_server, tmp_path)
    out = archive.run(tmp_path / "out", *FAULTS)
    asked = len(v1_server.chats())
    for sampling, words in (
        ({"sample": FramesPerSecond(2)}, "give the sampling as it was"),
        ({"max_height": 48}, "pictures of 80x48 now, of 160x96 then"),
    ):
        report = archive.ask(out, open_source=lambda path, s=sampling: FileSource(path, **s))
        assert why(report) == {NotAsked.PICTURES: 4}
        assert words in report.not_asked[0].detail
    assert len(v1_server.chats()) == asked


def test_another_file_or_none_is_refused(v1_server: WindowServer, tmp_path: Path) -> None:
    archive = Archive.of(v1_server, tmp_path)
    out = archive.run(tmp_path / "out", *FAULTS)
    asked = len(v1_server.chats())
    kept = archive.video.read_bytes()
    archive.video.unlink()
    report = archive.ask(out)
    assert why(report) == {NotAsked.SOURCE: 4}
    assert "there is no" in report.not_asked[0].detail
    generate(archive.video, replace(SPEC, duration_s=6.0))
    report = archive.ask(out)
    assert why(report) == {NotAsked.CHANGED: 4}
    assert len(v1_server.chats()) == asked
    archive.video.write_bytes(kept)
    assert archive.ask(out).moved == 4


def test_a_camera_and_windows_of_the_service_are_refused(
    v1_server: WindowServer, tmp_path: Path
) -> None:
    archive = Archive.of(v1_server, tmp_path)
    window = a_failure(
        mode="window",
        reason=FailureReason.CUT,
        prompt_version=archive.inference.prompt_version,
        raw_text=None,
    )
    out = tmp_path / "out"
    part = ParquetSink(out).build_part("out", "part-0000", None)
    letters = [
        replace(window, result_id="1"),
        replace(window, result_id="2", source="gate", capture_basis="ntp"),
        replace(window, result_id="3", source=str(archive.video), mode="clip"),
        replace(window, result_id="4", reason=FailureReason.USER_FUNCTION, mode="clip"),
    ]
    part.write_batch(KeyedRecordBuilder().batches(letters))
    part.snapshot()
    part.close()
    report = archive.ask(out)
    assert {each.result_id: each.why for each in report.not_asked} == {
        "1": NotAsked.CAMERA,
        "2": NotAsked.CAMERA,
        "3": NotAsked.NO_WINDOW,
    }
    assert report.not_replayable == {"user_function": 1}
    assert v1_server.chats() == []


def test_what_cannot_be_asked_again_is_refused_at_once(
    v1_server: WindowServer, tmp_path: Path
) -> None:
    archive = Archive.of(v1_server, tmp_path)
    with pytest.raises(ConfigurationError, match="memory"):
        archive.asking(inference=replace(archive.inference, memory=2))
    with pytest.raises(ConfigurationError, match="Inline"):
        archive.asking(service=v1_server.windows_service())
    with pytest.raises(ConfigurationError, match="it must be above 0"):
        archive.asking(max_cost_cents=0.0)
