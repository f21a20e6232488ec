"""`overshoot-flow deadletters`: show the answers that are no results, and replay them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from overshoot_flow.config import Inference
from overshoot_flow.errors import ConfigurationError
from overshoot_flow.results import FailureReason
from overshoot_flow.schema.json_schema import OutputSchema
from overshoot_flow.schema.sources import schema_document
from overshoot_flow_connectors.file import FileSource
from overshoot_flow_connectors.object_store import ObjectPlace, is_url
from overshoot_flow_connectors.parquet_asking import Asking
from overshoot_flow_connectors.parquet_dead_letters import DeadLetters, Selection
from overshoot_flow_connectors.parquet_replay import replay
from overshoot_flow_pipelines.commands.asked_windows import (
    add_window_arguments,
    shows_whole_windows,
    transport,
)
from overshoot_flow_pipelines.commands.common import (
    Subcommands,
    add_service_arguments,
    new_parser,
    service_from,
)
from overshoot_flow_pipelines.commands.question import (
    add_question_arguments,
    add_sampling_arguments,
    inference_of,
    sampling_of,
)
from overshoot_flow_pipelines.dead_letter_report import (
    DeadLetterReport,
    replay_document,
    replay_lines,
)
from overshoot_flow_pipelines.importing import imported
from overshoot_flow_pipelines.summary import EXIT_OK

_EXAMPLE = """\
  overshoot-flow deadletters answers
  overshoot-flow deadletters answers --replay --repair single_quotes
  overshoot-flow deadletters answers --replay --schema cars.json --reason schema
  overshoot-flow deadletters answers --replay --ask --prompt "How many cars are there?" \\
      --schema cars.json --window 2 --base-url https://api.overshoot.ai/v1 --max-cost 50
"""
_OF_ASKING = ("prompt", "question", "max_cost", "ask_failing")


def add_parser(subcommands: Subcommands) -> None:
    """Add the subcommand."""
    parser = new_parser(
        subcommands,
        "deadletters",
        "show the answers that are no results, by reason; make results of those that pass another "
        "schema or repair, or are answered now",
        _EXAMPLE,
    )
    parser.add_argument(
        "directory", metavar="DIR", help="directory of the Parquet datasets, on this disk"
    )
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    parser.add_argument(
        "--limit",
        type=int,
        default=10,
        metavar="N",
        help="how many of the newest are shown (default: %(default)s)",
    )
    chosen = parser.add_argument_group("which ones")
    chosen.add_argument("--reason", choices=[each.value for each in FailureReason])
    chosen.add_argument("--stream", metavar="KEY", help="those about this stream")
    chosen.add_argument(
        "--schema-key", metavar="KEY", help="those that were checked with the schema of this key"
    )
    again = parser.add_argument_group("replaying")
    again.add_argument(
        "--replay",
        action="store_true",
        help="check the answers again, and make results of those that pass, each exactly once; "
        "nobody is asked without --ask",
    )
    again.add_argument(
        "--ask",
        action="store_true",
        help="with --replay: ask once more about windows of files that have no whole answer; say "
        "what was asked with the arguments of `archive`, or with --question",
    )
    again.add_argument(
        "--ask-failing",
        action="store_true",
        help="with --ask: also about those whose whole answer fails",
    )
    again.add_argument(
        "--question",
        metavar="FILE.py:NAME",
        help="with --ask: the Inference that was asked, or module:name, for one that `archive` "
        "has no arguments for",
    )
    again.add_argument(
        "--max-cost",
        type=float,
        metavar="CENTS",
        help="with --ask: how much this replay may cost",
    )
    add_question_arguments(
        parser,
        required=False,
        schema_help="with --replay: JSON Schema that they must satisfy now (default: their own); "
        "with --ask: that of the question",
    )
    add_window_arguments(parser, delivery="inline")
    add_sampling_arguments(parser)
    add_service_arguments(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Show or replay."""
    if options.limit < 0:
        raise ConfigurationError(f"--limit is {options.limit}; 0 is the least")
    if options.schema is not None and not options.replay:
        raise ConfigurationError("--schema is for --replay; add it, or leave --schema out")
    if is_url(options.directory):
        raise ConfigurationError(
            f"{ObjectPlace.of(options.directory)} is in an object store, and deadletters takes "
            "folders on this disk: copy the one with dead_letters/ to it, with all that is in it"
        )
    directory = Path(options.directory)
    if options.ask and not options.replay:
        raise ConfigurationError("--ask is for --replay; add it, or leave --ask out")
    for name in _OF_ASKING:
        if getattr(options, name) and not options.ask:
            argument = f"--{name.replace('_', '-')}"
            raise ConfigurationError(f"{argument} is for --ask; add it, or leave {argument} out")
    selection = Selection(
        reason=None if options.reason is None else FailureReason(options.reason),
        stream_key=options.stream,
        schema_key=options.schema_key,
    )
    if options.replay:
        asking = _asking(options) if options.ask else None
        schema = None
        if options.schema is not None and asking is None:
            schema = OutputSchema(schema_document(options.schema))
        done = replay(
            directory,
            schema=schema,
            repair=options.repair,
            selection=selection,
            asking=asking,
        )
        document, lines = replay_document(done), replay_lines(done, options.limit)
    else:
        letters = DeadLetters(directory)
        shown = DeadLetterReport.of(
            letters.failures(selection), letters.replayed_ids(), options.limit
        )
        document, lines = shown.to_document(), shown.lines()
    # Escaped, for a lone surrogate cannot be printed.
    text = json.dumps(document, indent=2) if options.json else "\n".join(lines)
    sys.stdout.write(f"{text}\n")
    return EXIT_OK


def _asking(options: argparse.Namespace) -> Asking:
    inference = _question(options)
    return Asking(
        inference=inference,
        service=service_from(
            options, transport=transport(options), max_in_flight=options.max_in_flight
        ),
        open_source=lambda source: FileSource(
            source,
            sample=sampling_of(options, inference),
            encoded=shows_whole_windows(options),
            max_height=options.max_height,
        ),
        failing_too=options.ask_failing,
        max_cost_cents=options.max_cost,
    )


def _question(options: argparse.Namespace) -> Inference:
    if (options.prompt is None) == (options.question is None):
        raise ConfigurationError(
            "say what was asked, with --prompt and the other arguments of the run, or with "
            "--question"
        )
    if options.question is None:
        return inference_of(options)
    place, _, name = options.question.rpartition(":")
    question = imported(place, name, options.question)
    if not isinstance(question, Inference):
        raise ConfigurationError(f"{options.question} is no Inference: name the one that was asked")
    return question
