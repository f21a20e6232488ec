"""Opening video: a local file by its path, an object through its reader."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import av
import av.error
from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from overshoot_flow.errors import MediaError
from overshoot_flow.media.media_object import Media, Readable

_OBJECT_READ_BYTES: Final = 1 << 20
"""Every read of an object is a request."""


def open_media(media: Media) -> tuple[InputContainer, VideoStream, Readable | None]:
    """Open media and choose its video track; the others are not read.

    Returns:
        The container, its track, and the open object, which is to be closed after the container.

    Raises:
        MediaError: The media cannot be opened, or has no video track.
    """
    opened = None if isinstance(media, Path) else media.open()
    try:
        container, stream = _open_track(media, opened)
    except BaseException:
        if opened is not None:
            opened.close()
        raise
    return container, stream, opened


def _open_container(media: Media, opened: Readable | None) -> InputContainer:
    if opened is not None:
        # A playlist in disguise must open nothing of this machine, and no other place.
        return av.open(
            opened, "r", options={"protocol_whitelist": "none"}, buffer_size=_OBJECT_READ_BYTES
        )
    # Only local files: a playlist in disguise must not make us open the network.
    path = os.fspath(Path(str(media)).absolute())
    return av.open(path, options={"protocol_whitelist": "file"})


def _open_track(media: Media, opened: Readable | None) -> tuple[InputContainer, VideoStream]:
    try:
        container = _open_container(media, opened)
    except (av.error.FFmpegError, OSError) as error:
        raise MediaError(f"cannot open {media}: {error.strerror or error}") from error
    tracks = [
        track
        for track in container.streams.video
        if not track.disposition & Disposition.attached_pic and track.codec_context is not None
    ]
    if not tracks:
        container.close()
        raise MediaError(f"{media} has no video track that can be decoded")
    chosen = max(
        tracks,
        key=lambda track: (
            bool(track.disposition & Disposition.default),
            track.width * track.height,
            -track.index,
        ),
    )
    for other in container.streams:
        if other.index != chosen.index:
            other.discard = Discard.all
    return container, chosen
