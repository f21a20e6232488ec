"""A test that lacks what it needs is skipped with the reason; in CI such a skip is a failure."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from service_report import pytest_terminal_summary  # noqa: F401 - a hook

from overshoot_flow.flow.stopping import STOP
from overshoot_flow.session.ledger import LEDGER

REQUIRE_ALL = os.environ.get("OVERSHOOT_FLOW_REQUIRE_ALL") == "1"


@pytest.fixture(autouse=True)
def log_levels_are_as_before() -> Iterator[None]:
    """The command line sets levels of the process; another test must not miss its records."""
    loggers = logging.root.manager.loggerDict.values()
    before = {each: each.level for each in loggers if isinstance(each, logging.Logger)}
    yield
    for each in list(logging.root.manager.loggerDict.values()):
        if isinstance(each, logging.Logger):
            each.setLevel(before.get(each, logging.NOTSET))


@pytest.fixture(autouse=True)
def nothing_of_an_earlier_run_is_left() -> Iterator[None]:
    """A process has one run: no wish to stop and no open source of another test is met."""

    def forget() -> None:
        STOP.clear()
        for account in LEDGER.accounts().values():
            LEDGER.close(account)

    forget()
    yield
    forget()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse to run tests of one group side by side, which would measure each other's load."""
    if config.getoption("loadgroup", default=False):
        lost = [i for i in items if i.get_closest_marker("xdist_group") and "@" not in i.nodeid]
        if lost:
            raise pytest.UsageError(
                f"{len(lost)} tests lost their group: pytest-xdist does not go with this pytest"
            )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    return _no_skip(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    return _no_skip(report)


def _no_skip(report: Any) -> Any:
    if REQUIRE_ALL and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped although everything is required here: {report.longrepr}"
    return report
