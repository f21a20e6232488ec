"""Which tests used which real service, at the end of pytest's output."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print a line for each service."""
    users: dict[str, set[str]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, service in getattr(report, "user_properties", ()):
                if name == "service":
                    users.setdefault(service, set()).add(report.nodeid)
    if users:
        terminalreporter.section("real services")
    for service, tests in sorted(users.items()):
        terminalreporter.write_line(f"{service}: {len(tests)} tests")
        for test in sorted(tests):
            terminalreporter.write_line(f"    {test}")
