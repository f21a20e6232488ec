"""Peer connections of aiortc, as the ingest and the SDP source need them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, Final

import av
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.exceptions import InvalidStateError
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.sdp import candidate_from_sdp

from overshoot_flow.errors import TransportError
from overshoot_flow.local.ingest.jitter import replace_jitter_buffer
from overshoot_flow.local.ingest.sdp import with_start_bitrate

_MAX_EARLY_CANDIDATES: Final = 64


class MediaPeer:
    """One peer connection without STUN or TURN, bound to given addresses.

    Args:
        addresses: Local addresses for media, or None for every interface but loopback.
        on_track: Told of each remote video track.
        on_lost: Told once when the connection has failed or the other side closed it.
        key_frames_only: Decode nothing but key frames.
    """

    def __init__(
        self,
        addresses: Sequence[str] | None,
        *,
        on_track: Callable[[MediaStreamTrack], None] = lambda _track: None,
        on_lost: Callable[[], None] = lambda: None,
        key_frames_only: bool = False,
    ) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._addresses = addresses
        self._on_track = on_track
        self._on_lost = on_lost
        self._key_frames_only = key_frames_only
        self._early_candidates: list[str] = []
        self.candidates_dropped = 0
        self.connection.add_listener("track", self._track_arrived)
        self.connection.add_listener("connectionstatechange", self._state_changed)

    async def answer(self, offer_sdp: str) -> str:
        """Take an offer, first or renewed, and return the answer with all candidates in it.

        Raises:
            TransportError: The offer cannot be understood.
        """
        await self._set_remote(RTCSessionDescription(offer_sdp, "offer"))
        await self.connection.setLocalDescription(await self.connection.createAnswer())
        return with_start_bitrate(self.connection.localDescription.sdp)

    async def offer(self) -> str:
        """Return an offer of the tracks added so far, with all candidates in it."""
        description = await self.connection.createOffer()
        self._bind_media()
        await self.connection.setLocalDescription(description)
        return str(self.connection.localDescription.sdp)

    async def accept(self, answer_sdp: str) -> None:
        """Take the answer to our offer.

        Raises:
            TransportError: The answer cannot be understood.
        """
        await self._set_remote(RTCSessionDescription(answer_sdp, "answer"))

    async def add_candidate(self, candidate_json: str) -> None:
        """Take a trickled candidate, as browsers write it in JSON.

        Candidates that come before the remote description wait for it; beyond a bound the
        newest are dropped and counted: the first ones are the host's own addresses.

        Raises:
            TransportError: The candidate cannot be understood.
        """
        if self.connection.remoteDescription is None:
            if len(self._early_candidates) < _MAX_EARLY_CANDIDATES:
                self._early_candidates.append(candidate_json)
            else:
                self.candidates_dropped += 1
            return
        try:
            fields = json.loads(candidate_json)
            line = fields.get("candidate")
            if not line:
                return
            candidate = candidate_from_sdp(line.split(":", 1)[-1])
            candidate.sdpMid = fields.get("sdpMid")
            candidate.sdpMLineIndex = fields.get("sdpMLineIndex")
            await self.connection.addIceCandidate(candidate)
        except (ValueError, AttributeError, AssertionError, IndexError) as error:
            raise TransportError(f"an ICE candidate is malformed: {type(error).__name__}") from None

    async def close(self) -> None:
        """Close the connection; its tracks end."""
        self._on_lost = lambda: None
        await self.connection.close()

    async def _set_remote(self, description: RTCSessionDescription) -> None:
        try:
            await self.connection.setRemoteDescription(description)
        except InvalidStateError:
            raise TransportError("the peer connection is closed") from None
        except Exception as error:
            # aiortc's parser raises whatever its code runs into on text that is not SDP.
            raise TransportError(
                f"the session description cannot be used: {type(error).__name__}"
            ) from error
        self._bind_media()
        early, self._early_candidates = self._early_candidates, []
        for candidate in early:
            await self.add_candidate(candidate)

    def _bind_media(self) -> None:
        """Gather on our addresses only: aioice itself takes every interface except loopback."""
        if self._addresses is None:
            return
        transports = [item.receiver.transport for item in self.connection.getTransceivers()]
        if self.connection.sctp is not None:
            transports.append(self.connection.sctp.transport)
        for transport in transports:
            # aiortc has no public way to choose addresses; the aioice method itself is public.
            connection: Any = transport.transport.iceGatherer._connection  # noqa: SLF001 - see above
            connection.get_component_candidates = _gather_on(
                type(connection).get_component_candidates.__get__(connection), self._addresses
            )

    def _track_arrived(self, track: MediaStreamTrack) -> None:
        if track.kind == "video":
            for transceiver in self.connection.getTransceivers():
                if transceiver.receiver.track is track:
                    replace_jitter_buffer(
                        transceiver.receiver, key_frames_only=self._key_frames_only
                    )
            self._on_track(track)

    def _state_changed(self) -> None:
        if self.connection.connectionState in ("failed", "closed"):
            on_lost, self._on_lost = self._on_lost, lambda: None
            on_lost()


def _gather_on(
    gather: Callable[..., asyncio.Future[list[Any]]], chosen: Sequence[str]
) -> Callable[..., object]:
    async def gather_on_chosen(
        component: int,
        addresses: list[str],  # noqa: ARG001 - aioice's own choice, which is what we replace
        timeout: int = 5,  # noqa: ASYNC109 - aioice's signature
    ) -> list[Any]:
        return await gather(component=component, addresses=list(chosen), timeout=timeout)

    return gather_on_chosen


async def read_pictures(track: MediaStreamTrack, deliver: Callable[[av.VideoFrame], None]) -> None:
    """Hand every decoded picture of `track` to `deliver` until the track ends."""
    while True:
        try:
            picture = await track.recv()
        except MediaStreamError:
            return
        if isinstance(picture, av.VideoFrame):
            deliver(picture)
