"""Two questions about one video, in one sink: each answer is typed by its own schema."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import bytewax.operators as op
import polars as pl
import pytest
from bytewax.dataflow import Dataflow
from end_to_end_support import STAMPS_SCHEMA, Server

from overshoot_flow.config import FrameMode, Inference
from overshoot_flow.flow import infer, run, to_arrow
from overshoot_flow.media.sampling import FramesPerSecond
from overshoot_flow.schema.json_schema import OutputSchema
from overshoot_flow.schema.keyed_records import TEXT_KEY, schema_key
from overshoot_flow_connectors.file import FileSource
from overshoot_flow_connectors.parquet import ParquetSink

MODE = FrameMode(interval_s=0.5)
STAMPS = Inference(prompt="Which stamps?", output_schema=STAMPS_SCHEMA, mode=MODE)
TEXT = Inference(prompt="What is to be seen?", mode=MODE)


@pytest.mark.xdist_group("real time")
def test_answers_of_two_schemas_have_a_folder_each(
    server: Server, video: Callable[[float], Path], tmp_path: Path
) -> None:
    flow = Dataflow("questions")
    source = FileSource([video(2.0)], sample=FramesPerSecond(10))
    frames = op.input("video", flow, source)
    answers = [
        infer(step_id, frames, inference, server.service())
        for step_id, inference in (("stamps", STAMPS), ("text", TEXT))
    ]
    outcomes = op.merge("merge", *answers)
    op.output("parquet", to_arrow("arrow", outcomes), ParquetSink(tmp_path / "out"))
    run(flow, state=tmp_path / "state")

    results = tmp_path / "out" / "results"
    key = schema_key(OutputSchema(STAMPS_SCHEMA).canonical)
    assert {each.name for each in results.iterdir()} == {f"schema={key}", f"schema={TEXT_KEY}"}
    stamps = pl.read_parquet(results / f"schema={key}")
    assert stamps.schema["output"] == pl.Struct({"stamps": pl.List(pl.Int64)})
    assert stamps["output"].null_count() == 0
    assert set(stamps["prompt_version"]) == {STAMPS.prompt_version}
    text = pl.read_parquet(results / f"schema={TEXT_KEY}")
    assert "output" not in text.columns
    assert set(text["prompt_version"]) == {TEXT.prompt_version}
    assert min(len(stamps), len(text)) >= 2
