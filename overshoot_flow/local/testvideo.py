"""Generates test videos: every frame stamped with its index, with readable text that changes."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Final, cast

import av
import av.error
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream

from overshoot_flow.errors import ConfigurationError, MediaError
from overshoot_flow.local.scene import PatternText, Plane, Scene, text_at, values_at
from overshoot_flow.local.stamp import MAX_INDEX, MIN_HEIGHT, MIN_WIDTH

__all__ = ["PatternText", "VideoFacts", "VideoSpec", "generate", "text_at", "values_at"]

# No AV1: at usable speeds its encoder smears single stamps away.
_ENCODERS: Final = MappingProxyType({"h264": "libx264", "hevc": "libx265", "vp9": "libvpx-vp9"})
_FORMATS: Final = MappingProxyType({".mp4": "mp4", ".mkv": "matroska"})
# Speed before size: a test waits for its video, nobody keeps it.
_ENCODER_OPTIONS: Final = MappingProxyType(
    {
        "h264": {"preset": "veryfast", "sc_threshold": "0", "b_strategy": "0"},
        "hevc": {"preset": "ultrafast", "x265-params": "log-level=error:scenecut=0:b-adapt=0"},
        "vp9": {"deadline": "realtime", "cpu-used": "8", "row-mt": "1"},
    }
)
_QUARTER_TURNS: Final = frozenset({90, 270})
_ROTATIONS: Final = _QUARTER_TURNS | {0, 180}
_MAX_SIDE: Final = 8192
_MAX_B_FRAMES: Final = 8
_MAX_FPS: Final = 240
_MAX_CRF: Final = 51
_MIN_BITRATE_BPS: Final = 10_000
# Fine enough to be exact for 24, 25, 30, 50, 60 and the 1001 rates.
_TIME_BASE: Final = Fraction(1, 90_000)
_AUDIO_RATE_HZ: Final = 48_000
_AUDIO_FRAME_SAMPLES: Final = 1024
_TONE_HZ: Final = 440


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoSpec:
    """What to generate.

    Args:
        width: Width in pixels as shown, even, at least 160.
        height: Height in pixels as shown, even, at least 90.
        fps: Frames per second.
        duration_s: Length in seconds; the number of frames is rounded.
        gop: Frames from one key frame to the next.
        codec: `h264`, `hevc` or `vp9`.
        b_frames: B-frames between two reference frames; `vp9` has none and ignores it.
        text: Whether the frames carry text.
        crf: Constant quality of the encoder; smaller is better. Unused with `bitrate_bps`.
        bitrate_bps: Target bit rate instead of constant quality, or None.
        first_pts_s: Presentation time of the first frame in seconds.
        rotation_degrees: Counterclockwise turn that a player applies, written as metadata: 0, 90,
            180 or 270. The stored pictures are turned the other way, so the shown ones are upright.
        audio: Whether there is also an audio track (a quiet tone).

    Raises:
        ConfigurationError: A value cannot be encoded; the text says which and what is possible.
    """

    width: int = 1280
    height: int = 720
    fps: int | Fraction = 30
    duration_s: float = 10.0
    gop: int = 60
    codec: str = "h264"
    b_frames: int = 2
    text: bool = True
    crf: int = 23
    bitrate_bps: int | None = None
    first_pts_s: float = 0.0
    rotation_degrees: int = 0
    audio: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be encoded or would not be readable."""
        self._require("codec", self.codec in _ENCODERS, f"one of {', '.join(_ENCODERS)}")
        self._require("width", self.width % 2 == 0, "even")
        self._require("width", MIN_WIDTH <= self.width <= _MAX_SIDE, f"{MIN_WIDTH} to {_MAX_SIDE}")
        self._require("height", self.height % 2 == 0, "even")
        self._require(
            "height", MIN_HEIGHT <= self.height <= _MAX_SIDE, f"{MIN_HEIGHT} to {_MAX_SIDE}"
        )
        self._require("fps", 0 < self.fps <= _MAX_FPS, f"above 0 and at most {_MAX_FPS}")
        self._require("duration_s", math.isfinite(self.duration_s), "a finite number")
        self._require(
            "duration_s", 1 <= self.frames <= MAX_INDEX + 1, f"1 to {MAX_INDEX + 1} frames long"
        )
        self._require("gop", self.gop >= 1, "at least 1")
        self._require("b_frames", 0 <= self.b_frames <= _MAX_B_FRAMES, f"0 to {_MAX_B_FRAMES}")
        self._require("crf", 0 <= self.crf <= _MAX_CRF, f"0 to {_MAX_CRF}")
        self._require(
            "bitrate_bps",
            self.bitrate_bps is None or self.bitrate_bps >= _MIN_BITRATE_BPS,
            f"None or at least {_MIN_BITRATE_BPS}",
        )
        self._require("first_pts_s", 0 <= self.first_pts_s < math.inf, "0 or more")
        self._require("rotation_degrees", self.rotation_degrees in _ROTATIONS, "0, 90, 180 or 270")

    def _require(self, name: str, holds: bool, what: str) -> None:  # noqa: FBT001 (a condition)
        if not holds:
            raise ConfigurationError(f"{name} {getattr(self, name)!r} must be {what}")

    @property
    def frames(self) -> int:
        """Number of frames, stamped 0, 1, 2 and so on."""
        return round(Fraction(self.duration_s) * Fraction(self.fps))


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFacts:
    """What was generated.

    Attributes:
        path: The finished file.
        frames: Number of frames, stamped `0` to `frames - 1`.
        width: Width in pixels as shown.
        height: Height in pixels as shown.
        size_bytes: Size of the file.
    """

    path: Path
    frames: int
    width: int
    height: int
    size_bytes: int


