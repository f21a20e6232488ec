"""`overshoot-flow testvideo`: generate a stamped test video."""

from __future__ import annotations

import argparse
import sys
from fractions import Fraction
from pathlib import Path

from overshoot_flow_pipelines.commands.common import Subcommands, missing_extra, new_parser

_EXAMPLE = """\
  overshoot-flow testvideo demo.mp4 --duration 20 --width 1280 --height 720 --gop 60
"""


def add_parser(subcommands: Subcommands) -> None:
    """Add the subcommand."""
    parser = new_parser(
        subcommands,
        "testvideo",
        "generate a video with a machine-readable stamp in every frame and readable text",
        _EXAMPLE,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="where to write (.mp4 or .mkv)")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument(
        "--fps", type=_fraction, default=Fraction(30), help="such as 25 or 30000/1001"
    )
    parser.add_argument("--duration", type=float, default=10.0, metavar="S")
    parser.add_argument("--gop", type=int, default=60, help="frames between key frames")
    parser.add_argument("--codec", default="h264", help="h264, hevc or vp9 (default: %(default)s)")
    parser.add_argument("--b-frames", type=int, default=2, metavar="N")
    parser.add_argument("--no-text", action="store_true", help="leave the text out")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Generate the video and say what it is."""
    try:
        from overshoot_flow.local.testvideo import VideoSpec, generate  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise missing_extra("local", error) from None
    spec = VideoSpec(
        width=options.width,
        height=options.height,
        fps=options.fps,
        duration_s=options.duration,
        gop=options.gop,
        codec=options.codec,
        b_frames=options.b_frames,
        text=not options.no_text,
    )
    facts = generate(options.file, spec)
    sys.stdout.write(f"{options.file}: {facts.frames} frames, {spec.width}x{spec.height}\n")
    return 0


def _fraction(text: str) -> Fraction:
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number or a fraction") from None
