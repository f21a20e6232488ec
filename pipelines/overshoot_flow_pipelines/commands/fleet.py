"""`overshoot-flow fleet`: run a fleet file."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Final

from rich.console import Console

from overshoot_flow.errors import ConfigurationError, FleetFileError
from overshoot_flow_connectors.fleet_model import Fleet
from overshoot_flow_connectors.fleet_plan import without_slot
from overshoot_flow_connectors.fleet_source import FleetSource
from overshoot_flow_pipelines.commands.common import Subcommands, new_parser
from overshoot_flow_pipelines.fleet_flow import default_state, fleet_flow, run_fleet
from overshoot_flow_pipelines.fleet_screen import fleet_screen
from overshoot_flow_pipelines.fleet_summary import fleet_summary
from overshoot_flow_pipelines.fleet_view import FleetView
from overshoot_flow_pipelines.observability import observe
from overshoot_flow_pipelines.open_files import allow_many_open_files
from overshoot_flow_pipelines.summary import EXIT_USAGE, exit_code
from overshoot_flow_pipelines.supervisor import supervise
from overshoot_flow_pipelines.tally import Tally

_EXAMPLE = """\
  export OVERSHOOT_API_KEY=... GATE_PASSWORD=...
  overshoot-flow check fleet.toml
  overshoot-flow fleet fleet.toml

Edit fleet.toml while it runs: cameras, prompts, schemas, services, masks and priorities take effect
within 5 seconds; a wrong file is reported and changes nothing. SIGHUP looks at it at once. SIGTERM
and SIGINT stop in order, a second one at once.
"""
_TOLD_BY_DEFAULT: Final = (
    "overshoot_flow_connectors.fleet_follower",
    "overshoot_flow_pipelines.fleet_screen",
)
"""Loggers whose notices are what one wants to know of a program that runs for months."""

_logger = logging.getLogger(__name__)


def add_parser(subcommands: Subcommands) -> None:
    """Add the subcommand."""
    parser = new_parser(
        subcommands,
        "fleet",
        "watch the cameras of a fleet file; typed answers go to its sinks",
        _EXAMPLE,
    )
    parser.add_argument("fleet", type=Path, metavar="FLEET", help="the fleet file (TOML)")
    parser.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="folder of the recovery state (default: _run in the directory of the first sink); the "
        "same command goes on where it was stopped or died, without a row lost or doubled",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="worker threads, which share the cameras out; it stays the same as long as the state "
        "does (default: %(default)s)",
    )
    parser.add_argument(
        "--epoch",
        type=float,
        default=2.0,
        metavar="S",
        help="how often positions and records become durable together (default: %(default)s)",
    )
    parser.add_argument(
        "--metrics",
        metavar="HOST:PORT",
        help="serve /metrics (Prometheus), /healthz and /readyz there (default: [metrics] listen "
        "of the file)",
    )
    parser.add_argument(
        "--no-restart",
        action="store_true",
        help="be the process that watches the cameras, instead of starting it and starting it "
        "again when it dies (six times in a row without getting on end the run)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the fleet until it is stopped, and print the summary."""
    if options.workers < 1:
        raise ConfigurationError("--workers must be at least 1")
    try:
        source = FleetSource(options.fleet, partitions=options.workers)
    except FleetFileError as error:
        # Without the program's name in front, editors find the line.
        sys.stderr.write(f"{error}\n")
        return EXIT_USAGE
    tally = Tally()
    flow = fleet_flow(source, tally)
    sinks = source.fleet.sinks
    state = options.state or default_state(source)
    if not options.no_restart and options.supervised is None:
        # The fleet file was looked at, so that a wrong one is no death.
        return supervise(options.arguments, 1, state, is_endless=True).code
    allow_many_open_files()
    _tell_by_default()
    _warn_of_waiting(source.fleet)
    view = FleetView(source, tally)
    with (
        _observed(options.metrics or source.fleet.metrics_listen, source),
        _look_on_hangup(source),
        fleet_screen(view, Console(stderr=True)),
    ):
        report = run_fleet(
            flow,
            source,
            state=state,
            workers=options.workers,
            epoch_interval=timedelta(seconds=options.epoch),
        )
    lines = fleet_summary(report, tally, sinks)
    sys.stdout.write("\n".join(lines) + "\n")
    return exit_code(report, tally.total)


def _observed(address: str | None, source: FleetSource) -> AbstractContextManager[object]:
    return nullcontext() if address is None else observe(address, source)


def _tell_by_default() -> None:
    for name in _TOLD_BY_DEFAULT:
        logger = logging.getLogger(name)
        logger.setLevel(min(logging.INFO, logger.getEffectiveLevel()))


def _warn_of_waiting(fleet: Fleet) -> None:
    waiting = without_slot(fleet)
    if waiting and fleet.dwell_s is None:
        _logger.warning(
            "%d of %d cameras find no free stream and wait for one: %s; set dwell_s to let cameras "
            "take turns, or add a [[service]] with a key of its own",
            len(waiting),
            len(fleet.cameras),
            ", ".join(waiting),
        )


@contextmanager
def _look_on_hangup(source: FleetSource) -> Iterator[None]:
    """Take SIGHUP as the wish to look at the fleet file; only the main thread may."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGHUP, lambda _number, _frame: source.look_now())
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
