"""What a terminal, and a log without one, say about a fleet."""

from __future__ import annotations

import io
import logging
import sys

import pytest
from rich.console import Console
from rtsp_support import until

from overshoot_flow.errors import AuthenticationError
from overshoot_flow.media.camera_clock import ClockHealth
from overshoot_flow.results import GapReason
from overshoot_flow.session.ledger import Hold
from overshoot_flow_connectors.rtsp_settings import CameraStatus
from overshoot_flow_pipelines.fleet_screen import FleetLines, fleet_screen, table
from overshoot_flow_pipelines.fleet_view import CameraRow, Condition, condition_of, headline
from overshoot_flow_pipelines.tally import Counts, Tally


def status(**changes: object) -> CameraStatus:
    facts: dict[str, object] = {
        "connected": True,
        "problem": None,
        "paused": False,
        "passes_through": False,
        "decoded_because": "a mask",
        "codec": "h264",
        "size": (640, 360),
        "fps": 25.0,
        "connections": 1,
        "attempts": 1,
        "stalls": 0,
        "freezes": 0,
        "packets": 1,
        "bytes_in": 1,
        "pictures": 1,
        "frames": 1,
        "damaged": 0,
        "given_up": {},
        "clock": ClockHealth(),
        **changes,
    }
    return CameraStatus(**facts)  # type: ignore[arg-type] # as written above


@pytest.mark.parametrize(
    ("seen", "hold", "failure", "condition", "detail"),
    [
        (None, None, None, Condition.BEGINNING, "not connected yet"),
        (
            status(connected=False, problem="not connected yet"),
            None,
            None,
            Condition.BEGINNING,
            "not connected yet",
        ),
        (
            # After refused credentials the next attempt is a minute away.
            status(connected=False, problem="no answer", attempts=1),
            Hold(GapReason.SLOT, "no free stream"),
            None,
            Condition.PROBLEM,
            "no answer",
        ),
        (
            status(),
            Hold(GapReason.SLOT, "no free stream"),
            None,
            Condition.WAITING,
            "no free stream",
        ),
        (status(), None, None, Condition.WATCHED, "decoded"),
        (status(passes_through=True), None, None, Condition.WATCHED, "passed through"),
        (status(), None, AuthenticationError("no such key"), Condition.PROBLEM, "no such key"),
    ],
)
def test_the_worst_about_a_camera_is_said_first(
    seen: CameraStatus | None,
    hold: Hold | None,
    failure: AuthenticationError | None,
    condition: Condition,
    detail: str,
) -> None:
    assert condition_of(seen, hold, failure) == (condition, detail)


def test_while_the_run_stops_a_camera_ends() -> None:
    condition, _ = condition_of(status(connected=False), None, None, stopping=True)
    assert condition is Condition.ENDING


class FakeView:
    """A fleet of rows."""

    def __init__(self, rows: list[CameraRow], file_problem: str | None = None) -> None:
        self._rows = rows
        self.file_problem = file_problem
        self.tally = Tally()

    def rows(self) -> list[CameraRow]:
        return self._rows


def row(name: str, condition: Condition, detail: str) -> CameraRow:
    return CameraRow(
        name=name,
        condition=condition,
        detail=detail,
        fps=24.96,
        published=1234,
        delivered=(640, 360),
        lag_s=0.31,
        counts=Counts(results=7, dead_letters=2, gaps=3, cost_cents=1.5),
    )


ROWS = [
    row("gate", Condition.WATCHED, "decoded"),
    row("yard", Condition.WAITING, "no free stream"),
    row("dock", Condition.PROBLEM, "the camera does not answer in time"),
]


def drawn(view: FakeView, most_rows: int) -> str:
    console = Console(file=io.StringIO(), width=160, record=True)
    console.print(table(view, most_rows))  # type: ignore[arg-type] # it is looked at alike
    return console.export_text()


def test_the_table_has_a_row_for_each_camera() -> None:
    text = drawn(FakeView(ROWS, "fleet.toml:3: name is empty"), 10)
    (gate,) = [line for line in text.splitlines() if "gate" in line]
    for cell in ("watched: decoded", "25.0", "1234", "640x360", "0.3 s", "7", "2", "3", "1.50"):
        assert cell in gate
    assert "3 cameras, 1 watched; 1 waiting" in text
    assert "fleet.toml:3: name is empty" in text


def test_where_it_does_not_fit_problems_come_first() -> None:
    text = drawn(FakeView(ROWS), 1)
    lines = text.splitlines()
    assert any("dock" in line and "problem" in line for line in lines)
    assert not any("yard" in line for line in lines)
    assert "and 2 cameras more" in text


def test_the_headline_names_few_of_many_problems() -> None:
    many = [row(f"c{number}", Condition.PROBLEM, "gone") for number in range(5)]
    assert headline(many, Counts(results=1)) == (
        "5 cameras, 0 watched; 5 with problems (c0: gone, c1: gone, c2: gone and 2 more); "
        "1 results, 0 dead letters, 0 gaps; 0.00 cents"
    )


def test_without_a_terminal_there_are_lines(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.INFO),
        FleetLines(FakeView(ROWS), interval_s=0.01),  # type: ignore[arg-type] # as above
    ):
        until(lambda: len(caplog.records) >= 2)
    assert caplog.records[0].getMessage().startswith("3 cameras, 1 watched")


def test_log_lines_go_above_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(sys, "stderr", terminal)
    handler = logging.StreamHandler(terminal)
    logging.getLogger().addHandler(handler)
    try:
        console = Console(file=terminal, force_terminal=True, width=120, height=30)
        with fleet_screen(FakeView(ROWS), console):  # type: ignore[arg-type] # as above
            assert handler.stream is not terminal
            logging.getLogger("a").error("a line")
        assert handler.stream is terminal
    finally:
        logging.getLogger().removeHandler(handler)
    assert "a line" in terminal.getvalue()
    assert "gate" in terminal.getvalue()
