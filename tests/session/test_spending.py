"""What is spent, and whether a budget allows more."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from overshoot_flow.assignment import Assignment
from overshoot_flow.config import Inference, Secret, Service
from overshoot_flow.errors import ConfigurationError
from overshoot_flow.session.ledger import Account
from overshoot_flow.session.renewal import may_spend
from overshoot_flow.spending import RunBudget, Spending

INFERENCE = Inference(prompt="?")
SERVICE = Service(key=Secret("ovs-key"))


def test_a_limit_is_reached_when_the_next_charge_would_exceed_it() -> None:
    spending = Spending(7.0)
    assert spending.allows(None, 1e9)
    assert spending.allows(10.0, 3.0)
    assert not spending.allows(10.0, 3.1)
    spending.spend(3.0)
    assert not spending.allows(10.0, 0.0)


def test_no_charge_is_lost_between_threads() -> None:
    spending = Spending()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: [spending.spend(1.0) for _ in range(500)], range(8)))
    assert spending.spent_cents == 4000.0


def test_both_budgets_count() -> None:
    run = RunBudget(100.0, Spending(95.0))
    assignment = Assignment(
        inference=INFERENCE, services=(SERVICE,), budget_cents=10.0, run_budget=run
    )
    account = Account("a", spending=Spending(4.0))
    assert may_spend(assignment, account, 5.0)
    assert not may_spend(assignment, account, 5.5)
    account.spending.spend(2.0)
    assert not may_spend(assignment, account, 4.5)


@pytest.mark.parametrize("terms", [{"dwell_s": 0.0}, {"budget_cents": -1.0}])
def test_terms_that_make_no_sense_are_refused(terms: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="must be above 0"):
        Assignment(inference=INFERENCE, services=(SERVICE,), **terms)  # type: ignore[arg-type]


def test_an_assignment_needs_a_service() -> None:
    with pytest.raises(ConfigurationError, match="no service"):
        Assignment(inference=INFERENCE, services=())
