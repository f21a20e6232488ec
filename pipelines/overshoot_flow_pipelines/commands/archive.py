"""`overshoot-flow archive`: video files in, Parquet datasets out."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console

from overshoot_flow.config import DEFAULT_MODEL, ClipMode, FrameMode, Inference
from overshoot_flow.errors import ConfigurationError, MediaError
from overshoot_flow.flow.peers import Peer
from overshoot_flow.media.reader import probe
from overshoot_flow.media.sampling import FramesPerSecond
from overshoot_flow_connectors.file import FileSource
from overshoot_flow_connectors.parquet import ParquetSink
from overshoot_flow_pipelines.archive import archive_flow, run_archive
from overshoot_flow_pipelines.commands.cluster import add_cluster_arguments, is_supervisor, peer_of
from overshoot_flow_pipelines.commands.common import (
    Subcommands,
    add_service_arguments,
    new_parser,
    service_from,
)
from overshoot_flow_pipelines.peer_reports import added_up, mismatches, to_document
from overshoot_flow_pipelines.progress import ArchiveProgress
from overshoot_flow_pipelines.summary import EXIT_MISMATCH, EXIT_OK, exit_code, summary_lines
from overshoot_flow_pipelines.supervisor import supervise
from overshoot_flow_pipelines.tally import Tally

_EXAMPLE = """\
  export OVERSHOOT_API_KEY=...
  overshoot-flow archive videos/ --prompt "How many cars are there?" \\
      --schema cars.json --out answers --mode frame --interval 1
  duckdb -c "from 'answers/results/**/*.parquet'"
"""
_FRAME_MODE_FPS = 10.0


def add_parser(subcommands: Subcommands) -> None:
    """Add the subcommand."""
    parser = new_parser(
        subcommands,
        "archive",
        "ask about video files; typed answers go to Parquet",
        _EXAMPLE,
    )
    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="files, globs or folders")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="output folder")
    asked = parser.add_argument_group("what is asked")
    asked.add_argument("--prompt", required=True, help="the question")
    asked.add_argument(
        "--schema", type=Path, metavar="FILE", help="JSON Schema that every answer must satisfy"
    )
    asked.add_argument("--model", default=DEFAULT_MODEL, help="default: %(default)s")
    asked.add_argument("--max-output-tokens", type=int, metavar="N", help="cap of an answer")
    windows = parser.add_argument_group("which video an answer looks at")
    windows.add_argument("--mode", choices=["clip", "frame"], default="clip")
    windows.add_argument(
        "--interval", type=float, default=1.0, metavar="S", help="frame mode: time between answers"
    )
    windows.add_argument(
        "--clip-length", type=float, default=0.5, metavar="S", help="clip mode: length of a clip"
    )
    windows.add_argument(
        "--delay", type=float, default=0.5, metavar="S", help="clip mode: time between answers"
    )
    windows.add_argument(
        "--target-fps", type=float, default=6, metavar="N", help="clip mode: frames per second"
    )
    video = parser.add_argument_group("what is published")
    video.add_argument(
        "--fps",
        type=float,
        metavar="N",
        help="frames per second of media to publish "
        f"(default: twice --target-fps, {_FRAME_MODE_FPS:g} in frame mode)",
    )
    video.add_argument("--max-height", type=int, metavar="PIXELS", help="scale down to this height")
    video.add_argument(
        "--concurrent",
        type=int,
        default=4,
        metavar="N",
        help="files that are watched at once, shared out among the processes; a key has five "
        "streams (default: %(default)s)",
    )
    durability = parser.add_argument_group("going on after an interruption")
    durability.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="folder of the recovery state (default: _run in the output folder); the same command "
        "goes on where it ended or died",
    )
    durability.add_argument(
        "--epoch",
        type=float,
        default=2.0,
        metavar="S",
        help="how often positions and records become durable together (default: %(default)s)",
    )
    durability.add_argument(
        "--roll",
        type=float,
        default=300.0,
        metavar="S",
        help="how long rows may wait until their file is visible (default: %(default)s)",
    )
    add_cluster_arguments(parser)
    add_service_arguments(parser)
    parser.add_argument(
        "--deadline",
        type=float,
        default=10.0,
        metavar="S",
        help="how long after the last frame an answer may come (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the pipeline and print the summary."""
    mode: ClipMode | FrameMode
    if options.mode == "clip":
        mode = ClipMode(
            target_fps=options.target_fps,
            clip_length_s=options.clip_length,
            delay_s=options.delay,
        )
        fps = 2 * options.target_fps if options.fps is None else options.fps
    else:
        mode = FrameMode(interval_s=options.interval)
        fps = _FRAME_MODE_FPS if options.fps is None else options.fps
    inference = Inference(
        prompt=options.prompt,
        model=options.model,
        output_schema=None if options.schema is None else _read_schema(options.schema),
        mode=mode,
        max_output_tokens=options.max_output_tokens,
    )
    service = service_from(options, answers_deadline_s=options.deadline)
    peer = peer_of(options)
    if is_supervisor(options):
        return _run_group(options)
    source = FileSource(
        options.videos,
        sample=FramesPerSecond(fps),
        max_height=options.max_height,
        concurrent=_concurrent(options, peer),
    )
    tally = Tally()
    sink = ParquetSink(options.out, roll_interval=timedelta(seconds=options.roll))
    flow = archive_flow(source, inference, service, sink, tally)
    with _progress(source, tally, shown=options.supervised is None):
        report = run_archive(
            flow,
            source,
            state=_state(options),
            workers=options.workers,
            epoch_interval=timedelta(seconds=options.epoch),
            peer=peer,
            peer_timeout=timedelta(seconds=options.peer_timeout),
        )
    if options.supervised is not None:
        options.supervised.hand_over(to_document(report, tally.total))
        return EXIT_OK
    sys.stdout.write("\n".join(summary_lines(report, tally.total, options.out)) + "\n")
    return exit_code(report, tally.total)


