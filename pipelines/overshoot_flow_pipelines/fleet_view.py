"""How a fleet is doing, as rows for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import chain

from overshoot_flow.errors import OvershootFlowError
from overshoot_flow.flow.stopping import STOP
from overshoot_flow.session.ledger import LEDGER, Hold
from overshoot_flow.session.runtime import RUNTIME
from overshoot_flow.session.status import SessionFacts
from overshoot_flow_connectors.fleet_source import FleetSource
from overshoot_flow_connectors.rtsp_settings import NOT_CONNECTED_YET, CameraStatus
from overshoot_flow_pipelines.fleet_flow import INFER_STEP
from overshoot_flow_pipelines.tally import Counts, Tally


class Condition(Enum):
    """How a camera is doing, in a word."""

    WATCHED = "watched"
    WAITING = "waiting"
    """It is connected, and nothing is asked about it for the time being."""
    BEGINNING = "beginning"
    PROBLEM = "problem"
    ENDING = "ending"


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraRow:
    """One camera at one moment.

    Attributes:
        name: Its name.
        condition: How it is doing.
        detail: The same in words, without secrets.
        fps: Pictures per second that come from it.
        published: Pictures that were published.
        delivered: Width and height of what was sent last in pixels, or None.
        lag_s: How old the newest picture was when it was published, or None.
        counts: What was said about it.
    """

    name: str
    condition: Condition
    detail: str
    fps: float
    published: int
    delivered: tuple[int, int] | None
    lag_s: float | None
    counts: Counts


def condition_of(
    status: CameraStatus | None,
    hold: Hold | None,
    failure: OvershootFlowError | None,
    *,
    stopping: bool = False,
) -> tuple[Condition, str]:
    """Say how a camera is doing, the worst first."""
    if failure is not None:
        return Condition.PROBLEM, str(failure)
    if stopping:
        return Condition.ENDING, "the answers due are collected"
    if status is None:
        return Condition.BEGINNING, NOT_CONNECTED_YET
    if not status.connected:
        problem = status.problem or NOT_CONNECTED_YET
        is_new = problem == NOT_CONNECTED_YET
        return Condition.BEGINNING if is_new else Condition.PROBLEM, problem
    if hold is not None:
        return Condition.WAITING, hold.detail
    return Condition.WATCHED, "passed through" if status.passes_through else "decoded"


class FleetView:
    """A fleet that runs, to look at; any thread may ask.

    Args:
        source: The fleet's source.
        tally: What is counted behind `infer`.
    """

    def __init__(self, source: FleetSource, tally: Tally) -> None:
        self._source = source
        self.tally = tally

    @property
    def file_problem(self) -> str | None:
        """What is wrong with the fleet file now, one problem a line, or None."""
        problem = self._source.problem
        return None if problem is None else str(problem)

    def rows(self) -> list[CameraRow]:
        """Return the present cameras in the file's order."""
        statuses, sessions = self._source.statuses(), RUNTIME.statuses()
        rows: list[CameraRow] = []
        for camera in self._source.fleet.cameras:
            name = camera.name
            status, account = statuses.get(name), LEDGER.account(name)
            condition, detail = condition_of(
                status,
                None if account is None else account.held,
                RUNTIME.failures.get(name),
                stopping=STOP.is_set(),
            )
            session = sessions.get((INFER_STEP, name))
            facts = None if session is None else session.facts()
            rows.append(
                CameraRow(
                    name=name,
                    condition=condition,
                    detail=detail,
                    fps=0.0 if status is None or not status.connected else status.fps,
                    published=0 if facts is None else facts.frames_published,
                    delivered=None if facts is None else _delivered(facts),
                    lag_s=None if facts is None else facts.lag_s,
                    counts=self.tally.of(name),
                )
            )
        return rows


def _delivered(facts: SessionFacts) -> tuple[int, int] | None:
    if facts.delivered_width is None or facts.delivered_height is None:
        return None
    return facts.delivered_width, facts.delivered_height


def headline(rows: Sequence[CameraRow], counts: Counts) -> str:
    """Say how the whole fleet is doing, in one line."""
    return "; ".join(chain(_conditions(rows), _sums(counts)))


def _conditions(rows: Sequence[CameraRow]) -> Iterator[str]:
    found = Counter(row.condition for row in rows)
    yield f"{len(rows)} cameras, {found[Condition.WATCHED]} watched"
    if found[Condition.WAITING]:
        yield f"{found[Condition.WAITING]} waiting"
    troubled = [row for row in rows if row.condition is Condition.PROBLEM]
    if troubled:
        more = f" and {len(troubled) - 3} more" if len(troubled) > 3 else ""  # noqa: PLR2004 - as shown
        shown = ", ".join(f"{row.name}: {row.detail}" for row in troubled[:3])
        yield f"{len(troubled)} with problems ({shown}{more})"


def _sums(counts: Counts) -> Iterator[str]:
    yield f"{counts.results} results, {counts.dead_letters} dead letters, {counts.gaps} gaps"
    yield f"{counts.cost_cents:.2f} cents"
