"""A fleet's partition without cameras: who comes, goes and changes, and what is remembered."""

from __future__ import annotations

import time
from typing import Any

import pytest
from fleet_samples import CAMERA, ENVIRONMENT, SERVICE

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow.items import Assigned, EndOfMedia, Item, MediaGap, Tick
from overshoot_flow.flow.live_partition import LiveReader
from overshoot_flow.flow.stopping import STOP
from overshoot_flow.media.live_queue import LiveGap, LiveQueue
from overshoot_flow.results import GapReason, Piece
from overshoot_flow.session.clock import SteadyUtc
from overshoot_flow.session.ledger import LEDGER
from overshoot_flow.spending import Spending
from overshoot_flow_connectors.fleet import parse_fleet
from overshoot_flow_connectors.fleet_model import Fleet, FleetCamera
from overshoot_flow_connectors.fleet_partition import FleetPartition

YARD = CAMERA.replace("gate", "yard").replace("/a", "/b")


def fleet(text: str) -> Fleet:
    return parse_fleet(SERVICE + text, environment=ENVIRONMENT)


class FakeReader:
    """A camera that shows nothing; its record is a gap."""

    def __init__(
        self,
        camera: FleetCamera,
        predecessor: LiveReader | None,
        start_us: int,
        first_gap: GapReason,
    ) -> None:
        self.camera = camera
        self.predecessor = predecessor
        self.closed = False
        self._queue = LiveQueue(start_us, max_frames=4, max_bytes=10**6, first_gap=first_gap)

    def poll(self, max_frames: int, max_gaps: int, now_us: int) -> list[Any]:
        return list(self._queue.poll(max_frames, max_gaps, now_us))

    def pause(self, now_us: int, reason: GapReason, detail: str) -> None:
        self._queue.pause(now_us, reason, detail)

    def go_on(self) -> None:
        self._queue.go_on()

    def stop(self, now_us: int, reason: GapReason, detail: str) -> None:
        self._queue.end(now_us, reason, detail)

    @property
    def exhausted(self) -> bool:
        return self._queue.exhausted

    def close(self) -> None:
        self.closed = True


class Rig:
    """A partition whose fleet is changed by hand, and an `infer` that records gaps."""

    def __init__(self, text: str, state: dict[str, Any] | None = None) -> None:
        self.fleet = fleet(text)
        self.opened: list[FakeReader] = []
        self.closed = 0
        self.spending = Spending()
        self.partition = FleetPartition(
            "0-of-1",
            lambda: self.fleet,
            owns=lambda name: not name.startswith("other"),
            open_camera=self._open,
            spending=self.spending,
            state=state,
            on_close=self._on_close,
        )

    def _open(
        self,
        camera: FleetCamera,
        predecessor: LiveReader | None,
        *,
        clock: SteadyUtc,
        start_us: int,
        anchor_us: int,
        first_gap: GapReason,
    ) -> FakeReader:
        self.opened.append(FakeReader(camera, predecessor, start_us, first_gap))
        return self.opened[-1]

    def _on_close(self) -> None:
        self.closed += 1

    def next(self) -> list[Item]:
        items = self.partition.next_batch()
        for item in items:
            self._record(item)
        return items

    def _record(self, item: Item) -> None:
        key = item.stream_key
        account = LEDGER.account(key)
        if account is None:
            return
        if isinstance(item, MediaGap):
            if not account.attached:
                account.attach("ask")
            account.put(
                Piece(
                    step_id="ask",
                    stream_key=key,
                    start_us=item.start_us,
                    end_us=item.end_us,
                    outcomes=(),
                )
            )
        if isinstance(item, EndOfMedia) and account.attached:
            account.session_ended("ask")

    def until_over(self, *gone: str) -> list[Item]:
        """Go on until the cameras have ended."""
        items: list[Item] = []
        deadline_s = time.monotonic() + 10
        while set(gone) & set(self.partition.readers()):
            assert time.monotonic() < deadline_s
            items += self.next()
        return items

    def saved(self) -> dict[str, Any]:
        return self.partition.snapshot()


def of_kind(items: list[Item], kind: type) -> list[Any]:
    return [item for item in items if isinstance(item, kind)]


