"""Joins a room where nobody answers. Prints how many log records of the SDK reached Python.

Usage: native_logs_child.py URL IS_KEPT_OUT
"""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import suppress
from logging.handlers import BufferingHandler

from livekit import rtc

from overshoot_flow.transport.native_logs import keep_native_logs_out


async def join(url: str) -> None:
    """Join, which fails."""
    with suppress(rtc.ConnectError):
        await rtc.Room().connect(url, "no-token")


def main(url: str, *, is_kept_out: bool) -> None:
    """Count what arrives meanwhile."""
    records = BufferingHandler(capacity=100_000)
    logging.getLogger("livekit").addHandler(records)
    logging.getLogger("livekit").setLevel(logging.DEBUG)
    if is_kept_out and not keep_native_logs_out():
        sys.exit("the library could not be told")
    asyncio.run(join(url))
    # Before it can be told anything, the library says that it begins.
    after = [each for each in records.buffer if "initializing" not in each.getMessage()]
    sys.stdout.write(str(len(after)))


if __name__ == "__main__":
    main(sys.argv[1], is_kept_out=sys.argv[2] == "yes")
