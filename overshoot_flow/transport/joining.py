"""How many rooms of one server are joined at the same time.

WebRTC looks for network addresses anew for every connection that is being made whenever another one
begins. With livekit 1.2.1 and 16 rooms at once that took 5,144 open files for a moment, instead of
308 with two at a time and 94 one by one, and no less time: 3.3 s, 2.8 s and 4.3 s
(`benchmarks/rooms.py`).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Final
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

JOINS_AT_ONCE: Final = 2

_SEATS: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, defaultdict[str, asyncio.Semaphore]]] = (
    WeakKeyDictionary()
)


def joining_seat(url: str) -> asyncio.Semaphore:
    """Return what is to be held while a room at `url` is joined, in the running event loop.

    Each server has seats of its own: one that is silent holds up nobody else.
    """
    loop = asyncio.get_running_loop()
    seats = _SEATS.get(loop)
    if seats is None:
        seats = _SEATS[loop] = defaultdict(lambda: asyncio.Semaphore(JOINS_AT_ONCE))
    return seats[urlsplit(url).netloc]