def _run_group(options: argparse.Namespace) -> int:
    """Run several processes and print one summary of what they have counted."""
    end = supervise(options.arguments, options.processes, _state(options))
    if end.code != EXIT_OK:
        return end.code
    report, counts = added_up(end.handovers)
    wrong = mismatches(end.handovers)
    lines = [*summary_lines(report, counts, options.out), *wrong]
    if end.restarts:
        lines.append(f"restarts         {end.restarts:>8}   the numbers are those since the last")
    sys.stdout.write("\n".join(lines) + "\n")
    return EXIT_MISMATCH if wrong else exit_code(report, counts)


def _state(options: argparse.Namespace) -> Path:
    state: Path = options.state or options.out / "_run"
    return state


def _concurrent(options: argparse.Namespace, peer: Peer | None) -> int:
    """A process cannot see how many files the others watch at the moment."""
    concurrent: int = options.concurrent
    if concurrent < 1 or peer is None:
        return concurrent
    share, rest = divmod(concurrent, len(peer.addresses))
    return max(1, share + (peer.process_id < rest))


def _progress(source: FileSource, tally: Tally, *, shown: bool) -> AbstractContextManager[object]:
    """Several processes would draw their bars over each other."""
    if not shown:
        return nullcontext()
    paths = dict(source.sources)
    names = {key: path.name for key, path in paths.items()}
    return ArchiveProgress(tally, names, lambda key: _duration_us(paths[key]), Console(stderr=True))


def _duration_us(path: Path) -> int | None:
    """A file that cannot be opened has no bar; the run itself records it as a gap."""
    try:
        return probe(path).duration_us
    except MediaError:
        return None


def _read_schema(file: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read the schema {file}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"the schema {file} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ConfigurationError(f"the schema {file} must be a JSON object")
    return document
