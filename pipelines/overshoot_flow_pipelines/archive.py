"""The archive pipeline: video files in, Parquet datasets out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from overshoot_flow.config import Inference, Service
from overshoot_flow.errors import OvershootFlowError
from overshoot_flow.flow import infer, run, to_arrow
from overshoot_flow.flow.peers import Peer
from overshoot_flow.flow.running import DEFAULT_PEER_TIMEOUT
from overshoot_flow.results import GapReason, Heartbeat, Outcome
from overshoot_flow.session.ledger import LEDGER
from overshoot_flow.session.runtime import RUNTIME
from overshoot_flow.spending import Budget
from overshoot_flow_connectors.file import FileSource
from overshoot_flow_connectors.parquet import ParquetSink
from overshoot_flow_pipelines.tally import Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveReport:
    """How a run ended.

    Attributes:
        frames_read: Frames that the source emitted, without those left to the next part.
        stopped: Whether a signal ended the run early.
        failures: Why sessions failed, by stream key.
        over_budget: Whether frames are left to another part of the run for want of money.
    """

    frames_read: int
    stopped: bool
    failures: dict[str, OvershootFlowError]
    over_budget: bool = False


def archive_flow(
    source: FileSource,
    inference: Inference,
    service: Service,
    sink: ParquetSink,
    tally: Tally,
    *,
    budget: Budget | None = None,
) -> Dataflow:
    """Build the dataflow file → infer → Arrow → Parquet; `tally` counts the outcomes.

    Raises:
        ConfigurationError: The output schema cannot be used.
    """
    flow = Dataflow("overshoot_archive")
    frames = op.input("files", flow, source)
    outcomes = infer("ask", frames, inference, service, budget=budget)

    def count(_step_id: str, said: Outcome | Heartbeat) -> None:
        if not isinstance(said, Heartbeat):
            tally.add(said)

    counted = op.inspect("count", outcomes, count)
    op.output("parquet", to_arrow("arrow", counted, inference), sink)
    return flow


def run_archive(
    flow: Dataflow,
    source: FileSource,
    *,
    state: Path | None = None,
    workers: int = 1,
    epoch_interval: timedelta = timedelta(seconds=2),
    peer: Peer | None = None,
    peer_timeout: timedelta = DEFAULT_PEER_TIMEOUT,
) -> ArchiveReport:
    """Run an `archive_flow` to its end; the arguments are those of `overshoot_flow.flow.run`.

    As a process of a cluster it reports its own share.

    Raises:
        OvershootFlowError: A step failed; the text says why.
        KeyboardInterrupt: A second signal stopped the run at once.
    """
    RUNTIME.failures.clear()
    stopped = run(
        flow,
        state=state,
        workers=workers,
        epoch_interval=epoch_interval,
        peer=peer,
        peer_timeout=peer_timeout,
    )
    return ArchiveReport(
        frames_read=sum(LEDGER.frames_emitted(key) for key, _ in source.sources),
        stopped=stopped,
        failures=dict(RUNTIME.failures),
        over_budget=any(GapReason.BUDGET in LEDGER.left_because(key) for key, _ in source.sources),
    )
