"""Arguments that say what is asked about files, and which of their pictures are looked at."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from overshoot_flow.config import DEFAULT_MODEL, ClipMode, FrameMode, Inference
from overshoot_flow.media.sampling import EveryFrame, FramesPerSecond, SamplingPlan
from overshoot_flow_pipelines.commands.asked_windows import asked_in_v1
from overshoot_flow_pipelines.commands.common import add_repair_argument

_FRAME_MODE_FPS: Final = 10.0


def add_question_arguments(
    parser: argparse.ArgumentParser, *, required: bool, schema_help: str
) -> None:
    """Add the question, and the windows of v0.2; `asked_windows` has those of v1."""
    asked = parser.add_argument_group("what is asked")
    asked.add_argument("--prompt", required=required, help="the question")
    asked.add_argument("--schema", type=Path, metavar="FILE", help=schema_help)
    add_repair_argument(asked)
    asked.add_argument("--model", default=DEFAULT_MODEL, help="default: %(default)s")
    asked.add_argument("--max-output-tokens", type=int, metavar="N", help="cap of an answer")
    windows = parser.add_argument_group("which video an answer looks at")
    windows.add_argument("--mode", choices=["clip", "frame"], default="clip")
    windows.add_argument(
        "--interval", type=float, default=1.0, metavar="S", help="frame mode: time between answers"
    )
    windows.add_argument(
        "--clip-length", type=float, default=0.5, metavar="S", help="clip mode: length of a clip"
    )
    windows.add_argument(
        "--delay", type=float, default=0.5, metavar="S", help="clip mode: time between answers"
    )
    windows.add_argument(
        "--target-fps", type=float, default=6, metavar="N", help="clip mode: frames per second"
    )


def add_sampling_arguments(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add which pictures are looked at; return the group for more of the kind."""
    video = parser.add_argument_group("what is published")
    video.add_argument(
        "--fps",
        type=float,
        metavar="N",
        help="frames per second of media to publish (default: twice --target-fps, "
        f"{_FRAME_MODE_FPS:g} in frame mode, all with --window and --every)",
    )
    video.add_argument("--max-height", type=int, metavar="PIXELS", help="scale down to this height")
    return video


def inference_of(options: argparse.Namespace) -> Inference:
    """Return what is asked.

    Raises:
        ConfigurationError: It cannot be asked.
    """
    mode: ClipMode | FrameMode
    if options.mode == "clip":
        mode = ClipMode(
            target_fps=options.target_fps,
            clip_length_s=options.clip_length,
            delay_s=options.delay,
        )
    else:
        mode = FrameMode(interval_s=options.interval)
    return Inference(
        prompt=options.prompt,
        model=options.model,
        output_schema=options.schema,
        mode=mode,
        max_output_tokens=options.max_output_tokens,
        repair=options.repair,
        **asked_in_v1(options),
    )


def sampling_of(options: argparse.Namespace, inference: Inference) -> SamplingPlan:
    """Return which pictures are read; windows of any form are of all, unless a rate is given."""
    if options.fps is not None:
        return FramesPerSecond(options.fps)
    if inference.windows is not None:
        return EveryFrame()
    mode = inference.mode
    return FramesPerSecond(2 * mode.target_fps if isinstance(mode, ClipMode) else _FRAME_MODE_FPS)
