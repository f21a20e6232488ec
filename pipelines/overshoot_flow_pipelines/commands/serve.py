"""`overshoot-flow serve`: the local Overshoot server."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overshoot_flow.config import DEFAULT_MODEL, api_key
from overshoot_flow.errors import ConfigurationError
from overshoot_flow_pipelines.commands.common import Subcommands, missing_extra, new_parser

if TYPE_CHECKING:
    from overshoot_flow.local.engines.openai import OpenAiEngine

_EXAMPLE = """\
  overshoot-flow serve --port 8090 --engine ocr --key ovs-local
  OVERSHOOT_API_KEY=ovs-local overshoot-flow models --base-url http://127.0.0.1:8090/v0.2
  overshoot-flow serve --engine openai --openai-url http://127.0.0.1:11434/v1
"""
_DEFAULT_CREDITS_CENTS = 1000.0
_OPENAI_THREADS = 16
"""Requests to an endpoint under way; they mostly wait."""


def add_parser(subcommands: Subcommands) -> None:
    """Add the subcommand."""
    parser = new_parser(
        subcommands,
        "serve",
        "run a local Overshoot server for development: same API, same limits, no model of its own",
        _EXAMPLE,
    )
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=8090, help="0 for a free one (default: 8090)")
    parser.add_argument("--engine", choices=["pixels", "ocr", "openai"], default="pixels")
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
    _add_openai_arguments(parser)
    parser.set_defaults(run=run)


def _add_openai_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("engine openai: any OpenAI-compatible endpoint")
    group.add_argument("--openai-url", metavar="URL", help="such as http://127.0.0.1:11434/v1")
    group.add_argument(
        "--openai-model", metavar="NAME", help="its model (default: all that it lists)"
    )
    group.add_argument("--openai-key-file", type=Path, metavar="FILE", help="file with its key")
    group.add_argument(
        "--openai-max-frames", type=int, metavar="N", help="frames in one request (default: 32)"
    )


def run(options: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM."""
    try:
        from overshoot_flow.local.server import ServerConfig, serve  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise missing_extra("local", error) from None
    with _engine(options) as engine:
        return serve(
            ServerConfig(
                host=options.host,
                port=options.port,
                keys=dict(_key_and_credit(text) for text in options.key or ["ovs-local"]),
                allow_faults=options.allow_faults,
                **engine,
            )
        )


@contextlib.contextmanager
def _engine(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Make what `ServerConfig` takes about the engine; the engine lives as long as the block."""
    if options.engine == "openai":
        with _openai_engine(options) as engine:
            yield {
                "engine": engine,
                # Everything that a client can ask: its own default, and the models' own names.
                "model_aliases": (DEFAULT_MODEL, *engine.models),
                "engine_threads": _OPENAI_THREADS,
            }
        return
    if options.openai_url is not None:
        raise ConfigurationError("--openai-url is for --engine openai")
    yield {"engine": options.engine}


def _openai_engine(options: argparse.Namespace) -> OpenAiEngine:
    from overshoot_flow.local.engines.openai import (  # noqa: PLC0415 - an extra
        DEFAULT_MAX_FRAMES,
        OpenAiEngine,
    )

    if options.openai_url is None:
        raise ConfigurationError("--engine openai needs --openai-url URL")
    max_frames = options.openai_max_frames
    return OpenAiEngine(
        options.openai_url,
        model=options.openai_model,
        key=None if options.openai_key_file is None else api_key(options.openai_key_file),
        max_frames=DEFAULT_MAX_FRAMES if max_frames is None else max_frames,
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
