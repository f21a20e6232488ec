"""The `openai` engine against a real endpoint, which proves by stamps what it saw, and bad ones."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from local_server_support import KEY, next_result, publishing
from local_server_support import serving as serving_v02
from v1_support import code_of, picture, question, serving_v1

from overshoot_flow.config import DEFAULT_MODEL, Secret
from overshoot_flow.errors import ConfigurationError, ServiceError
from overshoot_flow.local.engines.base import Question, SeenFrame, Turn
from overshoot_flow.local.engines.openai import OpenAiEngine, evenly
from overshoot_flow.local.running import RunningServer, running_server
from overshoot_flow.local.server_config import ServerConfig
from overshoot_flow_pipelines.cli import main

ENDPOINT_KEY = Secret("sk-endpoint-hunter2")
PIXELS = "local/pixels"
SCHEMA = {
    "type": "object",
    "properties": {"stamps": {"type": "array", "items": {"type": "integer"}}},
    "required": ["stamps"],
}
COUNT = {"type": "object", "properties": {"frame_count": {"type": "integer"}}}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[RunningServer]:
    """A second local server, which is an OpenAI-compatible endpoint with a model that measures."""
    config = ServerConfig(
        keys={ENDPOINT_KEY.reveal(): 100.0}, allow_faults=True, model_aliases=("qwen:9b", "llava")
    )
    with running_server(config) as server:
        yield server


def engine_at(server: RunningServer, **knobs: Any) -> OpenAiEngine:
    return OpenAiEngine(f"{server.root_url}/v1", **{"key": ENDPOINT_KEY, "model": PIXELS} | knobs)


def frames(*stamps: int) -> list[SeenFrame]:
    return [SeenFrame(picture(stamp), 0.0) for stamp in stamps]


def order(server: RunningServer, fault: dict[str, Any]) -> None:
    httpx.post(f"{server.root_url}/_local/faults", json=fault, timeout=10).raise_for_status()


def last_chat(server: RunningServer) -> Any:
    return httpx.get(f"{server.root_url}/_local/chats", timeout=10).json()[-1]


def test_the_endpoint_sees_the_windows_frames_and_answers_by_the_schema(
    endpoint: RunningServer,
) -> None:
    with engine_at(endpoint) as engine:
        asked = Question("which?", SCHEMA, earlier=(Turn("system", "be brief"),))
        answer = engine.answer(frames(3, 5, 8), asked)
    chat = last_chat(endpoint)
    assert json.loads(answer.text) == {"stamps": [3, 5, 8]}
    assert chat["facts"]["stamps"] == [3, 5, 8]
    assert (chat["model"], chat["prompt"], chat["frames"]) == (PIXELS, "which?", 3)
    assert all(media.startswith("data:image/jpeg;base64,") for media in chat["media"])
    assert answer.facts == {"model": PIXELS, "frame_count": 3, "frames_sent": 3}
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == chat["usage"]["prompt_tokens"] > 0


def test_the_endpoint_keeps_the_cap_and_the_server_does_not_cut_again(
    endpoint: RunningServer,
) -> None:
    async def scenario() -> None:
        with engine_at(endpoint) as engine:
            async with serving_v1(engine=engine) as client:
                url = f"ovs://streams/{await client.showing(4)}?frame_index=0"
                ask = client.call
                body = question(url, model=DEFAULT_MODEL, max_tokens=3)
                status, cut = await ask("POST", "/chat/completions", json=body)
                assert (status, cut["choices"][0]["finish_reason"]) == (200, "length")
                assert cut["usage"] == {
                    name: count
                    for name, count in last_chat(endpoint)["usage"].items()
                    if name != "cached_input_tokens"
                }
                assert cut["usage"]["completion_tokens"] == 3

    asyncio.run(scenario())


def test_a_long_window_is_thinned_evenly(endpoint: RunningServer) -> None:
    with engine_at(endpoint, max_frames=3) as engine:
        answer = engine.answer(frames(*range(9)), Question("which?", SCHEMA))
    assert json.loads(answer.text) == {"stamps": [0, 4, 8]}
    assert answer.facts["frame_count"] == 9
    some = frames(0, 1, 2, 3, 4)
    assert list(evenly(some, 5)) == some
    assert list(evenly(some, 2)) == [some[0], some[4]]
    assert list(evenly(some, 1)) == [some[4]]


def test_the_server_offers_the_endpoints_models_by_their_own_names(
    endpoint: RunningServer,
) -> None:
    async def scenario() -> None:
        with engine_at(endpoint, model=None) as engine:
            assert engine.models == ("qwen:9b", "llava", "local/pixels", "local/ocr")
            async with serving_v1(engine=engine, model_aliases=engine.models) as client:
                url = f"ovs://streams/{await client.showing(7)}?frame_index=0"
                for model, forwarded in (("llava", "llava"), ("local/openai", "qwen:9b")):
                    status, _ = await client.ask(url, model=model)
                    chat = last_chat(endpoint)
                    assert (status, chat["model"]) == (200, forwarded)
                    assert chat["facts"]["stamps"] == [7]

    asyncio.run(scenario())


def test_a_stream_of_v02_is_answered_by_the_endpoint(endpoint: RunningServer) -> None:
    async def scenario() -> None:
        with engine_at(endpoint) as engine:
            async with serving_v02(engine=engine) as client:
                inference = {
                    "prompt": "lanes?",
                    "model": DEFAULT_MODEL,
                    "output_schema_json": COUNT,
                }
                stream = await client.created(inference=inference)
                async with (
                    client.results(stream["stream_id"]) as ws,
                    publishing(stream["livekit"]["url"], stream["livekit"]["token"]),
                ):
                    result = await next_result(ws)
                    assert result["ok"], result["error"]
                    assert json.loads(result["result"]) == {"frame_count": 1}
                    assert last_chat(endpoint)["prompt"] == "lanes?"
                    fault = {"kind": "chat_errors", "status": 503, "code": "x"}
                    await asyncio.to_thread(order, endpoint, fault)
                    while result["ok"]:
                        result = await next_result(ws)
                    assert "code=upstream_http_503" in result["error"]

    asyncio.run(scenario())


@contextlib.asynccontextmanager
async def bad_endpoint(
    status: int = 200, text: str = "", *, mute: bool = False
) -> AsyncIterator[str]:
    """An endpoint that answers everything with this, or never."""

    async def handle(_request: web.Request) -> web.Response:
        if mute:
            await asyncio.Event().wait()
        return web.Response(status=status, text=text)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("endpoint_does", "answers"),
    [
        ({"status": 404, "text": '{"error": {"message": "no model"}}'}, (502, "upstream_http_404")),
        ({"status": 500, "text": "<html>"}, (502, "upstream_http_500")),
        ({"status": 307}, (502, "upstream_http_307")),
        ({"mute": True}, (504, "upstream_timeout")),
        ({"text": "{}"}, (502, "upstream_request_failed")),
        ({"text": "no json"}, (502, "upstream_request_failed")),
    ],
)
def test_what_goes_wrong_there_has_its_code(
    endpoint_does: Mapping[str, Any], answers: tuple[int, str]
) -> None:
    async def scenario() -> None:
        async with bad_endpoint(**endpoint_does) as url:
            with OpenAiEngine(url, model="m", key=ENDPOINT_KEY, timeout_s=0.5) as engine:
                async with serving_v1(engine=engine) as client:
                    frame = f"ovs://streams/{await client.showing(4)}?frame_index=0"
                    answer = await client.ask(frame, model=DEFAULT_MODEL)
                    assert code_of(answer) == answers

    asyncio.run(scenario())


def test_an_endpoint_that_is_not_there() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/v1"
        with OpenAiEngine(url, model="m") as engine, pytest.raises(ServiceError) as raised:
            engine.answer(frames(1), Question("?"))
        assert (raised.value.status, raised.value.code) == (502, "upstream_request_failed")
        with pytest.raises(ConfigurationError, match="--openai-model"):
            OpenAiEngine(url)


def test_the_key_is_sent_and_shown_nowhere() -> None:
    async def scenario() -> None:
        text = json.dumps({"error": f"bad key {ENDPOINT_KEY.reveal()}\n!"})
        async with bad_endpoint(401, text) as url:
            with OpenAiEngine(url, model="m", key=ENDPOINT_KEY) as engine:
                with pytest.raises(ServiceError, match="answered 401: bad key") as raised:
                    await asyncio.to_thread(engine.answer, frames(1), Question("?"))
                assert "hunter2" not in f"{raised.value!r} {engine!r}"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--engine", "openai"], "--engine openai needs --openai-url"),
        (["--openai-url", "http://host/v1"], "--openai-url is for --engine openai"),
        (["--engine", "openai", "--openai-url", "host/v1"], "is no endpoint"),
        (["--engine", "openai", "--openai-url", "http://u:hunter2@host/v1"], "give a key file"),
        (
            ["--engine", "openai", "--openai-url", "http://h/v1", "--openai-key-file", "none"],
            "cannot read the API key file",
        ),
        (
            ["--engine", "openai", "--openai-url", "http://h/v1", "--openai-max-frames", "0"],
            "max_frames is 0",
        ),
    ],
)
def test_a_command_that_cannot_work_says_what_to_write(
    arguments: list[str],
    says: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["serve", *arguments]) == 2
    errors = capsys.readouterr().err
    assert says in errors
    assert "hunter2" not in errors
    assert KEY not in errors
