"""What one simulated run is made of; everything else follows from the seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from random import Random

from overshoot_flow.config import ClipMode, FrameMode

_MODES = (
    FrameMode(interval_s=0.2),
    FrameMode(interval_s=0.5),
    ClipMode(clip_length_s=0.2, delay_s=0.25),
    ClipMode(clip_length_s=0.4, delay_s=0.2),
)


class Sample(StrEnum):
    """What a moment of the media turns into."""

    ASKED = "asked"
    FILTERED = "filtered"
    """The user's filter leaves the frame out."""
    FAILED = "failed"
    """A user function fails on the frame."""
    UNREADABLE = "unreadable"
    """The decoder reports a problem instead of a frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One run of a flow through crashes, from its beginning until all media is finished.

    Attributes:
        seed: Decides all moments, latencies and faults.
        streams: For every stream, what its moments turn into.
        frame_us: Time between two moments.
        steps: How many `infer` steps see every frame.
        crashes: How many lives may end in a crash.
        stops: How many lives are asked to stop in order.
        mode: How often and how far the service looks.
        capacity: Frames that may be between a source and its sessions' publishers.
        places: How many streams may read at once.
        slots: Streams that the service grants at once.
        fault_share: How many calls of the service fail.
        fatal_share: How many of these faults no repetition can mend.
        answer_loss: How many answers never come.
        latency_s: Bounds of the time from the end of a window to its answer.
        lost_streams: How many streams the service ends by itself.
        deadline_s: How long an answer is waited for.
        replay_frames: How many frames' pixels a session keeps for publishing them again.
        writers: Sink partitions.
        roll_rows: Rows that make a file.
        pace_s: Longest time between two activations of the sources.
        epoch_share: How many of the source's activations close an epoch.
        sink_lag: How often the sink falls behind the source.
        heartbeats: Whether they reach the sink; an operator of the user may swallow them.
    """

    seed: int
    streams: tuple[tuple[Sample, ...], ...]
    frame_us: int
    steps: int
    crashes: int
    stops: int
    mode: FrameMode | ClipMode
    capacity: int
    places: int
    slots: int
    fault_share: float
    fatal_share: float
    answer_loss: float
    latency_s: tuple[float, float]
    lost_streams: float
    deadline_s: float
    replay_frames: int
    writers: int
    roll_rows: int
    pace_s: float
    epoch_share: float
    sink_lag: float
    heartbeats: bool

    @classmethod
    def of(cls, seed: int) -> Schedule:
        """Draw a schedule."""
        random = Random(seed)  # noqa: S311 - repeatable on purpose
        pick = random.choice
        rough = random.random() < 0.3
        steps, places = pick((1, 1, 1, 1, 1, 2)), pick((1, 2))
        return cls(
            seed=seed,
            streams=tuple(_stream(random) for _ in range(pick((1, 1, 1, 2)))),
            frame_us=pick((30_000, 80_000, 150_000)),
            steps=steps,
            crashes=pick((0, 1, 1, 1, 2)),
            stops=pick((0, 0, 0, 1)),
            mode=pick(_MODES),
            capacity=pick((2, 3, 4)),
            places=places,
            # With fewer, the steps of one stream wait for each other's slots for ever.
            slots=pick((places * (steps - 1) + 1, 5)),
            fault_share=pick((0.05, 0.2)) if rough else 0.0,
            fatal_share=pick((0.0, 0.3)),
            answer_loss=pick((0.0, 0.1, 0.5)),
            latency_s=pick(((0.02, 0.1), (0.05, 0.4), (0.3, 0.8))),
            lost_streams=0.5 if rough else 0.0,
            deadline_s=pick((0.2, 0.6)),
            replay_frames=pick((1, 2, 100)),
            writers=pick((1, 1, 2)),
            roll_rows=pick((1, 2, 4)),
            pace_s=pick((0.15, 0.4, 0.8)),
            epoch_share=pick((0.2, 0.5)),
            sink_lag=pick((0.0, 0.5)),
            heartbeats=pick((True, False)),
        )

    def simpler(self) -> Iterator[Schedule]:
        """Return schedules that differ from this one by one simplification each."""
        for index in range(len(self.streams)):
            if len(self.streams) > 1:
                yield replace(self, streams=self.streams[:index] + self.streams[index + 1 :])
            samples = self.streams[index]
            if len(samples) > 1:
                shorter = (*self.streams[:index], samples[:-1], *self.streams[index + 1 :])
                yield replace(self, streams=shorter)
        plain = {"crashes": self.crashes - 1, "stops": 0, "steps": 1, "writers": 1}
        calm = {"fault_share": 0.0, "answer_loss": 0.0, "lost_streams": 0.0, "sink_lag": 0.0}
        for name, value in (plain | calm).items():
            if value not in (getattr(self, name), -1):
                yield replace(self, **{name: value})  # type: ignore[arg-type]  # one name, one type

    def __str__(self) -> str:
        """Return one attribute a line, to be read."""
        return "\n".join(f"  {each.name} = {getattr(self, each.name)}" for each in fields(self))


def _stream(random: Random) -> tuple[Sample, ...]:
    kinds = random.choice(
        (
            (Sample.ASKED,),
            (Sample.ASKED, Sample.FILTERED),
            (Sample.ASKED, Sample.FILTERED, Sample.UNREADABLE),
            (Sample.ASKED, Sample.ASKED, Sample.FAILED, Sample.UNREADABLE),
        )
    )
    return tuple(random.choice(kinds) for _ in range(random.randint(1, 4)))
