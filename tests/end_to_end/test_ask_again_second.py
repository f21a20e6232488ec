"""Second questions of windows that are asked about again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from ask_again_support import (
    REFUSED,
    Archive,
    escalating,
    lettered,
    quoted,
    rows,
    said,
)
from end_to_end_support import KEY
from window_flow_support import WindowServer

from overshoot_flow.repair_level import Repair
from overshoot_flow_connectors.parquet_replay import replay
from overshoot_flow_pipelines.cli import main


def test_the_second_question_is_asked_too(v1_server: WindowServer, tmp_path: Path) -> None:
    archive = escalating(Archive.of(v1_server, tmp_path))
    columns = ["result_id", "raw_text", "output", "then"]
    ideal = said(archive.run(tmp_path / "ideal"), columns)
    assert [row["then"] is None for row in ideal] == [True, True, False, False, False, False]
    out = archive.run(tmp_path / "out", {**REFUSED, "count": 6})
    report = archive.ask(out)
    assert (report.moved, report.asked) == (6, 6)
    assert said(out, columns) == ideal


def test_of_an_answer_that_passes_now_only_the_second_question_is_asked(
    v1_server: WindowServer, tmp_path: Path
) -> None:
    archive = escalating(Archive.of(v1_server, tmp_path))
    ideal = said(archive.run(tmp_path / "ideal"), ["result_id", "output", "then"])
    with quoted():
        out = archive.run(tmp_path / "out")
    assert lettered(out) == ["not_json"] * 6
    before = rows(out, "dead_letters").sort("result_id")
    asked = len(v1_server.chats())
    report = replay(out, repair=Repair.SINGLE_QUOTES, asking=archive.asking(failing_too=False))
    assert (report.moved, report.failing, report.not_asked) == (6, {}, [])
    assert said(out, ["result_id", "output", "then"]) == ideal
    # Four of the first answers call for the second question, and no first one is asked again.
    assert len(v1_server.chats()) == asked + 4
    after = rows(out).sort("result_id")
    for column in ("received_at", "raw_text", "model", "total_latency_ms"):
        assert after[column].to_list() == before[column].to_list()
    assert after["repaired"].all()


def test_where_the_rule_of_a_second_question_failed_it_is_asked_when_the_rule_is_mended(
    v1_server: WindowServer, tmp_path: Path
) -> None:
    archive = escalating(Archive.of(v1_server, tmp_path))
    columns = ["result_id", "output", "then"]
    ideal = said(archive.run(tmp_path / "ideal"), columns)
    then = archive.inference.then
    assert then is not None
    broken = replace(then, when=lambda answer: bool(answer["no such"]))
    failing = replace(archive, inference=replace(archive.inference, then=broken))
    out = failing.run(tmp_path / "out")
    assert lettered(out) == ["user_function"] * 6
    asked = len(v1_server.chats())
    assert failing.ask(out).failing == {"user_function": 6}
    assert archive.ask(out).moved == 6
    assert said(out, columns) == ideal
    assert len(v1_server.chats()) == asked + 4


def test_the_command_asks_a_question_of_a_module(
    v1_server: WindowServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    archive = escalating(Archive.of(v1_server, tmp_path))
    columns = ["result_id", "output", "then"]
    ideal = said(archive.run(tmp_path / "ideal"), columns)
    out = archive.run(tmp_path / "out", {**REFUSED, "count": 3})
    (tmp_path / "asked_in_a_module.py").write_text(
        "from ask_again_support import question, with_second\nquestion = with_second(question())\n"
    )
    monkeypatch.setenv("OVERSHOOT_API_KEY", KEY)
    again = ["deadletters", str(out), "--replay", "--ask", "--base-url", f"{v1_server.root}/v1"]
    named = ["--question", f"{tmp_path / 'asked_in_a_module.py'}:question"]
    assert main([*again, *named, "--fps", "2", "--limit", "1"]) == 0
    shown = capsys.readouterr().out
    assert "not asked                3   pictures 3" in shown
    assert shown.count("give the sampling as it was") == 1
    assert main([*again, *named, "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["moved"], done["asked"], done["not_asked"]) == (3, 3, [])
    assert done["cost_cents"] > 0
    assert said(out, columns) == ideal
