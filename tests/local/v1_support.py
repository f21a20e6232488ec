"""A client of the local server's v1 side, and stamped pictures for its streams."""

from __future__ import annotations

import base64
import contextlib
import io
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

import aiohttp
import av
import numpy as np
from local_server_support import KEY, OTHER_KEY

from overshoot_flow.local.engines.base import SeenFrame
from overshoot_flow.local.scene import Scene
from overshoot_flow.local.server import LocalServer, ServerConfig

MODEL = "local/pixels"
WIDTH, HEIGHT = 320, 180
_SCENE = Scene(width=WIDTH, height=HEIGHT, fps=10, text=False)


def picture(stamp: int) -> av.VideoFrame:
    """A picture of the test pattern that says which one it is."""
    planes = np.concatenate([plane.ravel() for plane in _SCENE.frame(stamp)])
    return av.VideoFrame.from_ndarray(planes.reshape(HEIGHT * 3 // 2, WIDTH), format="yuv420p")


def encoded(stamps: Iterable[int], codec: str, container: str) -> bytes:
    """The pictures as a file: `libx264` in `mp4`, `mjpeg` or `png` in `image2pipe`."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=10)
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = {"libx264": "yuv420p", "mjpeg": "yuvj420p", "png": "rgb24"}[codec]
        for number, stamp in enumerate(stamps):
            frame = picture(stamp).reformat(format=stream.pix_fmt)
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return file.getvalue()


def data_url(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


@dataclass
class V1Client:
    """Speaks one generation with the server as one API key."""

    server: LocalServer
    http: aiohttp.ClientSession
    generation: str = "v1"
    key: str = KEY

    async def call(
        self, method: str, path: str, *, region: str | None = None, **options: Any
    ) -> tuple[int, Any]:
        status, body, _ = await self.whole(method, path, region=region, **options)
        return status, body

    async def whole(
        self, method: str, path: str, *, region: str | None = None, **options: Any
    ) -> tuple[int, Any, dict[str, str]]:
        root = "" if path.startswith(("/billing", "/_local")) else f"/{self.generation}"
        headers = {"Authorization": f"Bearer {self.key}"}
        if region is not None:
            headers["X-Overshoot-Region"] = region
        async with self.http.request(
            method, f"{self.server.root_url}{root}{path}", headers=headers, **options
        ) as response:
            told = {name.lower(): value for name, value in response.headers.items()}
            return response.status, await response.json(), told

    async def created(self, region: str | None = None) -> str:
        status, body = await self.call("POST", "/streams", region=region)
        assert status == 201, body
        stream_id: str = body["id"]
        return stream_id

    async def showing(self, *stamps: int) -> str:
        """Create a stream that has received these pictures, ten a second until now."""
        stream_id = await self.created()
        stream = self.server._v1_streams.living_by_id(stream_id)
        assert stream is not None
        first_s = stream._clock.now_s() - len(stamps) / 10
        for number, stamp in enumerate(stamps):
            stream.frames.add(SeenFrame(picture(stamp), first_s + number / 10))
        return stream_id

    async def ask(self, *urls: str, **changes: Any) -> tuple[int, Any]:
        return await self.call("POST", "/chat/completions", json=question(*urls, **changes))

    async def fault(self, **order: Any) -> None:
        assert (await self.call("POST", "/_local/faults", json=order))[0] == 200


def question(*urls: str, **changes: Any) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "text", "text": "what?"}]
    for url in urls:
        is_video = url.startswith("data:video") or "start_" in url
        kind = "video_url" if is_video else "image_url"
        content.append({"type": kind, kind: {"url": url}})
    return {"model": MODEL, "messages": [{"role": "user", "content": content}]} | changes


def code_of(answer: tuple[int, Any]) -> tuple[int, str]:
    """Status and code of a chat error."""
    return answer[0], answer[1]["detail"]["error"]["code"]


@contextlib.asynccontextmanager
async def serving_v1(**knobs: Any) -> AsyncIterator[V1Client]:
    """Run a server with the `pixels` engine and fault injection."""
    defaults: dict[str, Any] = {"keys": {KEY: 100.0, OTHER_KEY: 100.0}, "allow_faults": True}
    async with (
        LocalServer(ServerConfig(**(defaults | knobs))) as server,
        aiohttp.ClientSession() as http,
    ):
        yield V1Client(server, http)
