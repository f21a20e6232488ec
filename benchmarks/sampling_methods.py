"""Ways to take samples out of a file, each as its own documentation recommends for the job.

Run as `python sampling_methods.py METHOD FILE PLAN GOP` in a fresh process: prints one JSON line
with the CPU seconds of all threads, imports excluded. PLAN is frames per second or `keyframes`.
OpenCV, decord2 and torchcodec hand out RGB and have no planar YUV, so their figures contain the
conversion of the samples.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

FILE_FPS = 30
POLL_INTERVAL_S = 0.015
KEYFRAMES = "keyframes"


@dataclass(frozen=True)
class Job:
    """Which samples of which file; `gop` is the distance of its key frames in pictures."""

    path: Path
    plan: str
    gop: int

    def numbers(self, frame_count: int) -> list[int]:
        """The samples as picture numbers of a file with constant frame rate."""
        if self.plan == KEYFRAMES:
            return list(range(0, frame_count, self.gop))
        return list(range(0, frame_count, int(FILE_FPS / Fraction(self.plan))))


Samples = tuple[int, list[Any]]  # how many, and their planes where there are any


def ours(modules: dict[str, ModuleType], job: Job) -> Samples:
    """The reader thread of `FileSource`, polled as its partition polls it."""
    sampling = modules["overshoot_flow.media.sampling"]
    plan = sampling.Keyframes() if job.plan == KEYFRAMES else sampling.FramesPerSecond(job.plan)
    samples: list[Any] = []
    with modules["overshoot_flow.media.reader"].FrameReader(
        job.path, plan, stream_key="benchmark"
    ) as reader:
        while not reader.exhausted:
            samples.extend(frame.data for frame in reader.poll(10))
            time.sleep(POLL_INTERVAL_S)
    return len(samples), samples


def naive_pyav(modules: dict[str, ModuleType], job: Job) -> Samples:
    """Decode everything and pick."""
    samples: list[Any] = []
    with modules["av"].open(str(job.path)) as container:
        stream = container.streams.video[0]
        for frame in container.decode(stream):
            if job.plan == KEYFRAMES:
                is_sample = frame.key_frame
            else:
                is_sample = frame.pts * stream.time_base * Fraction(job.plan) >= len(samples)
            if is_sample:
                samples.append(frame.to_ndarray(format="yuv420p"))
    return len(samples), samples


def pyav_nonkey(modules: dict[str, ModuleType], job: Job) -> Samples:
    """PyAV's documented way to key frames; there is none for a grid."""
    if job.plan != KEYFRAMES:
        raise NotImplementedError("only key frames")
    samples: list[Any] = []
    with modules["av"].open(str(job.path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.skip_frame = "NONKEY"
        samples.extend(frame.to_ndarray(format="yuv420p") for frame in container.decode(stream))
    return len(samples), samples


def opencv_grab(modules: dict[str, ModuleType], job: Job) -> Samples:
    """`grab` every picture, `retrieve` the samples."""
    cv2 = modules["cv2"]
    capture = cv2.VideoCapture(str(job.path), cv2.CAP_FFMPEG)
    wanted = set(job.numbers(int(capture.get(cv2.CAP_PROP_FRAME_COUNT))))
    count = number = 0
    while capture.grab():
        if number in wanted:
            _, _picture = capture.retrieve()
            count += 1
        number += 1
    return count, []


def opencv_seek(modules: dict[str, ModuleType], job: Job) -> Samples:
    """Set the position and `read`."""
    if job.plan != KEYFRAMES and Fraction(job.plan) > 1:
        raise NotImplementedError("decodes from a key frame for every sample: hopeless above 1 fps")
    cv2 = modules["cv2"]
    capture = cv2.VideoCapture(str(job.path), cv2.CAP_FFMPEG)
    count = 0
    for number in job.numbers(int(capture.get(cv2.CAP_PROP_FRAME_COUNT))):
        capture.set(cv2.CAP_PROP_POS_FRAMES, number)
        is_read, _picture = capture.read()
        count += is_read
    return count, []


def decord2(modules: dict[str, ModuleType], job: Job) -> Samples:
    """`get_batch` of the numbers, one decoding thread."""
    decord = modules["decord"]
    reader = decord.VideoReader(str(job.path), ctx=decord.cpu(0), num_threads=1)
    numbers = reader.get_key_indices() if job.plan == KEYFRAMES else job.numbers(len(reader))
    return reader.get_batch(numbers).shape[0], []


def torchcodec(modules: dict[str, ModuleType], job: Job) -> Samples:
    """`get_frames_at` with approximate seeking, one decoding thread."""
    modules["torch"].set_num_threads(1)
    decoder = modules["torchcodec.decoders"].VideoDecoder(
        str(job.path), seek_mode="approximate", num_ffmpeg_threads=1
    )
    batch = decoder.get_frames_at(job.numbers(len(decoder)))
    return len(batch), []


METHODS: dict[str, tuple[Callable[[dict[str, ModuleType], Job], Samples], tuple[str, ...]]] = {
    "ours": (ours, ("overshoot_flow.media.reader", "overshoot_flow.media.sampling")),
    "naive_pyav": (naive_pyav, ("av", "numpy")),
    "pyav_nonkey": (pyav_nonkey, ("av", "numpy")),
    "opencv_grab": (opencv_grab, ("cv2",)),
    "opencv_seek": (opencv_seek, ("cv2",)),
    "decord2": (decord2, ("decord",)),
    "torchcodec": (torchcodec, ("torch", "torchcodec.decoders")),
}


def cpu_s() -> float:
    """CPU seconds of this process so far, all threads, user and system."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def digest_of(samples: list[Any]) -> str | None:
    """Return a digest of all planes, or None where a method has none."""
    digest = hashlib.sha256()
    for planes in samples:
        digest.update(planes)
    return digest.hexdigest() if samples else None


def main() -> None:
    """Measure one method on one job."""
    method, path, plan, gop = sys.argv[1:]
    function, needed = METHODS[method]
    report: dict[str, Any]
    try:
        modules = {name: importlib.import_module(name) for name in needed}
    except (ImportError, OSError, RuntimeError) as error:
        print(json.dumps({"missing": " ".join(str(error).split())[:200]}))
        return
    started_s = cpu_s()
    try:
        count, samples = function(modules, Job(Path(path), plan, int(gop)))
        report = {"cpu_s": cpu_s() - started_s, "count": count, "digest": digest_of(samples)}
    except NotImplementedError as error:
        report = {"missing": str(error)}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
