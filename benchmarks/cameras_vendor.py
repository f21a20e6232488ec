"""The vendor's pattern: FFmpeg pipes raw pictures, LiveKit's SDK encodes all of them again.

    ffmpeg -rtsp_transport tcp -i URL -f rawvideo -pix_fmt nv12 -

What could be dear here without being the pattern's fault is left out: one process for all cameras,
a blocking thread per pipe that reads into one buffer, and one layer instead of three.
"""

from __future__ import annotations

import asyncio
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx
from livekit import rtc
from livekit.rtc._proto.room_pb2 import DEGRADATION_PREFERENCE_MAINTAIN_RESOLUTION

from overshoot_flow.config import Service
from overshoot_flow.transport.native_threads import give_up_real_time

MAX_BITRATE = 2_000_000
_STATISTICS_INTERVAL_S = 1.0
_RENEWAL_INTERVAL_S = 15.0
_THREADS_INTERVAL_S = 0.5
_BEGUN_PICTURES = 30
_US_PER_S = 1_000_000
_REQUEST = {
    "mode": "frame",
    "source": {"type": "native"},
    "processing": {"interval_seconds": 1.0},
    "inference": {"prompt": "What is there?", "backend": "overshoot", "model": "Qwen/Qwen3.5-9B"},
}


@dataclass
class _Camera:
    """One camera: FFmpeg, the thread that reads its pictures, and what has left since when."""

    url: str
    width: int
    height: int
    fps: int
    sent: list[tuple[int, int]] = field(default_factory=list)
    room: rtc.Room | None = None
    ffmpeg: subprocess.Popen[bytes] | None = None
    thread: threading.Thread | None = None

    async def begin(self, url: str, token: str) -> rtc.LocalVideoTrack:
        # Not before: a room belongs to the event loop in which it is made.
        self.room = room = rtc.Room()
        await room.connect(url, token, rtc.RoomOptions(auto_subscribe=False))
        source = rtc.VideoSource(self.width, self.height)
        track = rtc.LocalVideoTrack.create_video_track("video", source)
        options = rtc.TrackPublishOptions(
            source=rtc.TrackSource.SOURCE_CAMERA,
            simulcast=False,
            video_encoding=rtc.VideoEncoding(max_bitrate=MAX_BITRATE, max_framerate=self.fps),
            degradation_preference=DEGRADATION_PREFERENCE_MAINTAIN_RESOLUTION,
        )
        await room.local_participant.publish_track(track, options)
        command = ["ffmpeg", "-nostdin", "-loglevel", "error"]
        command += ["-rtsp_transport", "tcp", "-i", self.url, "-f", "rawvideo", "-pix_fmt", "nv12"]
        # Its pipe is read by a thread: asyncio's reader would copy each picture several times.
        self.ffmpeg = subprocess.Popen(  # noqa: ASYNC220 - see above
            [*command, "-"], stdout=subprocess.PIPE, bufsize=0
        )
        self.thread = threading.Thread(target=self._read, args=(source,), name=self.url)
        self.thread.start()
        return track

    def _read(self, source: rtc.VideoSource) -> None:
        pipe = None if self.ffmpeg is None else self.ffmpeg.stdout
        picture = bytearray(self.width * self.height * 3 // 2)
        view = memoryview(picture)
        while pipe is not None:
            filled = 0
            while filled < len(picture):
                count = pipe.readinto(view[filled:])  # type: ignore[attr-defined] - a raw file, as bufsize=0 says
                if not count:
                    return
                filled += count
            source.capture_frame(
                rtc.VideoFrame(self.width, self.height, rtc.VideoBufferType.NV12, picture)
            )

    async def end(self) -> None:
        if self.ffmpeg is not None:
            self.ffmpeg.kill()
            await asyncio.to_thread(self.ffmpeg.wait)
        if self.thread is not None:
            await asyncio.to_thread(self.thread.join)
        if self.room is not None:
            await self.room.disconnect()


class VendorProgram:
    """All cameras, in an event loop of the calling thread, until `stop`."""

    def __init__(
        self, urls: Sequence[str], service: Service, *, width: int, height: int, fps: int
    ) -> None:
        self._cameras = [_Camera(url=url, width=width, height=height, fps=fps) for url in urls]
        self._service = service
        self._stop = threading.Event()

    def run(self) -> None:
        asyncio.run(self._run())

    def stop(self) -> None:
        self._stop.set()

    def expected_pictures_per_s(self, fps: int) -> int:
        return fps

    def begun(self) -> bool:
        """Whether every camera's pictures leave."""
        return all(
            camera.sent and camera.sent[-1][1] >= _BEGUN_PICTURES for camera in self._cameras
        )

    def pictures_per_s(self, from_us: int, until_us: int) -> float:
        """Return how many pictures a second left, all cameras together."""
        total = 0.0
        for camera in self._cameras:
            within = [entry for entry in list(camera.sent) if from_us <= entry[0] <= until_us]
            if len(within) > 1:
                (first_us, first), (last_us, last) = within[0], within[-1]
                total += (last - first) / (last_us - first_us) * _US_PER_S
        return total

    def passed_through(self) -> int:
        return 0

    async def _run(self) -> None:
        headers = {"Authorization": f"Bearer {self._service.key.reveal()}"}
        async with httpx.AsyncClient(headers=headers, base_url=self._service.base_url) as http:
            try:
                async with asyncio.TaskGroup() as tasks:
                    watching = [
                        tasks.create_task(self._watch(http, camera)) for camera in self._cameras
                    ]
                    while not await asyncio.to_thread(self._stop.wait, _THREADS_INTERVAL_S):
                        give_up_real_time()
                    for task in watching:
                        task.cancel()
            finally:
                await asyncio.gather(*(camera.end() for camera in self._cameras))

    async def _watch(self, http: httpx.AsyncClient, camera: _Camera) -> None:
        stream = (await http.post("/streams", json=_REQUEST)).raise_for_status().json()
        track = await camera.begin(stream["livekit"]["url"], stream["livekit"]["token"])
        renewed_s = time.monotonic()
        while True:
            await asyncio.sleep(_STATISTICS_INTERVAL_S)
            for entry in await track.get_stats():
                if entry.HasField("outbound_rtp"):
                    sent = entry.outbound_rtp.outbound.frames_sent
                    camera.sent.append((time.time_ns() // 1000, sent))
            if time.monotonic() - renewed_s > _RENEWAL_INTERVAL_S:
                renewed_s = time.monotonic()
                answer = await http.post(f"/streams/{stream['stream_id']}/keepalive")
                answer.raise_for_status()
