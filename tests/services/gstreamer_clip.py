"""A camera that sends access units which were encoded before, over and over: that costs little."""

from __future__ import annotations

import glob
import time
from typing import Any

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # noqa: E402 - after require_version

LAUNCH_LINE = (
    "( appsrc name=clip is-live=true format=time max-buffers=50 "
    "leaky-type=downstream caps=video/x-h264,stream-format=byte-stream,alignment=au ! "
    "rtph264pay name=pay0 pt=96 )"
)


class Clip:
    """The pictures of one camera; each of its clients' pipelines starts with the first of them.

    Args:
        pattern: Names of the files with one access unit each; the first one is a key frame.
        fps: Pictures per second.
    """

    def __init__(self, pattern: str, fps: int) -> None:
        self._units = []
        for path in sorted(glob.glob(pattern)):  # noqa: PTH207 - a whole path, not one within a folder
            with open(path, "rb") as file:  # noqa: PTH123 - as above
                self._units.append(GLib.Bytes.new(file.read()))
        self._period_s = 1 / fps

    def play_into(self, media: Any) -> None:
        """Feed `media` for as long as it takes pictures."""
        source = media.get_element().get_by_name("clip")
        number = 0
        begun_s: float | None = None
        begun_ns = 0
        is_over = False

        def push() -> bool:
            nonlocal number, begun_s, begun_ns
            if begun_s is None:
                begun_s, begun_ns = time.monotonic(), source.get_current_running_time()
                if begun_ns == Gst.CLOCK_TIME_NONE:
                    begun_s = None
                    return not is_over
            while begun_s + number * self._period_s <= time.monotonic():
                picture = Gst.Buffer.new_wrapped_bytes(self._units[number % len(self._units)])
                # A camera stamps by when it looks, not by when it gets round to sending.
                picture.pts = begun_ns + round(number * self._period_s * Gst.SECOND)
                number += 1
                flow = source.emit("push-buffer", picture)
                if flow not in (Gst.FlowReturn.OK, Gst.FlowReturn.FLUSHING):
                    return False
            return not is_over

        def stop(_media: Any) -> None:
            nonlocal is_over
            is_over = True

        media.connect("unprepared", stop)
        # Twice as often as pictures come: due times are kept although the timer drifts.
        GLib.timeout_add(round(500 * self._period_s), push)
