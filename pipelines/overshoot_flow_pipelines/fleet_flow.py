"""The fleet pipeline: the cameras of a fleet file in, records in every sink of the file out."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Final

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow import infer, run, to_arrow
from overshoot_flow.results import Heartbeat, Outcome
from overshoot_flow.session.runtime import RUNTIME
from overshoot_flow_connectors.fleet_model import FleetKafkaSink
from overshoot_flow_connectors.fleet_source import FleetSource
from overshoot_flow_pipelines.archive import ArchiveReport
from overshoot_flow_pipelines.fleet_sinks import folder_of, kind_of, sink_of
from overshoot_flow_pipelines.tally import Tally

INFER_STEP: Final = "ask"


def fleet_flow(source: FleetSource, tally: Tally) -> Dataflow:
    """Build the dataflow cameras → infer → Arrow → every sink; `tally` counts the outcomes.

    Answers to different output schemas go to `results/schema=<key>/`, each typed by its own.

    Raises:
        ConfigurationError: The fleet file has no sink.
    """
    sinks = source.fleet.sinks
    if not sinks:
        raise ConfigurationError(
            "the fleet file has no sink, so the answers would be lost: write [[sink]] with "
            'type = "parquet" and directory = "…"'
        )
    flow = Dataflow("overshoot_fleet")
    outcomes = infer(INFER_STEP, op.input("cameras", flow, source))

    def count(_step_id: str, said: Outcome | Heartbeat) -> None:
        if not isinstance(said, Heartbeat):
            tally.add(said)

    rows = to_arrow("arrow", op.inspect("count", outcomes, count))
    for number, sink in enumerate(sinks, start=1):
        op.output(f"{kind_of(sink)}_{number}", rows, sink_of(sink))
    return flow


def default_state(source: FleetSource) -> Path:
    """Return where a fleet's recovery state is when nobody says otherwise.

    Raises:
        ConfigurationError: The fleet has no sink with a directory.
    """
    for sink in source.fleet.sinks:
        if not isinstance(sink, FleetKafkaSink):
            return folder_of(sink) / "_run"
    raise ConfigurationError(
        "without a sink that has a folder on the disk the state needs one: give --state DIR"
    )


def run_fleet(
    flow: Dataflow,
    source: FleetSource,
    *,
    state: Path,
    workers: int = 1,
    epoch_interval: timedelta = timedelta(seconds=2),
) -> ArchiveReport:
    """Run a `fleet_flow` until it is stopped; the arguments are those of `overshoot_flow.flow.run`.

    Raises:
        OvershootFlowError: A step failed; the text says why.
        KeyboardInterrupt: A second signal stopped the run at once.
    """
    RUNTIME.failures.clear()
    run(flow, state=state, workers=workers, epoch_interval=epoch_interval)
    return ArchiveReport(
        frames_read=sum(source.frames_read().values()),
        # A fleet has no other end.
        stopped=False,
        failures=dict(RUNTIME.failures),
    )
