"""Where the facts about cameras come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, runtime_checkable

from overshoot_flow_connectors.rtsp import CameraStatus


@runtime_checkable
class CameraSource(Protocol):
    """A source that knows how its cameras are doing; `RtspSource` is one."""

    def statuses(self) -> Mapping[str, CameraStatus]:
        """Return the cameras of this process by stream key; any thread may ask."""
        ...


def all_statuses(sources: Iterable[CameraSource]) -> dict[str, CameraStatus]:
    """Return the cameras of all sources by stream key."""
    found: dict[str, CameraStatus] = {}
    for source in sources:
        found.update(source.statuses())
    return found
