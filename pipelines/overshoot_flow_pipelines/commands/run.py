"""`overshoot-flow run`: run a dataflow of the user's own, in one process or in several."""

from __future__ import annotations

import argparse
import sys
from datetime import timedelta
from pathlib import Path

from bytewax.dataflow import Dataflow

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow import run as run_flow
from overshoot_flow.session.runtime import RUNTIME
from overshoot_flow_pipelines.commands.cluster import add_cluster_arguments, is_supervisor, peer_of
from overshoot_flow_pipelines.commands.common import Subcommands, new_parser
from overshoot_flow_pipelines.commands.observed import (
    add_metrics_argument,
    camera_sources,
    observed,
)
from overshoot_flow_pipelines.importing import imported
from overshoot_flow_pipelines.open_files import allow_many_open_files
from overshoot_flow_pipelines.summary import EXIT_FAILED, EXIT_OK
from overshoot_flow_pipelines.supervisor import supervise

_EXAMPLE = """\
  overshoot-flow run cars.py:flow --state state --processes 2
  overshoot-flow run my_package.cars:make_flow --state state -i 0 -a 'a:2101;b:2101'
"""


def add_parser(subcommands: Subcommands) -> None:
    """Add the subcommand."""
    parser = new_parser(
        subcommands,
        "run",
        "run a dataflow of your own; it stops in order, goes on after a crash, and can have "
        "several processes",
        _EXAMPLE,
    )
    parser.add_argument(
        "target",
        metavar="TARGET",
        help="module:attribute or file.py:attribute of a Dataflow, or of a function that returns "
        "one (default attribute: flow)",
    )
    parser.add_argument(
        "--state", type=Path, metavar="DIR", help="folder of the recovery state (default: none)"
    )
    parser.add_argument(
        "--epoch",
        type=float,
        default=2.0,
        metavar="S",
        help="how often positions and records become durable together (default: %(default)s)",
    )
    add_cluster_arguments(parser)
    add_metrics_argument(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the flow; say which streams failed."""
    peer = peer_of(options)
    if is_supervisor(options):
        end = supervise(options.arguments, options.processes, options.state)
        failures = [line for left in end.handovers for line in left.get("failures", [])]
        return _told(failures) if end.code == EXIT_OK else end.code
    allow_many_open_files()
    flow = dataflow_of(options.target)
    RUNTIME.failures.clear()
    with observed(options, camera_sources(flow)):
        run_flow(
            flow,
            state=options.state,
            workers=options.workers,
            epoch_interval=timedelta(seconds=options.epoch),
            peer=peer,
            peer_timeout=timedelta(seconds=options.peer_timeout),
        )
    failures = [f"{key}: {error}" for key, error in RUNTIME.failures.items()]
    if options.supervised is not None:
        options.supervised.hand_over({"failures": failures})
        return EXIT_OK
    return _told(failures)


def _told(failures: list[str]) -> int:
    for failure in failures:
        sys.stderr.write(f"FAILED {failure}\n")
    return EXIT_FAILED if failures else EXIT_OK


def dataflow_of(target: str) -> Dataflow:
    """Import the dataflow that `target` names.

    Raises:
        ConfigurationError: There is none; the text says what to write.
    """
    place, _, attribute = target.rpartition(":") if ":" in target else (target, "", "flow")
    found = imported(place, attribute, target)
    if not isinstance(found, Dataflow) and callable(found):
        found = found()
    if not isinstance(found, Dataflow):
        raise ConfigurationError(
            f"{target} is a {type(found).__name__}; name a bytewax Dataflow, or a function "
            "without arguments that returns one"
        )
    return found
