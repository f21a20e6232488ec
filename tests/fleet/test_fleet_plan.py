"""What a fleet file means for its cameras: who waits, whose partition, what a change is called."""

from __future__ import annotations

import pytest
from fleet_samples import CAMERA, ENVIRONMENT, SERVICE

from overshoot_flow.spending import Spending
from overshoot_flow_connectors.fleet import parse_fleet
from overshoot_flow_connectors.fleet_changes import compare
from overshoot_flow_connectors.fleet_model import Fleet
from overshoot_flow_connectors.fleet_plan import camera_plans, partition_of, told, without_slot

OTHER = (
    '[[service]]\nname = "other"\nkey = { env = "OTHER_KEY" }\nmax_streams = 1\ntransit_s = 0.5\n'
)


def fleet(text: str) -> Fleet:
    return parse_fleet(text, environment=ENVIRONMENT)


def cameras(*lines: str) -> str:
    """Cameras c0, c1, … with one line more each."""
    return "".join(
        CAMERA.replace("gate", f"c{number}").replace("/a", f"/{number}") + line + "\n"
        for number, line in enumerate(lines)
    )


def test_a_camera_may_be_asked_about_where_the_file_says() -> None:
    text = "dwell_s = 30\n" + SERVICE + OTHER + cameras("", 'service = "other"\npriority = 2')
    anywhere, named = camera_plans(fleet(text), Spending()).values()
    assert [service.max_streams for service in anywhere.assignment.services] == [5, 1]
    assert [service.transit_s for service in anywhere.assignment.services] == [0.2, 0.5]
    assert [service.max_streams for service in named.assignment.services] == [1]
    assert (named.assignment.priority, named.assignment.dwell_s) == (2, 30)


def test_all_cameras_share_the_budget_of_the_run() -> None:
    spending = Spending(3.0)
    plans = camera_plans(fleet("budget_cents = 5\n" + SERVICE + cameras("", "")), spending)
    budgets = [plan.assignment.run_budget for plan in plans.values()]
    assert [budget and budget.limit_cents for budget in budgets] == [5, 5]
    assert all(budget is not None and budget.spending is spending for budget in budgets)


def test_cameras_keep_their_partition_and_are_spread() -> None:
    # Other numbers would make runs that are gone on with lose the cameras' media time.
    assert [partition_of(f"camera-{number}", 4) for number in range(8)] == [2, 0, 2, 0, 1, 2, 1, 0]
    shares = [partition_of(f"camera-{number}", 4) for number in range(1000)]
    assert min(map(shares.count, range(4))) > 200


@pytest.mark.parametrize(
    ("lines", "waiting"),
    [
        ([""] * 6, ()),
        ([""] * 7, ("c6",)),
        ([""] * 6 + ["priority = 1"], ("c5",)),
        (['service = "other"'] * 2 + [""], ("c1",)),
        # One that may be asked anywhere leaves the only place to one that may not.
        ([""] * 5 + ['service = "other"'], ()),
        (["priority = -1", *[""] * 6], ("c0",)),
    ],
)
def test_who_finds_no_free_stream(lines: list[str], waiting: tuple[str, ...]) -> None:
    assert without_slot(fleet(OTHER + SERVICE + cameras(*lines))) == waiting


def test_a_change_is_told_in_one_line() -> None:
    before = fleet(SERVICE + cameras("", ""))
    after = fleet(
        "budget_cents = 3\ndwell_s = 9\n"
        + SERVICE
        + OTHER
        + cameras("priority = 1\nfps = 2")
        + CAMERA
    )
    assert told(compare(before, after)) == (
        "new cameras: gate; cameras removed: c1; new services: other; c0: priority, sample; "
        "the budget of the run; dwell_s"
    )
    assert told(compare(before, before)) == ""
