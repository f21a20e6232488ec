"""`overshoot-flow models`: which models can be asked."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from overshoot_flow.config import Service
from overshoot_flow.protocol.v02 import ModelStatus
from overshoot_flow.transport.http import OvershootHttp
from overshoot_flow_pipelines.commands.common import (
    Subcommands,
    add_service_arguments,
    new_parser,
    service_from,
)

_EXAMPLE = """\
  export OVERSHOOT_API_KEY=...
  overshoot-flow models
"""


def add_parser(subcommands: Subcommands) -> None:
    """Add the subcommand."""
    parser = new_parser(subcommands, "models", "list the service's models", _EXAMPLE)
    add_service_arguments(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print a table of models and their states."""
    table = Table("model", "ready", "status")
    for model in asyncio.run(_models(service_from(options))):
        table.add_row(model.model, "yes" if model.ready else "no", model.status)
    Console().print(table)
    return 0


async def _models(service: Service) -> Sequence[ModelStatus]:
    http = OvershootHttp(service)
    try:
        return await http.models()
    finally:
        await http.aclose()
