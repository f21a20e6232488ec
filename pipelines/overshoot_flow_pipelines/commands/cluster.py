"""What the commands that run a dataflow have in common: its processes."""

from __future__ import annotations

import argparse
from datetime import timedelta
from typing import Final

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow.peers import Peer
from overshoot_flow_pipelines.supervised import Supervised

_DEFAULT_PEER_TIMEOUT_S: Final = 60.0


def add_cluster_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how many processes run the flow, and where they are."""
    group = parser.add_argument_group("processes")
    group.add_argument(
        "--workers", type=int, default=1, metavar="N", help="worker threads of each process"
    )
    group.add_argument(
        "--processes",
        type=int,
        default=1,
        metavar="N",
        help="start N processes on this machine, and all again when one of them dies",
    )
    group.add_argument(
        "-i",
        "--process-id",
        type=int,
        metavar="ID",
        help="be process ID, from 0, of a cluster whose processes are started one by one",
    )
    group.add_argument(
        "-a",
        "--addresses",
        metavar="HOST:PORT;...",
        help="addresses of all processes of that cluster; open them to nobody else",
    )
    group.add_argument(
        "--peer-timeout",
        type=float,
        default=_DEFAULT_PEER_TIMEOUT_S,
        metavar="S",
        help="how long the other processes are waited for (default: %(default)g)",
    )


def peer_of(options: argparse.Namespace) -> Peer | None:
    """Return which process of a cluster this one is, or None when it is none.

    Raises:
        ConfigurationError: The options contradict each other.
    """
    if options.processes < 1 or options.workers < 1:
        raise ConfigurationError("--processes and --workers must be at least 1")
    if not 0 < options.peer_timeout <= timedelta.max.total_seconds():
        raise ConfigurationError("--peer-timeout must be above 0 and finite")
    supervised: Supervised | None = options.supervised
    if supervised is not None:
        return supervised.peer
    peer = Peer.parse(options.process_id, options.addresses)
    if peer is not None and options.processes > 1:
        raise ConfigurationError(
            "--processes starts all processes by itself; leave it out, or -i and -a"
        )
    return peer


def is_supervisor(options: argparse.Namespace) -> bool:
    """Whether this process starts the others instead of running the flow."""
    return options.processes > 1 and options.supervised is None
