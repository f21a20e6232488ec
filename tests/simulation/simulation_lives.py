"""One run through all its lives: processes that start, die and start again."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from simulation_checks import Checks, Violation
from simulation_disk import MemoryDisk, MemoryPath, SimulatedPartition
from simulation_engine import SOURCES, Life, RecoveryStore, SimulatedCrash, SimulatedReader
from simulation_loop import VirtualClock, VirtualLoop
from simulation_schedule import Sample, Schedule
from simulation_service import SimulatedClients, SimulatedService

from overshoot_flow.assignment import Assignment
from overshoot_flow.config import ClipMode, FrameMode, Inference, Secret, Service
from overshoot_flow.errors import OvershootFlowError
from overshoot_flow.flow import inference as inference_module
from overshoot_flow.flow import partition as partition_module
from overshoot_flow.flow.inference import InferStep
from overshoot_flow.flow.partition import ReaderPartition, Turnstile
from overshoot_flow.flow.stopping import STOP
from overshoot_flow.media.frames import Frame
from overshoot_flow.media.reader import MediaProblem
from overshoot_flow.session.inbox import Inbox
from overshoot_flow.session.ledger import Account, Ledger
from overshoot_flow.session.session import Session
from overshoot_flow.session.slot_pool import SlotPool
from overshoot_flow_connectors.parquet_rolling import Rolling

FRAME_BYTES: Final = 6
_SURELY_ENOUGH_LIVES: Final = 12
_SHARE_OF_LAST_RUNS: Final = 0.85
"""After the others the user starts the finished run once more, which must change nothing."""
_KEY: Final = Secret("key")


@dataclass(slots=True)
class SimulatedRuntime:
    """Stands where the process's `Runtime` stands: the sessions run in the loop of the engine."""

    loop: VirtualLoop
    clients: Any
    tasks: dict[Session, asyncio.Task[None]] = field(default_factory=dict)

    def open_session(self, *, account: Account, **parts: Any) -> Session:
        account.attach(parts["step_id"])
        clock = VirtualClock(self.loop)
        session = Session(
            account=account,
            inbox=Inbox(self.loop),
            slots=SlotPool(clock),
            clients=self.clients,
            clock=clock,
            **parts,
        )
        self.tasks[session] = self.loop.create_task(session.run())
        return session

    def cancel(self, stream_key: str) -> None:
        for session, task in self.tasks.items():
            if session.stream_key == stream_key:
                task.cancel()

    async def shut_down(self) -> None:
        """Cancel what still runs, wait for it, and find defects."""
        for task in self.tasks.values():
            if not task.cancelling():
                task.cancel()
        for done in await asyncio.gather(*self.tasks.values(), return_exceptions=True):
            if isinstance(done, Violation):
                raise done
            if isinstance(done, Exception) and not isinstance(done, OvershootFlowError):
                raise Violation("a defect in a session", repr(done)) from done


