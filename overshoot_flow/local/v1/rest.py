"""The HTTP endpoints of v1 and v1beta, and of billing, which has no generation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

from aiohttp import web

from overshoot_flow.local.accounts import Account
from overshoot_flow.local.api_errors import ApiError
from overshoot_flow.local.http_layer import V1_GENERATIONS, HttpLayer, json_body
from overshoot_flow.local.models import Models
from overshoot_flow.local.server_config import ServerConfig
from overshoot_flow.local.stream import Surroundings
from overshoot_flow.local.v1.chat import Chat, ChatRecord
from overshoot_flow.local.v1.chat_request import ChatQuestion, parse_chat_question
from overshoot_flow.local.v1.config import REGIONS
from overshoot_flow.local.v1.errors import V1Error, validation_error, wrong_region
from overshoot_flow.local.v1.rate_window import RateWindow
from overshoot_flow.local.v1.stream import V1Stream
from overshoot_flow.local.v1.streams import V1Streams
from overshoot_flow.protocol.v1 import REGION_HEADER
from overshoot_flow.protocol.v1_models import MICROCENTS_PER_CENT

_OWNER: Final = "local"


class V1Api:
    """Handlers of the endpoints.

    Args:
        http: Authentication.
        streams: The streams.
        models: The models.
        chat: Who answers.
        surroundings: The configuration and the clock.
    """

    def __init__(
        self,
        http: HttpLayer,
        streams: V1Streams,
        models: Models,
        chat: Chat,
        surroundings: Surroundings,
    ) -> None:
        self._http = http
        self._streams = streams
        self._models = models
        self._chat = chat
        self._config: ServerConfig = surroundings.config
        self._clock = surroundings.clock
        self._rates: dict[int, RateWindow] = {}

    def routes(self) -> Iterable[web.RouteDef]:
        """The endpoints."""
        for generation in V1_GENERATIONS:
            stream = f"/{generation}/streams/{{stream_id}}"
            yield web.post(f"/{generation}/streams", self._with(generation, self._create))
            yield web.get(stream, self.status, allow_head=False)
            yield web.post(f"{stream}/keepalive", self.keepalive)
            yield web.delete(stream, self.delete)
            yield web.get(f"/{generation}/models", self.list_models)
            yield web.post(
                f"/{generation}/chat/completions", self._with(generation, self._complete)
            )
        yield web.get("/billing/pricing", self.list_pricing)
        # A model's id may have a slash, sent as it is or escaped.
        yield web.get("/billing/pricing/{model:.+}", self.pricing)
        yield web.get("/billing/accounts/me/balance", self.balance)

    @staticmethod
    def _with(
        generation: str, handler: Callable[[web.Request, str], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await handler(request, generation)

        return handle

    async def _create(self, request: web.Request, generation: str) -> web.StreamResponse:
        account = self._http.account(request)
        stream, token = self._streams.create(account, generation, _region(request))
        body = {
            "id": stream.id,
            "state": "active",
            "publish": _publish(request, token),
            "expires_at_ms": round(stream.lease_expires_s * 1000),
            "ttl_seconds": _whole(stream.lease_ttl_s),
        }
        return _answer(body, stream.region, status=201)

    async def status(self, request: web.Request) -> web.Response:
        """`GET /streams/{id}`."""
        account = self._http.account(request)
        stream = self._streams.find_any(account, request.match_info["stream_id"])
        _check_region(request, stream)
        return _answer(stream.status(), stream.region)

    async def keepalive(self, request: web.Request) -> web.Response:
        """`POST /streams/{id}/keepalive`."""
        account = self._http.account(request)
        stream = self._streams.find(account, request.match_info["stream_id"])
        _check_region(request, stream)
        stream.keepalive()
        status = stream.status()
        body = {name: status[name] for name in ("id", "expires_at_ms", "stream_time_ms")}
        body["ttl_seconds"] = _whole(stream.lease_ttl_s)
        body["publish"] = _publish(request, self._streams.publish_token(stream))
        return _answer(body, stream.region)

    async def delete(self, request: web.Request) -> web.Response:
        """`DELETE /streams/{id}`: answers when the stream is closed; repeating it is harmless."""
        account = self._http.account(request)
        stream = self._streams.find_any(account, request.match_info["stream_id"])
        _check_region(request, stream)
        stream.end("client_requested")
        await stream.closed.wait()
        return _answer({"id": stream.id, "deleted": True}, stream.region)

    async def list_models(self, _request: web.Request) -> web.Response:
        """`GET /models`, which needs no key."""
        data = [
            {
                "id": entry["model"],
                "object": "model",
                "created": 0,
                "owned_by": _OWNER,
                "status": "ready" if entry["ready"] else "unavailable",
            }
            for entry in self._models.listing()
        ]
        return _answer({"object": "list", "data": data}, REGIONS[0])

    async def list_pricing(self, _request: web.Request) -> web.Response:
        """`GET /billing/pricing`, which needs no key."""
        data = [self._price(entry["model"]) for entry in self._models.listing()]
        return web.json_response({"data": data})

    async def pricing(self, request: web.Request) -> web.Response:
        """`GET /billing/pricing/{model}`, which needs no key."""
        model = request.match_info["model"]
        if model not in {entry["model"] for entry in self._models.listing()}:
            raise ApiError(404, "not_found", f"{model!r} is not a model")
        return web.json_response(self._price(model))

    async def balance(self, request: web.Request) -> web.Response:
        """`GET /billing/accounts/me/balance`."""
        account = self._http.account(request)
        microcents = round(account.credits_cents * MICROCENTS_PER_CENT)
        cents = microcents // MICROCENTS_PER_CENT
        return web.json_response({"balance_microcents": microcents, "balance_cents": cents})

    async def _complete(self, request: web.Request, generation: str) -> web.StreamResponse:
        record = self._chat.note(generation, request.headers.get(REGION_HEADER, REGIONS[0]))
        headers: Mapping[str, str] = {}
        try:
            account = self._http.account(request)
            headers = self._rate(account).count(self._clock.now_s())
            _region(request)
            question = parse_chat_question(await json_body(request))
            response = await self._answered(request, account, question, record, headers)
        except ApiError as error:
            record.status, record.code = error.status, error.code
            if isinstance(error, V1Error):
                error.headers = {**headers, **error.headers}
            raise
        record.status = response.status
        return response

    async def _answered(
        self,
        request: web.Request,
        account: Account,
        question: ChatQuestion,
        record: ChatRecord,
        headers: Mapping[str, str],
    ) -> web.StreamResponse:
        completion = await self._chat.answer(account, question, record)
        if not question.stream:
            return _answer(completion.document(), record.region, headers=headers)
        response = web.StreamResponse(
            headers={
                **headers,
                REGION_HEADER: record.region,
                "content-type": "text/event-stream",
                "cache-control": "no-cache",
            }
        )
        await response.prepare(request)
        for event in completion.events(include_usage=question.include_usage):
            await response.write(event)
        await response.write_eof()
        return response

    def _rate(self, account: Account) -> RateWindow:
        config = self._config.v1
        return self._rates.setdefault(
            id(account), RateWindow(config.requests_per_window, config.rate_window_s)
        )

    def _price(self, model: str) -> dict[str, Any]:
        config = self._config.v1
        return {
            "model": model,
            "input_microcents_per_token": config.input_microcents_per_token,
            "output_microcents_per_token": config.output_microcents_per_token,
            "cached_input_microcents_per_token": config.cached_input_microcents_per_token,
        }


def _region(request: web.Request) -> str:
    region = request.headers.get(REGION_HEADER, REGIONS[0])
    if region not in REGIONS:
        raise validation_error(("header", REGION_HEADER), f"must be one of {', '.join(REGIONS)}")
    return region


def _check_region(request: web.Request, stream: V1Stream) -> None:
    requested = _region(request)
    if requested != stream.region:
        raise wrong_region(stream.region, requested)


def _publish(request: web.Request, token: str) -> dict[str, str]:
    return {"type": "livekit", "url": f"ws://{request.host}", "token": token}


def _answer(
    body: dict[str, Any],
    region: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    return web.json_response(
        body, status=status, headers={**(headers or {}), REGION_HEADER: region}
    )


def _whole(seconds: float) -> float:
    """Write 300.0 as 300, as the service does."""
    return int(seconds) if float(seconds).is_integer() else seconds
