"""`overshoot-flow serve`: the local Overshoot server."""

from __future__ import annotations

import argparse

from overshoot_flow.errors import ConfigurationError
from overshoot_flow_pipelines.commands.common import Subcommands, missing_extra, new_parser

_EXAMPLE = """\
  overshoot-flow serve --port 8090 --engine ocr --key ovs-local
  OVERSHOOT_API_KEY=ovs-local overshoot-flow models --base-url http://127.0.0.1:8090/v0.2
"""
_DEFAULT_CREDITS_CENTS = 1000.0


def add_parser(subcommands: Subcommands) -> None:
    """Add the subcommand."""
    parser = new_parser(
        subcommands,
        "serve",
        "run a local Overshoot server for development: same API, same limits, no model",
        _EXAMPLE,
    )
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=8090, help="0 for a free one (default: 8090)")
    parser.add_argument("--engine", choices=["pixels", "ocr"], default="pixels")
    parser.add_argument(
        "--key",
        action="append",
        metavar="KEY[=CENTS]",
        help="a key that the server accepts, with its credit (default: ovs-local with "
        f"{_DEFAULT_CREDITS_CENTS:g} cents); repeatable. These keys open nothing but this server",
    )
    parser.add_argument(
        "--allow-faults", action="store_true", help="accept fault injection at /_local/faults"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM."""
    try:
        from overshoot_flow.local.server import ServerConfig, serve  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise missing_extra("local", error) from None
    return serve(
        ServerConfig(
            host=options.host,
            port=options.port,
            engine=options.engine,
            keys=dict(_key_and_credit(text) for text in options.key or ["ovs-local"]),
            allow_faults=options.allow_faults,
        )
    )


def _key_and_credit(text: str) -> tuple[str, float]:
    key, _, cents = text.partition("=")
    try:
        credit = float(cents) if cents else _DEFAULT_CREDITS_CENTS
    except ValueError:
        raise ConfigurationError("--key takes KEY or KEY=CENTS, with a number of cents") from None
    if not key:
        raise ConfigurationError("--key takes KEY or KEY=CENTS; the key is empty")
    return key, credit
