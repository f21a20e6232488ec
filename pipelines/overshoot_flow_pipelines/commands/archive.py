"""`overshoot-flow archive`: video files in, Parquet datasets out."""

from __future__ import annotations

import argparse
import sys
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta

from rich.console import Console

from overshoot_flow.config import DEFAULT_TRANSIT_S
from overshoot_flow.errors import MediaError
from overshoot_flow.flow.peers import Peer
from overshoot_flow.media.media_object import Media
from overshoot_flow.media.reader import probe
from overshoot_flow.spending import Budget
from overshoot_flow_connectors.file import FileSource
from overshoot_flow_connectors.parquet import ParquetSink
from overshoot_flow_pipelines.archive import archive_flow, run_archive
from overshoot_flow_pipelines.commands.asked_windows import (
    add_window_arguments,
    shows_whole_windows,
    transport,
)
from overshoot_flow_pipelines.commands.cluster import add_cluster_arguments, is_supervisor, peer_of
from overshoot_flow_pipelines.commands.common import (
    Subcommands,
    add_service_arguments,
    new_parser,
    service_from,
)
from overshoot_flow_pipelines.commands.observed import add_metrics_argument, observed
from overshoot_flow_pipelines.commands.output_place import OutputPlace, add_output_arguments
from overshoot_flow_pipelines.commands.question import (
    add_question_arguments,
    add_sampling_arguments,
    inference_of,
    sampling_of,
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
  overshoot-flow archive s3://BUCKET/videos --prompt "How many cars are there?" \\
      --out s3://BUCKET/answers --state cars
"""


def add_parser(subcommands: Subcommands) -> None:
    """Add the subcommand."""
    parser = new_parser(
        subcommands,
        "archive",
        "ask about video files; typed answers go to Parquet",
        _EXAMPLE,
    )
    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="files, globs or folders")
    add_question_arguments(
        parser, required=True, schema_help="JSON Schema that every answer must satisfy"
    )
    add_window_arguments(parser)
    video = add_sampling_arguments(parser)
    video.add_argument(
        "--concurrent",
        type=int,
        default=4,
        metavar="N",
        help="files that are watched at once, shared out among the processes; a key has five "
        "streams (default: %(default)s)",
    )
    money = parser.add_argument_group("how much it may cost")
    money.add_argument(
        "--max-cost",
        type=float,
        metavar="CENTS",
        help="on all files of a process together, earlier parts of the run included",
    )
    money.add_argument("--max-cost-per-file", type=float, metavar="CENTS", help="on each file")
    durability = parser.add_argument_group("going on after an interruption")
    add_output_arguments(parser, durability)
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
    add_metrics_argument(parser)
    add_service_arguments(parser)
    parser.add_argument(
        "--deadline",
        type=float,
        default=10.0,
        metavar="S",
        help="how long after the last frame an answer may come (default: %(default)s)",
    )
    parser.add_argument(
        "--transit",
        type=float,
        default=DEFAULT_TRANSIT_S,
        metavar="S",
        help="v0.2: how long a picture may take to the model; what an answer is about is wider by "
        "it (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the pipeline and print the summary."""
    inference = inference_of(options)
    service = service_from(
        options,
        answers_deadline_s=options.deadline,
        transit_s=options.transit,
        transport=transport(options),
        max_in_flight=options.max_in_flight,
    )
    place = OutputPlace.of(options)
    peer = peer_of(options)
    if is_supervisor(options):
        return _run_group(options, place)
    source = FileSource(
        options.videos,
        sample=sampling_of(options, inference),
        encoded=shows_whole_windows(options),
        max_height=options.max_height,
        concurrent=_concurrent(options, peer),
    )
    tally = Tally()
    roll_interval = timedelta(seconds=options.roll)
    sink = ParquetSink(
        place.out,
        staging=place.staging,
        partition_by=place.layout,
        roll_interval=roll_interval,
    )
    budget = Budget(run_cents=options.max_cost, stream_cents=options.max_cost_per_file)
    flow = archive_flow(source, inference, service, sink, tally, budget=budget)
    with observed(options), _progress(source, tally, shown=options.supervised is None):
        report = run_archive(
            flow,
            source,
            state=place.state,
            workers=options.workers,
            epoch_interval=timedelta(seconds=options.epoch),
            peer=peer,
            peer_timeout=timedelta(seconds=options.peer_timeout),
        )
    if options.supervised is not None:
        options.supervised.hand_over(to_document(report, tally.total))
        return EXIT_OK
    sys.stdout.write("\n".join(summary_lines(report, tally.total, place.shown)) + "\n")
    return exit_code(report, tally.total)


def _run_group(options: argparse.Namespace, place: OutputPlace) -> int:
    """Run several processes and print one summary of what they have counted."""
    end = supervise(options.arguments, options.processes, place.state)
    if end.code != EXIT_OK:
        return end.code
    report, counts = added_up(end.handovers)
    wrong = mismatches(end.handovers)
    lines = [*summary_lines(report, counts, place.shown), *wrong]
    if end.restarts:
        lines.append(f"restarts         {end.restarts:>8}   the numbers are those since the last")
    sys.stdout.write("\n".join(lines) + "\n")
    return EXIT_MISMATCH if wrong else exit_code(report, counts)


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


def _duration_us(media: Media) -> int | None:
    """A file that cannot be opened has no bar; the run itself records it as a gap."""
    try:
        return probe(media).duration_us
    except MediaError:
        return None
