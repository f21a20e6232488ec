"""`overshoot-flow check`: try every camera and service of a fleet file."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from rich.console import Console

from overshoot_flow.errors import FleetFileError, MediaError
from overshoot_flow_connectors.fleet import load_fleet
from overshoot_flow_connectors.fleet_model import Fleet, FleetCamera, FleetService
from overshoot_flow_pipelines.check_camera import CheckLimits, watch_camera
from overshoot_flow_pipelines.check_report import (
    CameraCheck,
    FleetCheck,
    ServiceCheck,
    as_json,
    as_tables,
)
from overshoot_flow_pipelines.check_service import ask_service, models_asked
from overshoot_flow_pipelines.commands.common import Subcommands, new_parser
from overshoot_flow_pipelines.summary import EXIT_FAILED, EXIT_OK, EXIT_USAGE

_EXAMPLE = """\
  export OVERSHOOT_API_KEY=... GATE_PASSWORD=...
  overshoot-flow check fleet.toml
"""
_MOST_AT_ONCE: Final = 256
"""Cameras that are watched at once; each takes a thread that mostly waits."""
_WIDTH_WITHOUT_TERMINAL: Final = 160


def add_parser(subcommands: Subcommands) -> None:
    """Add the subcommand."""
    parser = new_parser(
        subcommands,
        "check",
        "check a fleet file, and try every camera and service in it",
        _EXAMPLE,
    )
    defaults = CheckLimits()
    parser.add_argument("fleet", type=Path, metavar="FLEET", help="the fleet file (TOML)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument(
        "--timeout",
        type=float,
        default=defaults.timeout_s,
        metavar="S",
        help="how long a camera or service may be silent (default: %(default)s)",
    )
    parser.add_argument(
        "--watch",
        type=float,
        default=defaults.watch_s,
        metavar="S",
        help="how long a camera is watched at most (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print what was found; 0: all good, 1: something failed, 2: the file is wrong."""
    limits = CheckLimits(timeout_s=options.timeout, watch_s=options.watch)
    try:
        fleet = load_fleet(options.fleet)
    except FleetFileError as error:
        # Without the program's name in front, editors find the line.
        sys.stderr.write(f"{error}\n")
        if options.json:
            _print_json({"ok": False, "problems": error.problems})
        return EXIT_USAGE
    what = f"checking {len(fleet.cameras)} cameras and {len(fleet.services)} services"
    with Console(stderr=True).status(what):
        check = asyncio.run(check_fleet(fleet, limits))
    if options.json:
        _print_json(as_json(check))
    else:
        console = Console()
        if not console.is_terminal:
            console = Console(width=_WIDTH_WITHOUT_TERMINAL)
        console.print(as_tables(check))
    return EXIT_OK if check.is_good else EXIT_FAILED


async def check_fleet(fleet: Fleet, limits: CheckLimits) -> FleetCheck:
    """Try all cameras and services at the same time."""
    stopping = threading.Event()
    at_once = min(len(fleet.cameras), _MOST_AT_ONCE)
    with ThreadPoolExecutor(at_once, thread_name_prefix="check") as threads:
        loop = asyncio.get_running_loop()
        try:
            cameras = [
                loop.run_in_executor(threads, _check_camera, camera, limits, stopping)
                for camera in fleet.cameras
            ]
            services = [_check_service(fleet, service, limits) for service in fleet.services]
            return FleetCheck(
                services=tuple(await asyncio.gather(*services)),
                cameras=tuple(await asyncio.gather(*cameras)),
            )
        finally:
            # Leaving waits for the threads: soon when they need not watch to the end.
            stopping.set()


def _check_camera(
    camera: FleetCamera, limits: CheckLimits, stopping: threading.Event
) -> CameraCheck:
    try:
        facts = watch_camera(camera, limits, stopping)
    except MediaError as error:
        return CameraCheck(camera=camera, facts=None, problem=str(error))
    return CameraCheck(camera=camera, facts=facts, problem=None)


async def _check_service(fleet: Fleet, service: FleetService, limits: CheckLimits) -> ServiceCheck:
    facts = await ask_service(service, models_asked(fleet, service), limits.timeout_s)
    return ServiceCheck(service=service, facts=facts)


def _print_json(document: object) -> None:
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
