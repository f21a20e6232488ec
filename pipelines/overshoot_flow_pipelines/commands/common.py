"""What several subcommands share."""

from __future__ import annotations

import argparse
from typing import Any, TypeAlias

from overshoot_flow.config import DEFAULT_BASE_URL, KEY_VARIABLE, Service, api_key
from overshoot_flow.errors import ConfigurationError
from overshoot_flow.repair_level import Repair

Subcommands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - argparse names no public type


def new_parser(
    subcommands: Subcommands, name: str, description: str, example: str
) -> argparse.ArgumentParser:
    """Add a subcommand whose help ends with `example`."""
    return subcommands.add_parser(
        name,
        help=description,
        description=description,
        epilog=f"example:\n{example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_service_arguments(parser: argparse.ArgumentParser) -> None:
    """Add where it is asked."""
    group = parser.add_argument_group("service")
    group.add_argument(
        "--base-url", default=DEFAULT_BASE_URL, help="root of the API (default: %(default)s)"
    )
    group.add_argument(
        "--api-key-file",
        metavar="FILE",
        help=f"file that holds the API key (default: the variable {KEY_VARIABLE})",
    )


def add_repair_argument(parser: argparse._ActionsContainer) -> None:
    """Add what may be put right in an answer."""
    parser.add_argument(
        "--repair",
        choices=[each.value for each in Repair],
        default=Repair.FENCES.value,
        help="what may be put right in the writing of an answer, each with those before it; "
        "recorded as `repaired` (default: %(default)s)",
    )


def service_from(
    options: argparse.Namespace,
    **settings: Any,  # noqa: ANN401 - those of `Service`
) -> Service:
    """Build the service of `add_service_arguments`; `settings` are further ones of `Service`."""
    return Service(key=api_key(options.api_key_file), base_url=options.base_url, **settings)


def missing_extra(extra: str, error: ImportError) -> ConfigurationError:
    """Say how to install what a subcommand needs beyond the core."""
    return ConfigurationError(
        f"this command needs the extra {extra!r} (no module {error.name}): "
        f"pip install 'overshoot-flow[{extra}]'"
    )