def stopped(rig: Rig) -> list[Item]:
    """Stop the run, and return what comes until its end."""
    STOP.set()
    items: list[Item] = []
    for _ in range(100):
        try:
            items += rig.next()
        except StopIteration:
            rig.partition.close()
            STOP.clear()
            return items
    pytest.fail("the partition does not end")


def test_every_camera_is_assigned_its_question_before_anything_else() -> None:
    rig = Rig(CAMERA + YARD.replace("open?", "full?"))
    items = rig.next()
    first: dict[str, Item] = {}
    for item in items:
        first.setdefault(item.stream_key, item)
    assert {key: type(item) for key, item in first.items()} == {"gate": Assigned, "yard": Assigned}
    prompts = [item.assignment.inference.prompt for item in of_kind(items, Assigned)]
    assert prompts == ["Is it open?", "Is it full?"]
    assert {tick.stream_key for tick in of_kind(items, Tick)} == {"gate", "yard"}
    assert not of_kind(rig.next(), Assigned)


def test_cameras_of_other_partitions_are_left_alone_and_an_empty_one_goes_on_ticking() -> None:
    rig = Rig(CAMERA.replace("gate", "other"))
    assert [type(item) for item in rig.next()] == [Tick]
    assert rig.next() == []
    rig.saved()
    assert [type(item) for item in rig.next()] == [Tick]
    assert rig.opened == []
    assert stopped(rig) == []
    assert rig.closed == 1


def test_a_removed_camera_ends_with_its_gap_and_the_others_go_on() -> None:
    rig = Rig(CAMERA + YARD)
    rig.next()
    rig.fleet = fleet(CAMERA)
    items = rig.until_over("yard")
    assert [item.stream_key for item in of_kind(items, EndOfMedia)] == ["yard"]
    assert {item.reason for item in of_kind(items, MediaGap)} == {GapReason.OUTAGE}
    assert set(rig.partition.readers()) == {"gate"}
    stopped(rig)
    assert all(reader.closed for reader in rig.opened)


def test_a_camera_that_comes_back_goes_on_with_its_media_time_and_a_gap() -> None:
    rig = Rig(CAMERA + YARD)
    rig.next()
    rig.fleet = fleet(CAMERA)
    ended = rig.until_over("yard")
    last_us = max(gap.end_us for gap in of_kind(ended, MediaGap))
    rig.fleet = fleet(CAMERA + YARD)
    back: list[Item] = []
    while not of_kind(back, MediaGap):
        back += [item for item in rig.next() if item.stream_key == "yard"]
    assert isinstance(back[0], Assigned)
    (gap,) = of_kind(back, MediaGap)
    assert (gap.reason, gap.start_us) == (GapReason.REMOVED, last_us)
    stopped(rig)


def test_a_camera_that_is_removed_and_added_within_one_activation_has_one_session() -> None:
    rig = Rig(CAMERA + YARD)
    rig.next()
    rig.fleet = fleet(CAMERA)
    rig.partition._follow()
    rig.fleet = fleet(CAMERA + YARD)
    while len(rig.opened) < 3:
        rig.next()
    assert [reader.camera.name for reader in rig.opened] == ["gate", "yard", "yard"]
    assert rig.opened[1].exhausted
    stopped(rig)


def test_a_renamed_camera_is_connected_to_when_the_old_one_has_ended() -> None:
    rig = Rig(CAMERA)
    rig.next()
    rig.fleet = fleet(CAMERA.replace('"gate"', '"door"'))
    while len(rig.opened) < 2:
        rig.next()
    assert "gate" not in rig.partition.readers()
    assert rig.opened[0].exhausted
    stopped(rig)


@pytest.mark.parametrize(
    "line",
    ["mask = [[[0, 0], [1, 0], [0, 1]]]", "fps = 2", "max_height = 90", 'transport = "udp"'],
)
def test_what_is_read_differently_is_read_by_another_reader(line: str) -> None:
    rig = Rig(CAMERA)
    rig.next()
    rig.fleet = fleet(CAMERA + line)
    items: list[Item] = []
    while len(rig.opened) < 2:
        items += rig.next()
    assert not of_kind(items, Assigned)
    old, new = rig.opened
    assert (old.exhausted, new.predecessor) == (True, old)
    assert new.camera == rig.fleet.cameras[0]
    items += stopped(rig)
    reasons = [gap.reason for gap in of_kind(items, MediaGap)]
    assert reasons == [GapReason.OUTAGE, GapReason.CHANGED]


