"""Runs a schedule: the production's classes inside a simulated engine, service and disk."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from simulation_checks import Checks, Violation, WatchedMachine
from simulation_disk import DISK_PARTS, FOLDER_PARTS
from simulation_lives import FRAME_BYTES, SimulatedRun
from simulation_loop import StuckError
from simulation_schedule import Schedule
from simulation_service import SimulatedPublisher, SimulatedSocket

from overshoot_flow.flow import inference as inference_module
from overshoot_flow.flow import partition as partition_module
from overshoot_flow.session import ingress as ingress_module
from overshoot_flow.session import ledger as ledger_module
from overshoot_flow.session import session as session_module
from overshoot_flow.session import stream_run as stream_run_module
from overshoot_flow.session.feed import Feed
from overshoot_flow.session.ledger import Account
from overshoot_flow_connectors import parquet_folder as folder_module
from overshoot_flow_connectors import parquet_partition as parquet_module


@contextmanager
def _in_place(run: SimulatedRun) -> Iterator[None]:
    """Replace the network, the disk and the sizes in the production's modules."""
    schedule, service = run.schedule, run.service
    replaced: list[tuple[Any, dict[str, Any]]] = [
        (
            session_module,
            {
                "SessionMachine": functools.partial(WatchedMachine, run.checks),
                "Feed": functools.partial(Feed, replay_bytes=schedule.replay_frames * FRAME_BYTES),
                "random": SimpleNamespace(Random=lambda: run.random),
                "_RESTART_BACKOFF_S": (0.02, 0.2),
            },
        ),
        (
            stream_run_module,
            {
                "ResultsSocket": lambda _url, stream_id, _key, **_: SimulatedSocket(
                    service, stream_id
                ),
            },
        ),
        (
            ingress_module,
            {"LiveKitPublisher": lambda url, _token, **_: SimulatedPublisher(service, url)},
        ),
        (
            partition_module,
            {
                "Account": functools.partial(Account, capacity=schedule.capacity),
                "LEDGER": None,
                "RUNTIME": None,
            },
        ),
        (inference_module, {"LEDGER": None, "RUNTIME": None}),
        (ledger_module, {"UNATTACHED_BATCH": 2, "PIECES_CAPACITY": 4}),
        (parquet_module, DISK_PARTS | {"uuid4": lambda: SimpleNamespace(hex="0123456789abcdef")}),
        (folder_module, FOLDER_PARTS),
    ]
    before = [(m, {name: getattr(m, name) for name in names}) for m, names in replaced]
    _set(replaced)
    try:
        yield
    finally:
        _set(before)


def _set(attributes: list[tuple[Any, dict[str, Any]]]) -> None:
    for module, values in attributes:
        for name, value in values.items():
            setattr(module, name, value)


def run_schedule(schedule: Schedule, checks: Checks | None = None) -> None:
    """Run a schedule to its end.

    Args:
        schedule: What is run.
        checks: Follows the run; give your own to read its log.

    Raises:
        Violation: Something happened that must never happen.
    """
    run = SimulatedRun(schedule, checks or Checks(schedule))
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with _in_place(run):
            try:
                run.loop.run_until_complete(run.run())
            finally:
                run.cancel_what_is_left()
    except Violation:
        raise
    except (StuckError, Exception) as error:
        raise Violation("a defect", repr(error)) from error
    finally:
        logging.disable(disabled)
        run.loop.close()
