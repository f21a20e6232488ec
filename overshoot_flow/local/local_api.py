"""Endpoints for tests, served only with `ServerConfig.allow_faults` and without a key.

`GET /_local/streams` lists every stream, also ended ones: `state`, `end_reason`,
`frames_received`, `width`, `height`, `created_at`, `ended_at`, `keepalives`, and `results` with
`id`, `sent`, `ok`, `facts`, `prompt` of each answer. Streams of v1 and v1beta have `api` and no
results.

`GET /_local/chats` lists every chat completion: `at`, `api`, `region`, `status`, `code`, `model`,
`prompt`, `media`, `frames`, `facts`, `usage`.

`POST /_local/faults` takes `{"kind": …}` and answers `{"status": "ok"}`. With `stream_id` a fault
concerns that stream, else all living ones.

- `room_disconnect`: cut the connection that brings the pictures; with `"permanent": true` the
  stream ends and the room refuses to be joined again.
- `room_kick`: send the publisher of the service's own room away; it may join anew.
- `websocket_drop`: cut the result sockets without a close frame, `count` times.
- `http_errors`: the next `count` API requests whose path begins with `path` answer `status`.
- `http_hang`: the next `count` such requests hang for `duration_s`, then answer 503.
- `model_errors`, `model_not_json`, `model_cut`: the next `count` answers say `ok: false`, are
  not JSON, or are cut with `finish_reason: length`.
- `model_slow`: every answer comes `delay_s` later, until it is set to 0.
- `model_status`: `model` gets the status `status`.
- `chat_errors`: the next `count` chat completions of v1 or v1beta answer `status` with `code`;
  the codes `region_error` (go to the other region), `rate_limited`, `validation_error` and
  `unauthorized` bring their own status, body and headers.
- `expire_lease`: the lease runs out now.
- `no_credit`: the key's credit is 0 from now on.
- `clear`: forget every HTTP and model fault.
"""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from overshoot_flow.local.accounts import Accounts
from overshoot_flow.local.api_errors import stream_not_found
from overshoot_flow.local.faults import FaultOrder, HttpFaults, ModelFaults, parse_fault
from overshoot_flow.local.http_layer import json_body
from overshoot_flow.local.models import Models
from overshoot_flow.local.stream import Stream
from overshoot_flow.local.streams import Streams
from overshoot_flow.local.v1.chat import Chat
from overshoot_flow.local.v1.stream import V1Stream
from overshoot_flow.local.v1.streams import V1Streams


class LocalApi:
    """Handlers of `/_local`.

    Args:
        streams: The streams.
        accounts: The API keys' accounts.
        models: The models.
        http_faults: Where HTTP faults are ordered.
        model_faults: Where model faults are ordered.
        v1_streams: The streams of v1 and v1beta.
        chat: Who answers chat completions.
    """

    def __init__(
        self,
        streams: Streams,
        accounts: Accounts,
        models: Models,
        http_faults: HttpFaults,
        model_faults: ModelFaults,
        *,
        v1_streams: V1Streams,
        chat: Chat,
    ) -> None:
        self._streams = streams
        self._accounts = accounts
        self._models = models
        self._http_faults = http_faults
        self._model_faults = model_faults
        self._v1_streams = v1_streams
        self._chat = chat

    def routes(self) -> Iterable[web.RouteDef]:
        """The endpoints."""
        return (
            web.get("/_local/streams", self.list_streams),
            web.get("/_local/chats", self.list_chats),
            web.post("/_local/faults", self.order_fault),
        )

    async def list_streams(self, _request: web.Request) -> web.Response:
        """`GET /_local/streams`."""
        return web.json_response([*self._streams.report(), *self._v1_streams.report()])

    async def list_chats(self, _request: web.Request) -> web.Response:
        """`GET /_local/chats`."""
        return web.json_response(self._chat.report())

    async def order_fault(self, request: web.Request) -> web.Response:
        """`POST /_local/faults`."""
        self._order(parse_fault(await json_body(request)))
        return web.json_response({"status": "ok"})

    def _order(self, fault: FaultOrder) -> None:
        match fault.kind:
            case "http_errors" | "http_hang":
                self._http_faults.order(fault)
            case "model_status":
                self._models.set_status(fault.model, fault.model_status)
            case "model_errors" | "model_slow" | "model_not_json" | "model_cut":
                self._model_faults.order(fault)
            case "chat_errors":
                self._chat.faults.order(fault)
            case "clear":
                self._http_faults.clear()
                self._model_faults.clear()
                self._chat.faults.clear()
            case "no_credit" if fault.stream_id is None:
                for account in self._accounts.all():
                    account.credits_cents = 0.0
            case _:
                for stream in self._concerned(fault):
                    self._hit(stream, fault)

    def _hit(self, stream: Stream | V1Stream, fault: FaultOrder) -> None:
        match fault.kind:
            case "room_disconnect":
                if isinstance(stream, V1Stream):
                    self._v1_streams.cut_source(stream, permanent=fault.permanent)
                else:
                    self._streams.cut_source(stream, permanent=fault.permanent)
            case "room_kick":
                if isinstance(stream, V1Stream):
                    self._v1_streams.kick_publisher(stream)
                else:
                    self._streams.kick_publisher(stream)
            case "websocket_drop" if isinstance(stream, Stream):
                stream.drop_sockets(fault.count)
            case "expire_lease":
                stream.end("lease_expired")
            case "no_credit":
                stream.account.credits_cents = 0.0

    def _concerned(self, fault: FaultOrder) -> list[Stream | V1Stream]:
        living: list[Stream | V1Stream] = []
        living += self._streams.living()
        living += self._v1_streams.living()
        if fault.stream_id is None:
            return living
        named = [stream for stream in living if stream.id == fault.stream_id]
        if not named:
            raise stream_not_found()
        return named