@pytest.mark.parametrize(
    "line",
    ["priority = 3", "labels = { site = 'north' }", "budget_cents = 5", "interval_s = 9"],
)
def test_what_is_asked_differently_needs_no_other_reader(line: str) -> None:
    rig = Rig(CAMERA)
    rig.next()
    rig.fleet = fleet(CAMERA + line)
    (assigned,) = of_kind(rig.next(), Assigned)
    assert assigned.assignment.labels == rig.fleet.cameras[0].labels
    assert assigned.assignment.inference == rig.fleet.cameras[0].inference
    rig.next()
    assert len(rig.opened) == 1
    stopped(rig)


def test_a_service_that_changes_is_told_to_the_cameras_that_may_ask_it() -> None:
    rig = Rig(CAMERA + YARD + 'service = "main"')
    rig.next()
    more = '[[service]]\nname = "more"\nkey = { env = "OTHER_KEY" }\n'
    rig.fleet = fleet(more + CAMERA + YARD + 'service = "main"')
    (assigned,) = of_kind(rig.next(), Assigned)
    assert (assigned.stream_key, len(assigned.assignment.services)) == ("gate", 2)
    stopped(rig)


def test_a_camera_whose_session_failed_begins_again_when_its_question_changes() -> None:
    rig = Rig(CAMERA)
    rig.next()
    account = LEDGER.account("gate")
    assert account is not None
    account.attach("ask")
    account.refuse("ask")
    rig.until_over("gate")
    rig.next()
    assert len(rig.opened) == 1
    rig.fleet = fleet(CAMERA + "max_output_tokens = 3")
    items = rig.next() + rig.next()
    assert [type(item) for item in items][:1] == [Assigned]
    assert len(rig.opened) == 2
    stopped(rig)


def test_a_run_goes_on_with_every_camera_that_was_here() -> None:
    rig = Rig(CAMERA + YARD)
    rig.next()
    stopped(rig)
    again = Rig(CAMERA + YARD, rig.saved())
    gaps = of_kind(again.next(), MediaGap)
    assert {gap.stream_key: gap.reason for gap in gaps} == {
        "gate": GapReason.STOPPED,
        "yard": GapReason.STOPPED,
    }
    stopped(again)


def test_what_a_camera_had_not_finished_is_recorded_although_it_is_gone() -> None:
    rig = Rig(CAMERA + YARD)
    rig.next()
    crashed = rig.saved()
    stopped(rig)
    again = Rig(CAMERA, crashed)
    items = again.until_over("yard")
    yard = [item for item in items if item.stream_key == "yard"]
    assert isinstance(yard[0], Assigned)
    assert [gap.reason for gap in of_kind(yard, MediaGap)] == [GapReason.CRASH]
    assert {reader.camera.name for reader in again.opened} == {"gate"}
    kept = again.saved()
    stopped(again)
    # Now it is finished: it is remembered, and nothing is left to say.
    third = Rig(CAMERA, kept)
    assert set(third.partition.readers()) == {"gate"}
    assert set(third.saved()["cameras"]) == {"gate", "yard"}
    stopped(third)


def test_what_was_spent_in_the_run_counts_again() -> None:
    rig = Rig(CAMERA + YARD)
    rig.next()
    stopped(rig)
    state = rig.saved()
    for number, name in enumerate(("gate", "yard"), start=1):
        state["cameras"][name]["partition"]["spent_cents"] = float(number)
    again = Rig(CAMERA, state)
    assert again.spending.spent_cents == 3.0
    stopped(again)


def test_a_state_of_something_else_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="not of a fleet"):
        Rig(CAMERA, {"camera": 2})


def test_gaps_of_the_whole_time_leave_no_hole() -> None:
    rig = Rig(CAMERA)
    items = rig.next()
    rig.fleet = fleet(CAMERA + "fps = 2")
    while len(rig.opened) < 2:
        items += rig.next()
    items += stopped(rig)
    gaps: list[LiveGap] = sorted(of_kind(items, MediaGap), key=lambda gap: gap.start_us)
    ends = [0, *(gap.end_us for gap in gaps)]
    assert [gap.start_us for gap in gaps] == ends[:-1]