def generate(path: str | os.PathLike[str], spec: VideoSpec) -> VideoFacts:
    """Write the test video that `spec` describes to `path` (`.mp4` or `.mkv`).

    The file appears under its name when it is complete; an existing one is replaced.

    Raises:
        ConfigurationError: The suffix is unknown, the folder does not exist, or the container
            cannot say what is asked for.
        MediaError: The file could not be encoded or written.
    """
    target = Path(path)
    container_format = _FORMATS.get(target.suffix.lower())
    if container_format is None:
        raise ConfigurationError(f"{target.name!r} must end in {' or '.join(_FORMATS)}")
    if not target.parent.is_dir():
        raise ConfigurationError(f"the folder {target.parent} does not exist; create it first")
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with av.open(partial, "w", format=container_format) as container:
            _write(container, spec)
        partial.replace(target)
    except (av.error.FFmpegError, OSError) as error:
        raise MediaError(f"cannot write the test video {target.name}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return VideoFacts(
        path=target,
        frames=spec.frames,
        width=spec.width,
        height=spec.height,
        size_bytes=target.stat().st_size,
    )


def _write(container: OutputContainer, spec: VideoSpec) -> None:
    video = _add_video(container, spec)
    audio = _add_audio(container) if spec.audio else None
    scene = Scene(width=spec.width, height=spec.height, fps=spec.fps, text=spec.text)
    frame_s = 1 / Fraction(spec.fps)
    first_pts_s = Fraction(spec.first_pts_s)
    samples_written = 0
    for index in range(spec.frames):
        frame = _picture(scene.frame(index), spec.rotation_degrees)
        frame.time_base = _TIME_BASE
        frame.pts = round((first_pts_s + index * frame_s) / _TIME_BASE)
        frame.duration = round(frame_s / _TIME_BASE)
        container.mux(video.encode(frame))
        while audio is not None and samples_written < (index + 1) * frame_s * _AUDIO_RATE_HZ:
            container.mux(audio.encode(_tone(samples_written, first_pts_s)))
            samples_written += _AUDIO_FRAME_SAMPLES
    container.mux(video.encode(None))
    if audio is not None:
        container.mux(audio.encode(None))


def _add_video(container: OutputContainer, spec: VideoSpec) -> VideoStream:
    """Add the video track, set up so that GOP and B-frames are what `spec` says, not adaptive."""
    options = dict(_ENCODER_OPTIONS[spec.codec])
    if spec.codec == "h264":
        options |= {"keyint_min": str(spec.gop), "bf": str(spec.b_frames)}
    if spec.codec == "hevc":
        options["x265-params"] += (
            f":keyint={spec.gop}:min-keyint={spec.gop}:bframes={spec.b_frames}"
        )
    if spec.bitrate_bps is None:
        options["crf"] = str(spec.crf)
    elif spec.codec == "h264":
        # One second of buffer: what a real-time sender would be allowed.
        options |= {"maxrate": str(spec.bitrate_bps), "bufsize": str(spec.bitrate_bps)}
    # PyAV knows the stream's type only for encoder names that are literals.
    stream = cast(
        "VideoStream",
        container.add_stream(_ENCODERS[spec.codec], rate=Fraction(spec.fps), options=options),
    )
    turned = spec.rotation_degrees in _QUARTER_TURNS
    stream.width, stream.height = (spec.height, spec.width) if turned else (spec.width, spec.height)
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = _TIME_BASE
    stream.codec_context.gop_size = spec.gop
    stream.codec_context.bit_rate = spec.bitrate_bps or 0
    if spec.rotation_degrees:
        stream.set_display_rotation(spec.rotation_degrees)
    return stream


def _picture(planes: tuple[Plane, Plane, Plane], rotation_degrees: int) -> av.VideoFrame:
    """Pack planes into a frame, turned so that the player's turn makes them upright again."""
    turned = [np.rot90(plane, -rotation_degrees // 90) for plane in planes]
    height, width = turned[0].shape
    packed = np.concatenate([plane.ravel() for plane in turned])
    return av.VideoFrame.from_ndarray(packed.reshape(height * 3 // 2, width), format="yuv420p")


def _add_audio(container: OutputContainer) -> AudioStream:
    return container.add_stream("aac", rate=_AUDIO_RATE_HZ, layout="mono")


def _tone(first_sample: int, first_pts_s: Fraction) -> av.AudioFrame:
    phase = np.arange(first_sample, first_sample + _AUDIO_FRAME_SAMPLES) / _AUDIO_RATE_HZ
    tone = 0.1 * np.sin(2 * np.pi * _TONE_HZ * phase, dtype=np.float32)
    frame = av.AudioFrame.from_ndarray(tone[np.newaxis], format="fltp", layout="mono")
    frame.sample_rate = _AUDIO_RATE_HZ
    frame.time_base = Fraction(1, _AUDIO_RATE_HZ)
    frame.pts = first_sample + round(first_pts_s * _AUDIO_RATE_HZ)
    return frame
