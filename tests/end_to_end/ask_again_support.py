"""Archives in Parquet whose windows fail, and what is in the files after they are asked again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import bytewax.operators as op
import polars as pl
import pytest
from bytewax.dataflow import Dataflow
from end_to_end_support import KEY, STAMPS_SCHEMA
from window_flow_support import WindowServer

from overshoot_flow.config import Escalation, Inference, Secret, Service
from overshoot_flow.flow import infer, run, to_arrow
from overshoot_flow.local.engines.pixels import PixelsEngine
from overshoot_flow.local.testvideo import VideoSpec, generate
from overshoot_flow.media.sampling import EveryFrame, SamplingPlan
from overshoot_flow.protocol.windows import WindowPlan, Windows
from overshoot_flow.session.windows_again import NotAsked
from overshoot_flow.transport_config import Inline, NativeRoom
from overshoot_flow_connectors.file import FileSource
from overshoot_flow_connectors.parquet import ParquetSink
from overshoot_flow_connectors.parquet_asking import Asking
from overshoot_flow_connectors.parquet_replay import replay
from overshoot_flow_connectors.replay_report import ReplayReport

SPEC = VideoSpec(width=160, height=96, fps=10, duration_s=6.3, gop=20, b_frames=0, text=False)
OVERLAPPING = Windows(2, 1)
REFUSED: Mapping[str, Any] = {
    "kind": "chat_errors",
    "code": "provider_safety_block",
    "status": 400,
}
FAULTS: tuple[Mapping[str, Any], ...] = (
    {"kind": "model_cut", "count": 1},
    {"kind": "model_not_json", "count": 1},
    {**REFUSED, "count": 2},
)
"""One answer that is cut, one that is no JSON, two that are refused."""


def question(plan: WindowPlan = OVERLAPPING) -> Inference:
    return Inference(prompt="stamps?", output_schema=STAMPS_SCHEMA, windows=plan)


@dataclass(frozen=True, kw_only=True)
class Archive:
    """One video, one question, and a server to ask."""

    server: WindowServer
    video: Path
    inference: Inference
    api: str = "v1"
    is_encoded: bool = False
    is_live: bool = False
    sample: SamplingPlan = field(default_factory=EveryFrame)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls, server: WindowServer, folder: Path, plan: WindowPlan = OVERLAPPING, **given: Any
    ) -> Archive:
        video = generate(folder / "made.mp4", given.pop("spec", SPEC)).path
        return cls(**{"server": server, "video": video, "inference": question(plan), **given})

    @property
    def service(self) -> Service:
        return Service(
            key=Secret(KEY),
            base_url=f"{self.server.root}/{self.api}",
            transport=NativeRoom() if self.is_live else Inline(),
            **self.settings,
        )

    def source(self, path: str | Path) -> FileSource:
        return FileSource(path, sample=self.sample, encoded=self.is_encoded)

    def run(self, out: Path, *faults: Mapping[str, Any], declared: bool = True) -> Path:
        """Ask about the video into `out`."""
        for fault in faults:
            self.server.fault(**fault)
        flow = Dataflow("archive")
        frames = op.input("files", flow, self.source(self.video))
        outcomes = infer("ask", frames, self.inference, self.service)
        records = to_arrow("arrow", outcomes, self.inference if declared else None)
        op.output("parquet", records, ParquetSink(out))
        run(flow, state=out.with_name(f"{out.name}-state"))
        return out

    def schema_file(self, folder: Path) -> Path:
        path = folder / "schema.json"
        path.write_text(json.dumps(self.inference.json_schema))
        return path

    def asking(self, **changes: Any) -> Asking:
        given = {
            "inference": self.inference,
            "service": self.service,
            "open_source": self.source,
            "failing_too": True,
        }
        return Asking(**(given | changes))

    def ask(self, out: Path, **changes: Any) -> ReplayReport:
        """Ask again about the dead letters in `out`."""
        return replay(out, asking=self.asking(**changes))


def rows(out: Path, dataset: str = "results") -> pl.DataFrame:
    files = sorted((out / dataset).rglob("*.parquet"))
    frames = [pl.read_parquet(file, hive_partitioning=False) for file in files]
    return pl.concat(frames) if frames else pl.DataFrame()


SAME = [
    "result_id", "stream_key", "source_uri", "media_start_us", "media_end_us", "stream_id", "mode",
    "model", "prompt", "prompt_version", "raw_text", "output", "frames_covered", "frames_between",
    "settled_start_us", "settled_end_us", "delivered_width", "delivered_height",
    "frames_published_total", "labels",
]  # fmt: skip
"""What does not depend on when a window was asked about."""


def said(out: Path, columns: list[str] = SAME) -> list[dict[str, Any]]:
    """The results, in their order in the video."""
    return rows(out).sort("media_start_us").select(columns).to_dicts()


def lettered(out: Path) -> list[str]:
    return sorted(rows(out, "dead_letters")["reason"])


def why(report: ReplayReport) -> Counter[NotAsked]:
    return Counter(each.why for each in report.not_asked)


def late(answer: Any) -> bool:
    return bool(answer["stamps"][0] >= 20)


def escalating(archive: Archive) -> Archive:
    return replace(archive, inference=with_second(archive.inference))


def with_second(inference: Inference) -> Inference:
    second = Inference(prompt="again?", output_schema=inference.json_schema)
    return replace(inference, then=Escalation(name="late", when=late, inference=second))


@contextmanager
def quoted(first_stamps: Container[int] | None = None) -> Iterator[None]:
    """Let the server's engine write answers as Python does: all, or those that begin so."""
    kept = PixelsEngine.answer

    def answer(self: PixelsEngine, frames: Any, question: Any) -> Any:
        told = kept(self, frames, question)
        if first_stamps is not None and told.facts["first_stamp"] not in first_stamps:
            return told
        return replace(told, text=told.text.replace('"', "'"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PixelsEngine, "answer", answer)
        yield
