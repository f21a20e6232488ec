"""What the commands that run a dataflow have in common: how they are watched."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

from bytewax.dataflow import Dataflow

from overshoot_flow.flow.graph import steps_of
from overshoot_flow_pipelines.observability import observe
from overshoot_flow_pipelines.observability.address import host_and_port
from overshoot_flow_pipelines.observability.cameras import CameraSource
from overshoot_flow_pipelines.supervised import Supervised


def add_metrics_argument(parser: argparse.ArgumentParser) -> None:
    """Add where metrics and health can be asked for."""
    parser.add_argument(
        "--metrics",
        metavar="HOST:PORT",
        help="serve /metrics (Prometheus), /healthz and /readyz there; with --processes, process "
        "number I takes PORT + I. Nobody is asked for a password: open it to the monitoring only",
    )


def observed(
    options: argparse.Namespace, sources: Iterable[CameraSource] = ()
) -> AbstractContextManager[object]:
    """Serve what `--metrics` asks for, if it does, while the block runs.

    Raises:
        ConfigurationError: See `observe`.
    """
    address: str | None = options.metrics
    if address is None:
        return nullcontext()
    host, port = host_and_port(address)
    supervised: Supervised | None = options.supervised
    if supervised is not None and port != 0:
        port += supervised.peer.process_id
    return observe(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", *sources)


def camera_sources(flow: Dataflow) -> list[CameraSource]:
    """Return the sources of a dataflow that know how their cameras are doing."""
    sources = (getattr(step, "source", None) for step in steps_of(flow))
    return [source for source in sources if isinstance(source, CameraSource)]
