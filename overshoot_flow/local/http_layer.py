"""What every HTTP answer of the API has in common: error bodies, request ids, ordered faults."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from overshoot_flow.local.accounts import Account, Accounts
from overshoot_flow.local.api_errors import ApiError, not_json, unauthorized
from overshoot_flow.local.faults import HttpFaults, as_error
from overshoot_flow.local.v1.errors import V1Error, body_of

API_PREFIX: Final = "/v0.2"
V1_GENERATIONS: Final = ("v1", "v1beta")
_V1_PREFIXES: Final = (*(f"/{name}/" for name in V1_GENERATIONS), "/billing/")
_API_PREFIXES: Final = (API_PREFIX, *_V1_PREFIXES)

_logger = logging.getLogger(__name__)


class HttpLayer:
    """The middleware in front of the API.

    Args:
        accounts: The API keys.
        faults: Faults that tests ordered.
        stopping: Set when the server stops; requests that hang are let go.
    """

    def __init__(self, accounts: Accounts, faults: HttpFaults, stopping: asyncio.Event) -> None:
        self._accounts = accounts
        self._faults = faults
        self._stopping = stopping

    def account(self, request: web.Request) -> Account:
        """Return the account of the request's bearer key.

        Raises:
            ApiError: 401.
        """
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        account = self._accounts.find(key.strip()) if scheme.lower() == "bearer" else None
        if account is None:
            raise unauthorized()
        return account

    def middleware(self) -> Middleware:
        """The middleware for aiohttp."""

        @web.middleware
        async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
            request_id = f"req_{uuid.uuid4().hex}"
            try:
                await self._meet_fault(request)
                response = await handler(request)
            except ApiError as error:
                response = error_response(error, request_id, request.path)
            except web.HTTPException as refusal:
                if not request.path.startswith(_API_PREFIXES):
                    raise
                code = "not_found" if refusal.status == 404 else "bad_request"  # noqa: PLR2004 - HTTP
                response = error_response(
                    ApiError(refusal.status, code, refusal.reason), request_id, request.path
                )
            except Exception:
                # The last line of defence: the contract promises an error body for every fault.
                _logger.exception("%s %s failed", request.method, request.path)
                failure = ApiError(500, "internal_error", "the local server has a fault")
                response = error_response(failure, request_id, request.path)
            if not response.prepared:
                response.headers["X-Request-Id"] = request_id
            return response

        return answer

    async def _meet_fault(self, request: web.Request) -> None:
        if not request.path.startswith(_API_PREFIXES):
            return
        fault = self._faults.take(request.path)
        if fault is None:
            return
        if fault.kind == "http_errors":
            raise as_error(fault)
        try:
            async with asyncio.timeout(fault.duration_s):
                await self._stopping.wait()
        except TimeoutError:
            _logger.debug("a request hung as ordered")
        raise as_error(fault)


async def json_body(request: web.Request) -> Any:  # noqa: ANN401 - JSON is any value
    """Return the request's JSON document.

    Raises:
        ApiError: 400, the body is not JSON.
    """
    try:
        return await request.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise not_json("the body is not a JSON document") from None


def error_response(error: ApiError, request_id: str, path: str) -> web.Response:
    """The HTTP form of `error`, worded as the generation of the API at `path` does."""
    if path.startswith(_V1_PREFIXES):
        headers = error.headers if isinstance(error, V1Error) else {}
        return web.json_response(body_of(error, request_id), status=error.status, headers=headers)
    return web.json_response(error.body(request_id), status=error.status)
