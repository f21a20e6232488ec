"""`overshoot-flow models`: which models can be asked, and what they cost where that is told."""

from __future__ import annotations

import argparse
import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.table import Table

from overshoot_flow.config import Service
from overshoot_flow.errors import AuthenticationError, OvershootFlowError
from overshoot_flow.protocol.v02 import ModelStatus
from overshoot_flow.protocol.v1_models import Model, Pricing
from overshoot_flow.transport.http import OvershootHttp
from overshoot_flow.transport.http_v1 import OvershootV1
from overshoot_flow_pipelines.commands.common import (
    Subcommands,
    add_service_arguments,
    new_parser,
    service_from,
)

_logger = logging.getLogger(__name__)

_EXAMPLE = """\
  export OVERSHOOT_API_KEY=...
  overshoot-flow models
  overshoot-flow models --base-url https://api.overshoot.ai/v1    # with prices and your balance
"""
_PRICE_COLUMNS: Final = ("input", "cached input", "output")
_PRICE_UNIT: Final = "prices in cents per million tokens"


def add_parser(subcommands: Subcommands) -> None:
    """Add the subcommand."""
    parser = new_parser(subcommands, "models", "list the service's models", _EXAMPLE)
    add_service_arguments(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print a table of models and their states; of v1 and v1beta with prices and the balance."""
    service = service_from(options)
    console = Console()
    if service.generation == "v0.2":
        table = Table("model", "ready", "status")
        for model in asyncio.run(_models(service)):
            table.add_row(model.model, _ready(model), model.status)
        console.print(table)
        return 0
    priced = asyncio.run(_priced_models(service))
    table = Table("model", "ready", "status", *_PRICE_COLUMNS, caption=_PRICE_UNIT)
    for each in priced.models:
        prices = _prices(priced.pricing.get(each.id))
        table.add_row(each.id, _ready(each), each.status, *prices)
    console.print(table)
    console.print(f"balance: {priced.balance}", highlight=False, markup=False)
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _PricedModels:
    """What v1 tells; models without a known price are not in `pricing`."""

    models: Sequence[Model]
    pricing: Mapping[str, Pricing]
    balance: str


def _ready(model: ModelStatus | Model) -> str:
    return "yes" if model.ready else "no"


def _prices(pricing: Pricing | None) -> Sequence[str]:
    if pricing is None:
        return ["unknown"] * len(_PRICE_COLUMNS)
    # A microcent per token is a cent per million tokens.
    return [
        f"{price:g}"
        for price in (
            pricing.input_microcents,
            pricing.cached_input_microcents,
            pricing.output_microcents,
        )
    ]


async def _models(service: Service) -> Sequence[ModelStatus]:
    http = OvershootHttp(service)
    try:
        return await http.models()
    finally:
        await http.aclose()


async def _priced_models(service: Service) -> _PricedModels:
    http = OvershootV1(service)
    try:
        models = await http.models()
        pricing: Mapping[str, Pricing] = {}
        try:
            pricing = await http.all_pricing()
        except OvershootFlowError as error:
            # The list is worth something without prices.
            _logger.warning("the prices are not known: %s", error)
        try:
            balance = f"{(await http.balance()).cents:.2f} cents"
        except AuthenticationError:
            # As with v0.2: who lists models wants to know whether the key works.
            raise
        except OvershootFlowError as error:
            balance = f"unknown ({error})"
        return _PricedModels(models=models, pricing=pricing, balance=balance)
    finally:
        await http.aclose()
