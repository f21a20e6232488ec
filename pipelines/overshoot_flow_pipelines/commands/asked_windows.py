"""Arguments about windows that the client makes, and about how their pictures travel."""

from __future__ import annotations

import argparse
from typing import Any

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.protocol.windows import Interval, WindowPlan, Windows
from overshoot_flow.transport_config import Inline, NativeRoom, Transport


def add_window_arguments(parser: argparse.ArgumentParser, *, delivery: str | None = None) -> None:
    """Add what v1 and v1beta can be asked; a fixed `delivery` is no argument."""
    group = parser.add_argument_group(
        "what v1 and v1beta can be asked (--base-url .../v1)",
        "Each window is asked about once. Without --window and --every the windows are those of "
        "--mode.",
    )
    plan = group.add_mutually_exclusive_group()
    plan.add_argument(
        "--window",
        metavar="S[/STRIDE]",
        help="windows of S seconds, one every STRIDE seconds (default: S), of all frames",
    )
    plan.add_argument("--every", metavar="S", help="a single picture, the first of every S seconds")
    group.add_argument(
        "--max-fps", metavar="N", help="frames per second of a --window that are looked at"
    )
    group.add_argument("--system", metavar="TEXT", help="fixed text before the question")
    group.add_argument(
        "--memory",
        type=int,
        default=0,
        metavar="N",
        help="earlier answers about the same file that are given as context",
    )
    if delivery is None:
        group.add_argument(
            "--delivery",
            choices=["live", "inline"],
            default="live",
            help="live: the video is published into a stream, in real time; inline: the pictures "
            "of a window travel in its question, as fast as the service answers (default: "
            "%(default)s)",
        )
    else:
        parser.set_defaults(delivery=delivery)
    group.add_argument(
        "--jpeg-quality",
        type=int,
        default=Inline().jpeg_quality,
        metavar="1-100",
        help="of pictures in questions (default: %(default)s)",
    )
    group.add_argument(
        "--max-in-flight",
        type=int,
        default=16,
        metavar="N",
        help="questions under way at one time (default: %(default)s)",
    )


def window_plan(options: argparse.Namespace) -> WindowPlan | None:
    """Return the windows that were asked for, or None for those of the mode.

    Raises:
        ConfigurationError: A number is none, or `--max-fps` has no window.
    """
    if options.window is not None:
        length_s, _, stride_s = options.window.partition("/")
        return Windows(length_s, stride_s or None, options.max_fps)
    if options.max_fps is not None:
        raise ConfigurationError("--max-fps is about the frames of a --window: give one")
    return None if options.every is None else Interval(options.every)


def asked_in_v1(options: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of `Inference` that v0.2 does not know."""
    return {
        "windows": window_plan(options),
        "system": options.system,
        "memory": options.memory,
    }


def transport(options: argparse.Namespace) -> Transport:
    """Return how the video travels."""
    if options.delivery == "live":
        return NativeRoom()
    return Inline(jpeg_quality=options.jpeg_quality)


def shows_whole_windows(options: argparse.Namespace) -> bool:
    """Whether all pictures of a window travel with its question, so that none need be decoded."""
    is_whole = options.window is not None and options.max_fps is None and options.fps is None
    return options.delivery == "inline" and is_whole
