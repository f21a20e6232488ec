"""Pictures are located exactly while nothing is lost, and never at a neighbour's index."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from overshoot_flow.protocol.offset_tracking import Confirmed, OffsetTracking
from overshoot_flow.protocol.picture_indices import PictureIndices

LAG_S = 1_000.25


def test_pictures_shown_one_after_another_make_a_run() -> None:
    indices = PictureIndices()
    for number, pts_us in enumerate((0, 100, 200)):
        indices.shown(pts_us, number + 5)
    indices.confirm(8, low=-3, high=-3)
    assert indices.chosen([0, 100, 200]) == (2, 3, 4)
    assert indices.doubt([0, 100, 200]) == 0
    assert indices.unlocated == 0


def test_of_a_repeated_picture_the_nearest_to_its_neighbours_is_taken() -> None:
    indices = PictureIndices()
    for pts_us, number in ((0, 0), (100, 3), (200, 5)):
        indices.shown(pts_us, number)
    indices.confirm(9, low=0, high=0)
    assert indices.chosen([0, 100, 200]) == (2, 3, 5)


def test_what_the_next_picture_has_not_ended_is_not_located_yet() -> None:
    indices = PictureIndices()
    indices.shown(0, 0)
    indices.shown(100, 2)
    indices.shown(200, 4)
    indices.confirm(4, low=0, high=0)
    assert indices.is_located(100)
    assert not indices.is_located(200)


def test_what_is_shown_again_is_located_where_it_is_now() -> None:
    indices = PictureIndices()
    for number in (0, 1, 0, 1):
        indices.shown(number * 100, number if indices.unlocated < 2 else number + 7)
    indices.confirm(9, low=0, high=0)
    assert indices.chosen([0, 100]) == (7, 8)


def test_after_a_lost_connection_only_what_is_on_screen_is_known() -> None:
    indices = PictureIndices()
    indices.shown(0, 0)
    indices.shown(100, 1)
    indices.newest_is_at(17)
    indices.give_up()
    assert indices.chosen([0, 100]) == (17,)


def test_forgotten_pictures_take_no_memory() -> None:
    indices = PictureIndices()
    for number in range(10):
        indices.shown(number, number)
    indices.confirm(10, low=0, high=0)
    indices.forget_before(8)
    assert [indices.is_located(number) for number in range(6, 10)] == [False, False, True, True]


@given(st.lists(st.tuples(st.integers(1, 3), st.sets(st.integers(0, 2))), min_size=1, max_size=30))
def test_a_chosen_index_always_shows_its_picture(
    showings: list[tuple[int, set[int]]],
) -> None:
    """Any showing of any picture may be lost, and it is not known which."""
    indices, received, number = PictureIndices(), [], 0
    for pts_us, (times, lost) in enumerate(showings):
        indices.shown(pts_us, number)
        number += times
        received += [pts_us for showing in range(times) if showing not in lost]
    indices.confirm(number, low=len(received) - number, high=0)
    for pts_us in range(len(showings)):
        for index in indices.chosen([pts_us]):
            assert received[index] == pts_us


@dataclass
class Way:
    """A sender and a service of 10 pictures per second; a look after every third picture."""

    tracking: OffsetTracking = field(default_factory=lambda: OffsetTracking(0, LAG_S, 0))
    captured: int = 0
    sent: int = 0
    received: int = 0
    said: list[Confirmed] = field(default_factory=list)

    def show(self, pictures: int, *, drop: int = 0, lose: int = 0, delay_s: float = 0.0) -> None:
        for each in range(pictures):
            now_s = self.captured / 10
            self.tracking.captured(self.captured, now_s)
            self.captured += 1
            is_sent = each >= drop
            is_received = is_sent and each >= drop + lose
            self.sent += is_sent
            self.received += is_received
            if is_received and self.captured % 3 == 0:
                confirmed = self.tracking.look(
                    captured=self.captured,
                    sent=self.sent,
                    index=self.received - 1,
                    arrived_at_s=now_s + LAG_S + delay_s,
                )
                if confirmed is not None:
                    self.said.append(confirmed)


def test_while_nothing_is_lost_all_is_exact() -> None:
    way = Way()
    way.show(60)
    assert {(each.low, each.high) for each in way.said} == {(0, 0)}
    assert all(before.captured < after.captured for before, after in pairwise(way.said))
    assert way.said[-1].captured > 40


def test_what_the_sender_has_not_sent_lowers_the_offset() -> None:
    way = Way()
    way.show(30)
    way.show(60, drop=2)
    assert way.tracking.offset == -2
    assert not way.tracking.is_doubtful
    assert Confirmed(way.said[-1].captured, -2, -2) == way.said[-1]
    assert (-2, 0) in {(each.low, each.high) for each in way.said}
    # Pictures of the time in which they were dropped are confirmed within bounds only.
    exact = [each for each in way.said if each.low == each.high == 0]
    assert exact[-1].captured <= 30


def test_pictures_that_come_too_late_are_doubtful_until_all_has_come() -> None:
    way = Way()
    way.show(30)
    confirmed = len(way.said)
    way.show(60, lose=1)
    assert way.tracking.is_doubtful
    assert max(each.captured for each in way.said) <= 33 + 10
    assert len(way.said) <= confirmed + 4
    offset = way.received - way.captured
    assert way.tracking.settled(offset, LAG_S, 0) == (-1, 0)
    way.show(30)
    assert not way.tracking.is_doubtful
    assert (way.said[-1].low, way.said[-1].high) == (-1, -1)


def test_a_single_late_picture_is_no_doubt() -> None:
    way = Way()
    way.show(30)
    way.show(3, delay_s=0.5)
    way.show(30)
    assert not way.tracking.is_doubtful
    assert way.tracking.offset == 0
