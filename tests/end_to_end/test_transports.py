"""Every way that a stream's video can take to the service: the far side sees it, all is settled."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from access_unit_support import AccessUnitSource, MakeEncoded
from end_to_end_support import FPS, KEY, STAMPS_SCHEMA, FaultAfter, Run, Server, run_flow

from overshoot_flow.config import FrameMode, Inference, Secret
from overshoot_flow.local.server import LocalServer
from overshoot_flow.local.server_config import ServerConfig
from overshoot_flow.session.runtime import RUNTIME
from overshoot_flow.transport_config import SdpOffer, Transport, UserRoom, UserRooms

pytestmark = pytest.mark.xdist_group("real time")

DURATION_S = 4.0
TRANSIT_S = 1.0
"""A picture's way through the user's room on a busy machine takes longer than usual."""

INFERENCE = Inference(
    prompt="Which stamps?", output_schema=STAMPS_SCHEMA, mode=FrameMode(interval_s=0.25)
)


@dataclass(frozen=True)
class OwnServer(Server):
    """A local server in a thread of the test, which mints tokens of rooms that belong to nobody."""

    local: LocalServer

    def user_rooms(self) -> UserRooms:
        local = self.local

        def room_for(stream_key: str) -> UserRoom:
            room = f"yard of {stream_key}"
            return UserRoom(
                url=local.room_url,
                publish_token=Secret(local.room_token(room, "camera", can_publish=True)),
                service_token=Secret(local.room_token(room, "overshoot", can_subscribe=True)),
            )

        return UserRooms(room_for=room_for)


@pytest.fixture
def own_server() -> Iterator[OwnServer]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def wait_for(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(20)

    local = LocalServer(ServerConfig(keys={KEY: 1000.0}, allow_faults=True))
    try:
        wait_for(local.start())
        yield OwnServer(local.base_url, local)
        wait_for(local.stop())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


TRANSPORTS: dict[str, Callable[[OwnServer], Transport]] = {
    "RoomSource": lambda server: server.user_rooms(),
    "WebRtcSource": lambda _server: SdpOffer(),
}


def stamps_seen(done: Run) -> set[int]:
    return {stamp for result in done.results for stamp in result.output["stamps"]}


def assert_seen(done: Run, server: Server, kind: str, size: tuple[int, int], frames: int) -> None:
    assert RUNTIME.failures == {}
    assert done.frames_emitted == done.frames_settled == frames
    (stream,) = server.streams()
    assert stream["source"] == kind
    assert (stream["width"], stream["height"]) == size
    assert len(stamps_seen(done)) >= 0.7 * DURATION_S / 0.25
    for result in done.results:
        assert result.media_uncertainty_us == TRANSIT_S * 1_000_000
        for stamp in result.output["stamps"]:
            assert result.media_start_us <= stamp * 1_000_000 // FPS < result.media_end_us
    assert server.alive() == []


@pytest.mark.parametrize("kind", TRANSPORTS)
def test_pixels(own_server: OwnServer, video: Callable[[float], Path], kind: str) -> None:
    service = own_server.service(transport=TRANSPORTS[kind](own_server), transit_s=TRANSIT_S)
    done = run_flow([video(DURATION_S)], INFERENCE, service)
    assert_seen(done, own_server, kind, (640, 360), int(DURATION_S * FPS))


@pytest.mark.parametrize("kind", TRANSPORTS)
def test_access_units(own_server: OwnServer, encoded: MakeEncoded, kind: str) -> None:
    service = own_server.service(transport=TRANSPORTS[kind](own_server), transit_s=TRANSIT_S)
    source = AccessUnitSource([encoded(640, 360, DURATION_S)])
    done = run_flow([], INFERENCE, service, source=source)
    assert_seen(done, own_server, kind, (640, 360), int(DURATION_S * FPS))


def test_a_peer_connection_that_is_cut_leads_to_a_new_stream(
    own_server: OwnServer, video: Callable[[float], Path]
) -> None:
    done = run_flow(
        [video(DURATION_S)],
        INFERENCE,
        own_server.service(transport=SdpOffer()),
        fps=10,
        on_outcome=FaultAfter(4, lambda: own_server.fault("room_disconnect")),
    )
    assert RUNTIME.failures == {}
    assert done.frames_emitted == done.frames_settled
    assert len(own_server.streams()) == 2
    assert max(result.media_end_us for result in done.results) > (DURATION_S - 0.5) * 1e6
    assert own_server.alive() == []


def test_a_room_that_cannot_be_given_fails_the_session_without_a_stream(
    own_server: OwnServer, video: Callable[[float], Path]
) -> None:
    def no_room(stream_key: str) -> UserRoom:
        raise KeyError(f"secret-token of {stream_key}")

    service = own_server.service(transport=UserRooms(room_for=no_room))
    done = run_flow([video(DURATION_S)], INFERENCE, service)
    (failure,) = RUNTIME.failures.values()
    assert "failed with KeyError" in str(failure)
    assert "secret-token" not in str(failure)
    assert done.frames_emitted == done.frames_settled
    assert own_server.streams() == []
