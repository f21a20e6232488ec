"""One process of a cluster that runs a small flow. Arguments: WHAT ID ADDRESSES [MORE...]."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.errors import BytewaxRuntimeError
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.operators import KeyedStream
from bytewax.testing import TestingSink

from overshoot_flow.errors import OvershootFlowError
from overshoot_flow.flow import run
from overshoot_flow.flow.peers import Peer
from overshoot_flow.media.frames import PICKLES
from overshoot_flow_connectors.file import FileSource

KEYS = ("a", "b", "c", "d")


class Numbers(FixedPartitionedSource[str, int]):
    """Counts for as long as asked for, and says when it has begun."""

    def __init__(self, end: int) -> None:
        self.end = end

    def list_parts(self) -> list[str]:
        return list(KEYS)

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> _Part:
        say(f"began {for_part}")
        return _Part(for_part, self.end)


class _Part(StatefulSourcePartition[str, int]):
    def __init__(self, key: str, end: int) -> None:
        self.key = key
        self.number = 0
        self.end = end

    def next_batch(self) -> list[str]:
        if self.number == self.end:
            raise StopIteration
        self.number += 1
        return [f"{self.key}{self.number}"]

    def next_awake(self) -> datetime:
        return datetime.now(UTC) + timedelta(milliseconds=10)

    def snapshot(self) -> int:
        return self.number


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def numbers_flow(end: int, step: Callable[[str], str] = str) -> Dataflow:
    flow = Dataflow("numbers")
    numbers = op.map("step", op.input("numbers", flow, Numbers(end)), step)
    keyed = op.stateful_map("count", op.key_on("key", numbers, str), lambda s, n: (s, n))
    op.output("out", keyed, TestingSink([]))
    return flow


def frames_flow(video: str, *, exchanged: bool) -> Dataflow:
    """Frames of four copies of a video, counted where they are or behind an exchange."""
    flow = Dataflow("frames")
    frames = op.input("files", flow, FileSource(video))
    if exchanged:
        keyed: KeyedStream[object] = op.key_on("key", frames, lambda _: str(time.monotonic_ns()))
        frames = op.key_rm("unkeyed", op.stateful_map("state", keyed, lambda s, f: (s, f)))
    op.output("out", op.map("count", frames, lambda _: 1), TestingSink([]))
    return flow


def failing(number: str) -> str:
    if number == "b20":
        msg = "the step fails on purpose"
        raise ZeroDivisionError(msg)
    return number


def main(what: str, process_id: str, addresses: str, *more: str) -> int:
    flows: dict[str, Callable[[], Dataflow]] = {
        "end": lambda: numbers_flow(20),
        "long": lambda: numbers_flow(10_000),
        "failing": lambda: numbers_flow(10_000, failing),
        "frames": lambda: frames_flow(*more, exchanged=False),
        "exchanged": lambda: frames_flow(*more, exchanged=True),
    }
    flow = flows[what]()
    try:
        stopped = run(
            flow,
            peer=Peer.parse(int(process_id), addresses),
            peer_timeout=timedelta(seconds=float(os.environ.get("PEER_TIMEOUT_S", "30"))),
            epoch_interval=timedelta(seconds=0.1),
        )
    except OvershootFlowError as error:
        say(f"{type(error).__name__}: {error}")
        return 1
    except BytewaxRuntimeError as error:
        say(f"{type(error).__name__} of {error.__cause__!r}")
        return 1
    finally:
        say(f"pickled {PICKLES.refused}")
    say("stopped" if stopped else "ended")
    return 0


if __name__ == "__main__":
    code = main(*sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # A failed engine leaves threads behind that abort Python's own end.
