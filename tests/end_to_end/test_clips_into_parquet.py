"""Many clips that a topic asks for, in few Parquet files, with a real broker and a local server."""

from __future__ import annotations

from pathlib import Path

import bytewax.operators as op
import duckdb
from bytewax.dataflow import Dataflow
from clip_support import Requests
from end_to_end_support import KEY, STAMPS_SCHEMA, Server

from overshoot_flow.config import Inference, Secret, Service
from overshoot_flow.flow import infer, run, to_arrow
from overshoot_flow.local.testvideo import VideoSpec, generate
from overshoot_flow.protocol.windows import Windows
from overshoot_flow.transport_config import Inline
from overshoot_flow_connectors.parquet import ParquetSink

CLIPS = 30


def test_rows_of_all_clips_share_files_over_parts_of_a_run(
    kafka: str, topic_prefix: str, server: Server, tmp_path: Path
) -> None:
    spec = VideoSpec(width=320, height=180, fps=10, duration_s=4.0, gop=10)
    film = generate(tmp_path / "film.mp4", spec).path
    requests = Requests(kafka, f"{topic_prefix}clips")
    inference = Inference(prompt="stamps?", output_schema=STAMPS_SCHEMA, windows=Windows(1))
    service = Service(key=Secret(KEY), base_url=f"{server.root}/v1", transport=Inline())
    answers = tmp_path / "answers"
    for part in range(2):
        for index in range(CLIPS // 2):
            requests.ask(film, start=index % 3, end=index % 3 + 1, id=f"{part}-{index}")
        requests.write(b"{")
        flow = Dataflow("clips")
        frames = op.input("requests", flow, requests.source(concurrent=4))
        rows = to_arrow("arrow", infer("ask", frames, inference, service), inference)
        op.output("out", rows, ParquetSink(answers, partition_by=("date",)))
        run(flow, state=tmp_path / "state")
    found = duckdb.sql(
        f"select labels['request_id'], count(*), count(distinct stream_key) "  # noqa: S608
        f"from '{answers}/results/**/*.parquet' group by all"
    ).fetchall()
    asked = {(f"{part}-{index}", 1, 1) for part in range(2) for index in range(CLIPS // 2)}
    assert set(found) == asked
    folders = {path.name.split("=")[0] for path in answers.rglob("*=*")}
    assert folders == {"date"}
    # One more of each where the clock passes midnight.
    for dataset in ("results", "gaps", "usage"):
        assert 2 <= len(list((answers / dataset).rglob("*.parquet"))) <= 4