@dataclass(slots=True)
class SimulatedRun:
    """One run through all its lives."""

    schedule: Schedule
    checks: Checks
    loop: VirtualLoop = field(default_factory=VirtualLoop)
    store: RecoveryStore = field(default_factory=RecoveryStore)
    random: Random = field(init=False)
    service: SimulatedService = field(init=False)
    disk: MemoryDisk = field(init=False)
    lives: int = 0
    _moments_left: int = -1

    def __post_init__(self) -> None:
        self.random = Random(self.schedule.seed)  # noqa: S311 - repeatable on purpose
        clock = VirtualClock(self.loop)
        self.service = SimulatedService(self.schedule, clock, self.random, self.checks)
        self.disk = MemoryDisk(self._moment, self.checks)

    def _moment(self, what: str) -> None:
        self._moments_left -= 1
        # A snapshot without its epoch is the rarest thing that a crash can leave.
        is_rare = what == "durable" and self._moments_left > 0 and self.random.random() < 0.2
        if self._moments_left == 0 or is_rare:
            self.checks.log("CRASH before", what)
            raise SimulatedCrash

    async def run(self) -> None:
        """Live, die and live again until everything is read.

        Raises:
            Violation: Something happened that must never happen.
        """
        crashes, stops = self.schedule.crashes, self.schedule.stops
        while True:
            self.lives += 1
            self.service.is_healthy = self.lives > _SURELY_ENOUGH_LIVES // 2
            if self.lives > _SURELY_ENOUGH_LIVES:
                raise Violation("stuck", "the media never ends")
            crashes -= 1
            self._moments_left = int(2 ** self.random.uniform(0.0, 7.0)) if crashes >= 0 else -1
            stop_at = self.random.randint(1, 12) if crashes < 0 < stops else -1
            stops -= stop_at > 0
            ends_well = await self._live(stop_at)
            if ends_well and self.checks.is_complete and self.random.random() < _SHARE_OF_LAST_RUNS:
                break
        self.checks.run_ends()

    def cancel_what_is_left(self) -> None:
        """A violation has left tasks in the middle of their work."""
        self.service.is_unplugged = True
        while tasks := asyncio.all_tasks(self.loop):
            for task in tasks:
                task.cancel()
            self.loop.run_until_complete(asyncio.wait(tasks))

    async def _live(self, stop_at: int) -> bool:
        """Run one process; return whether it came to its good end."""
        self.checks.log("-- life", self.lives)
        self.checks.life_begins()
        self.service.is_unplugged = False
        ledger, runtime = Ledger(), SimulatedRuntime(self.loop, SimulatedClients(self.service))
        for module in (partition_module, inference_module):
            module.LEDGER = ledger  # type: ignore[attr-defined]
            module.RUNTIME = runtime  # type: ignore[attr-defined]
        STOP.clear()
        try:
            life = self._new_life(ledger, stop_at)
            await life.run()
            await self._end_well(life, ledger, runtime)
        except SimulatedCrash:
            # Nobody deletes the streams of a dead process; they end with their leases.
            self.checks.excused_streams.update(self.service.alive_streams())
            self.service.is_unplugged = True
            await runtime.shut_down()
            self.disk.crash(self.random)
            return False
        finally:
            STOP.clear()
        return True

    async def _end_well(self, life: Life, ledger: Ledger, runtime: SimulatedRuntime) -> None:
        for writer in life.writers.values():
            writer.close()
        await runtime.shut_down()
        for writer in life.writers.values():
            writer.finish()
        emitted = {key: ledger.frames_emitted(key) for key in life.partitions}
        released = [
            (key, session.released)
            for key, partition in life.partitions.items()
            for session in partition._account._sessions.values()
        ]
        self.checks.life_ends_well(emitted, released, self.service.alive_streams())

    def _new_life(self, ledger: Ledger, stop_at: int) -> Life:
        schedule = self.schedule
        self.store.forget_lost_epochs()
        states = self.store.resumed()
        sources = states.get(SOURCES, {})
        service = _service(schedule.deadline_s)
        turnstile = Turnstile(schedule.places)
        return Life(
            schedule=schedule,
            checks=self.checks,
            random=self.random,
            store=self.store,
            partitions={
                key: self._partition(key, turnstile, sources.get(key))
                for key in self.checks.samples
            },
            writers={
                name: self._writer(name, states.get(name))
                for name in (f"part-{number}" for number in range(schedule.writers))
            },
            infers={
                step_id: InferStep(
                    step_id,
                    Assignment(inference=_inference(step_id, schedule.mode), services=(service,)),
                )
                for step_id in self.checks.step_ids
            },
            ledger=ledger,
            moment=self._moment,
            epoch=self.store.resume_epoch,
            serial=self.lives * 1_000_000,
            ask_to_stop_at=stop_at,
            stop=STOP.set,
        )

    def _partition(self, key: str, turnstile: Turnstile, state: Any) -> ReaderPartition:
        def open_reader(start_us: int) -> SimulatedReader:
            items = [item for item in _media(key, self) if _pts_us(item) >= start_us]
            return SimulatedReader(items, self.random)

        return ReaderPartition(key, "media", open_reader, turnstile, state=state)

    def _writer(self, name: str, state: Any) -> SimulatedPartition:
        rolling = Rolling(
            rows=self.schedule.roll_rows, log_bytes=1_000, interval_s=1.0, buffer_bytes=30
        )
        out: Any = MemoryPath(self.disk, "out")
        return SimulatedPartition(out, name, state, rolling, VirtualClock(self.loop).wall_s)


@functools.lru_cache
def _service(answers_deadline_s: float) -> Service:
    return Service(
        key=_KEY, answers_deadline_s=answers_deadline_s, connect_timeout_s=1.0, max_restarts=2
    )


@functools.lru_cache
def _inference(prompt: str, mode: FrameMode | ClipMode) -> Inference:
    return Inference(prompt=prompt, mode=mode)


def _media(key: str, run: SimulatedRun) -> Iterator[Frame | MediaProblem]:
    frame_us = run.schedule.frame_us
    for pts_us, sample in run.checks.samples[key].items():
        if sample is Sample.UNREADABLE:
            # The decoder does not always know where a problem ends.
            end_us = pts_us + frame_us * (pts_us // frame_us % 2)
            yield MediaProblem(start_us=pts_us, end_us=end_us, detail="damaged")
        else:
            yield Frame(
                stream_key=key,
                source="media",
                pts_us=pts_us,
                duration_us=frame_us,
                width=2,
                height=2,
                data=bytes(FRAME_BYTES),
            )


def _pts_us(item: Frame | MediaProblem) -> int:
    return item.pts_us if isinstance(item, Frame) else item.start_us
