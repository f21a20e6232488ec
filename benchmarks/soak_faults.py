"""Random faults for a fleet of cameras and its service; every one of them ends by itself."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence

from camera_services import CameraServer, Overshoot

LONGEST_OUTAGE_S = 8.0
_PAUSE_S = (1.0, 6.0)


class Faults:
    """Makes one fault at a time.

    Args:
        cameras: The RTSP servers.
        settings: What each of them serves, by mount.
        overshoot: The service.
        chance: Where randomness comes from.

    Attributes:
        made: How many, by kind.
    """

    def __init__(
        self,
        cameras: Sequence[CameraServer],
        settings: dict[str, dict[str, object]],
        overshoot: Overshoot,
        chance: random.Random,
    ) -> None:
        self._cameras = cameras
        self._settings = settings
        self._overshoot = overshoot
        self._chance = chance
        self.made: Counter[str] = Counter()
        self._kinds: dict[str, Callable[[], None]] = {
            "cameras_killed": self._kill,
            "cameras_frozen": self._freeze,
            "sessions_closed": self._close_sessions,
            "room_lost": lambda: self._to_a_stream("room_disconnect"),
            "room_gone": lambda: self._to_a_stream("room_disconnect", permanent=True),
            "publisher_kicked": lambda: self._to_a_stream("room_kick"),
            "socket_dropped": lambda: self._to_a_stream("websocket_drop"),
            "lease_expired": lambda: self._to_a_stream("expire_lease"),
            "requests_failed": lambda: overshoot.fault("http_errors", count=4, status=503),
            "request_hung": lambda: overshoot.fault("http_hang", count=1, duration_s=5.0),
            "answers_failed": lambda: overshoot.fault("model_errors", count=20),
            "all_rooms_lost": lambda: overshoot.fault("room_disconnect"),
        }

    def make_until(self, deadline_s: float, goes_on: Callable[[], bool]) -> None:
        """Make faults, with pauses, until `deadline_s` of the monotonic clock; then repair all."""
        while time.monotonic() < deadline_s and goes_on():
            kind = self._chance.choice(list(self._kinds))
            self._kinds[kind]()
            self.made[kind] += 1
            time.sleep(self._chance.uniform(*_PAUSE_S))
        self._overshoot.fault("clear")

    def _kill(self) -> None:
        server = self._chance.choice(self._cameras)
        server.kill()
        self._wait()
        server.start()

    def _freeze(self) -> None:
        server = self._chance.choice(self._cameras)
        server.freeze()
        self._wait()
        server.thaw()

    def _close_sessions(self) -> None:
        mount = self._chance.choice(list(self._settings))
        server = self._chance.choice(self._cameras)
        server.command("set", camera=mount, settings=self._settings[mount])

    def _wait(self) -> None:
        time.sleep(self._chance.uniform(0.5, LONGEST_OUTAGE_S))

    def _to_a_stream(self, kind: str, **settings: object) -> None:
        alive = [stream for stream in self._overshoot.streams() if stream["state"] == "active"]
        if alive:
            stream_id = self._chance.choice(alive)["stream_id"]
            self._overshoot.fault(kind, stream_id=stream_id, **settings)
