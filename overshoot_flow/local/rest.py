"""The HTTP endpoints of the v0.2 API."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from overshoot_flow.local.api_errors import invalid
from overshoot_flow.local.http_layer import API_PREFIX, HttpLayer, json_body
from overshoot_flow.local.models import Models
from overshoot_flow.local.stream import Stream
from overshoot_flow.local.stream_request import parse_stream_request, prompt_text
from overshoot_flow.local.streams import Streams


class RestApi:
    """Handlers of the v0.2 endpoints.

    Args:
        http: Authentication.
        streams: The streams.
        models: The models.
        lease_ttl_s: What the lease says.
    """

    def __init__(
        self, http: HttpLayer, streams: Streams, models: Models, lease_ttl_s: float
    ) -> None:
        self._http = http
        self._streams = streams
        self._models = models
        self._lease_ttl_s = lease_ttl_s

    def routes(self) -> Iterable[web.RouteDef]:
        """The endpoints."""
        stream = f"{API_PREFIX}/streams/{{stream_id}}"
        return (
            web.post(f"{API_PREFIX}/streams", self.create),
            web.post(f"{stream}/keepalive", self.keepalive),
            web.patch(f"{stream}/config/prompt", self.change_prompt),
            web.delete(stream, self.delete),
            web.get(f"{API_PREFIX}/models", self.list_models),
        )

    async def create(self, request: web.Request) -> web.Response:
        """`POST /streams`."""
        account = self._http.account(request)
        new = await self._streams.create(account, parse_stream_request(await json_body(request)))
        livekit = webrtc = None
        if new.publish_token is not None:
            livekit = {"url": f"ws://{request.host}", "token": new.publish_token}
        if new.answer_sdp is not None:
            webrtc = {"type": "answer", "sdp": new.answer_sdp}
        body: dict[str, object] = {
            "stream_id": new.stream.id,
            "livekit": livekit,
            "lease": {"ttl_seconds": _whole(self._lease_ttl_s)},
            "webrtc": webrtc,
            "turn_servers": None if webrtc is None else [],
        }
        return web.json_response(body, status=201)

    async def keepalive(self, request: web.Request) -> web.Response:
        """`POST /streams/{id}/keepalive`."""
        stream = self._stream(request)
        charge = stream.keepalive()
        return web.json_response(
            {
                "status": "ok",
                "stream_id": stream.id,
                "ttl_seconds": _whole(self._lease_ttl_s),
                "credits_remaining_cents": stream.account.credits_cents,
                "cost_cents": charge.cost_cents,
                "seconds_charged": charge.seconds,
                "livekit_token": self._streams.publish_token(stream),
            }
        )

    async def change_prompt(self, request: web.Request) -> web.Response:
        """`PATCH /streams/{id}/config/prompt`."""
        stream = self._stream(request)
        body = await json_body(request)
        if not isinstance(body, dict):
            raise invalid("body", "must be a JSON object")
        return web.json_response(stream.change_prompt(prompt_text(body, "prompt")))

    async def delete(self, request: web.Request) -> web.Response:
        """`DELETE /streams/{id}`: answers when the stream is closed."""
        stream = self._stream(request)
        stream.end("client_requested")
        await stream.closed.wait()
        return web.json_response({"status": "ok"})

    async def list_models(self, request: web.Request) -> web.Response:
        """`GET /models`."""
        self._http.account(request)
        return web.json_response(self._models.listing())

    def _stream(self, request: web.Request) -> Stream:
        account = self._http.account(request)
        return self._streams.find(account, request.match_info["stream_id"])


def _whole(seconds: float) -> float:
    """Write 45.0 as 45, as the service does."""
    return int(seconds) if seconds.is_integer() else seconds
