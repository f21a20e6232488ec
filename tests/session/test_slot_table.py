"""Who gets a slot, and who must give one back."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from overshoot_flow.assignment import Assignment
from overshoot_flow.config import Inference, Secret, Service
from overshoot_flow.errors import AuthenticationError
from overshoot_flow.session.slot_table import Claim, SlotTable

INFERENCE = Inference(prompt="?")
ONE = Service(key=Secret("ovs-one"), max_streams=1)
TWO = Service(key=Secret("ovs-two"), max_streams=2)
REFUSED = AuthenticationError("refused", status=401)


def claim(*services: Service, priority: int = 0, dwell_s: float | None = None) -> Claim:
    return Claim(
        Assignment(
            inference=INFERENCE, services=services or (ONE,), priority=priority, dwell_s=dwell_s
        )
    )


def table_of(*claims: Claim, now_s: float = 0.0) -> SlotTable:
    table = SlotTable()
    for each in claims:
        table.add(each)
        table.review(now_s)
    return table


def test_a_free_slot_is_granted_at_once() -> None:
    first, second = claim(), claim()
    table = table_of(first, second)
    assert first.service is ONE
    assert second.service is None
    assert not first.yields
    assert (table.waiting, table.in_use(ONE)) == (1, 1)


def test_the_greatest_priority_and_then_the_oldest_claim_goes_first() -> None:
    holder, old, new, urgent = claim(priority=9), claim(), claim(), claim(priority=1)
    table = table_of(holder, old, new, urgent)
    for expected in (urgent, old, new):
        table.remove(holder)
        assert table.review(1.0) == [expected]
        holder = expected


def test_a_greater_priority_takes_the_slot_of_the_least() -> None:
    low, middle = claim(TWO), claim(TWO, priority=1)
    table = table_of(low, middle)
    table.add(claim(TWO, priority=2))
    table.review(1.0)
    assert low.yields
    assert not middle.yields


def test_each_waiting_claim_asks_for_one_slot() -> None:
    first, second = claim(TWO), claim(TWO)
    urgent = claim(TWO, priority=1)
    table = table_of(first, second, urgent)
    assert [first.yields, second.yields] == [True, False]
    table.add(claim(TWO, priority=1))
    table.review(1.0)
    assert [first.yields, second.yields] == [True, True]
    # Who asked has gone away: nobody needs to yield any more.
    table.remove(urgent)
    table.review(1.0)
    assert [first.yields, second.yields].count(True) == 1


def test_the_same_priority_waits_until_the_dwell_time_is_over() -> None:
    holder, waiting = claim(dwell_s=10.0), claim(dwell_s=10.0)
    table = table_of(holder, waiting)
    table.review(9.9)
    assert not holder.yields
    table.review(10.0)
    assert holder.yields


def test_without_a_dwell_time_a_slot_is_kept() -> None:
    holder = claim()
    table = table_of(holder, claim(dwell_s=1.0))
    table.review(1e6)
    assert not holder.yields


def test_a_lesser_priority_never_takes_a_slot() -> None:
    holder = claim(priority=1, dwell_s=1.0)
    table = table_of(holder, claim())
    table.review(100.0)
    assert not holder.yields


def test_the_first_service_with_a_free_slot_is_taken_unless_it_had_a_fault() -> None:
    table = table_of()
    table.avoid(ONE, until_s=10.0)
    first, second, late = claim(ONE, TWO), claim(ONE), claim(ONE, TWO)
    for each in (first, second, late):
        table.add(each)
        table.review(1.0)
    assert first.service is TWO
    # A fault is no reason to ask nobody.
    assert second.service is ONE
    assert late.service is TWO
    table.remove(second)
    table.add(again := claim(ONE, TWO))
    table.review(11.0)
    assert again.service is ONE


def test_a_key_that_is_refused_is_left_alone_while_there_is_another_one() -> None:
    first, second = claim(TWO), claim(TWO)
    table = table_of(first, second)
    table.refuse(ONE, REFUSED, until_s=10.0)
    table.add(waiting := claim(ONE, TWO, priority=1))
    table.review(1.0)
    # The slot that is free is of no use: one of the others is asked for.
    assert waiting.service is None
    assert first.yields
    assert table.has_another(waiting, 1.0)
    table.review(10.0)
    assert waiting.service is ONE


def test_where_all_keys_are_refused_the_service_is_asked_again() -> None:
    table = table_of()
    for service in (ONE, TWO):
        table.refuse(service, REFUSED, until_s=10.0)
    table.add(lonely := claim(ONE, TWO))
    assert not table.has_another(lonely, 1.0)
    table.review(1.0)
    assert lonely.service is ONE


def test_a_refusal_is_about_the_key_whatever_else_is_set_and_ends() -> None:
    table = table_of()
    table.refuse(ONE, REFUSED, until_s=10.0)
    assert table.refusal(replace(ONE, max_in_flight=1), 9.0) is REFUSED
    assert table.refusal(TWO, 9.0) is None
    assert table.refusal(ONE, 10.0) is None
    table.refuse(ONE, REFUSED, until_s=20.0)
    table.forget_refusals()
    assert table.refusal(ONE, 11.0) is None


def test_a_claim_that_may_not_use_a_service_does_not_ask_for_its_slots() -> None:
    other = claim(TWO)
    table = table_of(other, claim(ONE), claim(ONE, priority=5))
    table.review(1.0)
    assert not other.yields


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([(ONE,), (TWO,), (ONE, TWO)]),
            st.integers(0, 2),
            st.sampled_from([None, 1.0, 3.0]),
        ),
        max_size=12,
    ),
    st.lists(st.tuples(st.integers(0, 11), st.floats(0, 5)), max_size=30),
)
def test_no_key_has_more_streams_than_it_may_and_no_slot_is_idle_while_one_waits(
    terms: list[tuple[tuple[Service, ...], int, float | None]],
    leaving: list[tuple[int, float]],
) -> None:
    claims = [claim(*services, priority=p, dwell_s=d) for services, p, d in terms]
    table = table_of(*claims)
    now_s = 0.0
    for index, step_s in [(0, 0.0), *leaving]:
        now_s += step_s
        if claims and step_s:
            gone = claims[index % len(claims)]
            table.remove(gone)
            claims[index % len(claims)] = again = Claim(gone.assignment)
            table.add(again)
        table.review(now_s)
        for service in (ONE, TWO):
            assert table.in_use(service) <= service.max_streams
            idle = table.in_use(service) < service.max_streams
            waits = any(c.service is None and service in c.assignment.services for c in claims)
            assert not (idle and waits)
        for holder in (each for each in claims if each.yields):
            assert any(
                waiting.assignment.priority >= holder.assignment.priority
                for waiting in claims
                if waiting.service is None and holder.service in waiting.assignment.services
            )
