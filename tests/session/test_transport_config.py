"""Ways to the service that cannot work are refused when they are written down."""

from __future__ import annotations

import importlib.util

import pytest

from overshoot_flow.config import Secret, Service
from overshoot_flow.errors import ConfigurationError
from overshoot_flow.transport_config import SdpOffer, UserRoom, UserRooms

OURS, THEIRS = Secret("token-ours"), Secret("token-theirs")


def room(url: str = "wss://rooms.example", **tokens: Secret) -> UserRoom:
    given = {"publish_token": OURS, "service_token": THEIRS} | tokens
    return UserRoom(url=url, **given)


@pytest.mark.parametrize("url", ["wss://rooms.example", "ws://127.0.0.1:7880", "wss://h:443/path"])
def test_urls_of_rooms(url: str) -> None:
    assert room(url).url == url


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://rooms.example", "must be wss://host"),
        ("rooms.example", "must be wss://host"),
        ("wss://", "must be wss://host"),
        ("wss://host:port", "is no URL"),
        ("wss://user:password@rooms.example", "no credentials"),
        ("wss://rooms.example?access_token=password", "no credentials"),
    ],
)
def test_urls_that_lead_to_no_room(url: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as raised:
        room(url)
    assert "password" not in str(raised.value)


def test_tokens_must_differ_and_be_there() -> None:
    with pytest.raises(ConfigurationError, match="are the same"):
        room(service_token=Secret("token-ours"))
    with pytest.raises(ConfigurationError, match="is empty"):
        room(publish_token=Secret(""))
    assert "token-" not in repr(room())


def test_the_function_must_give_a_room() -> None:
    rooms = UserRooms(room_for=lambda stream_key: stream_key)  # type: ignore[arg-type, return-value]
    with pytest.raises(ConfigurationError, match="gave str; it must give a UserRoom"):
        rooms.room("k")


def test_an_offer_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'overshoot-flow\[webrtc\]'"):
        SdpOffer()


def test_stun_servers_are_stun_servers() -> None:
    assert SdpOffer(stun_urls=("stun:host:3478",)).stun_urls
    with pytest.raises(ConfigurationError, match="must be stun:host:port"):
        SdpOffer(stun_urls=("turn:host:3478",))


@pytest.mark.parametrize("api", ["v1", "v1beta"])
def test_v1_makes_its_rooms_itself(api: str) -> None:
    rooms = UserRooms(room_for=lambda _: room())
    Service(key=OURS, base_url="https://api.example/v0.2", transport=rooms)
    with pytest.raises(ConfigurationError, match="makes the room of every stream itself"):
        Service(key=OURS, base_url=f"https://api.example/{api}", transport=rooms)
