"""Replays dead letters: what passes another schema or repair becomes a result, exactly once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final

from overshoot_flow.errors import ConfigurationError, UnsupportedSchemaError
from overshoot_flow.repair_level import Repair
from overshoot_flow.results import Failure, Result
from overshoot_flow.schema.dead_letters import REPLAYABLE, replayed
from overshoot_flow.schema.json_schema import OutputSchema, Rejected
from overshoot_flow_connectors.parquet_asking import Asking, AskingAgain
from overshoot_flow_connectors.parquet_dead_letters import REPLAYS, DeadLetters, Selection, key_of
from overshoot_flow_connectors.parquet_files import DirectoryLock, disk_errors
from overshoot_flow_connectors.parquet_mover import Mover, compiled
from overshoot_flow_connectors.parquet_moves import StagedFiles
from overshoot_flow_connectors.parquet_partition import STATE_FOLDER
from overshoot_flow_connectors.replay_report import ReplayReport

LETTERS_AT_ONCE: Final = 20_000
"""Dead letters that are looked at, and whose results become visible, together."""


def replay(
    directory: Path,
    *,
    schema: OutputSchema | None = None,
    repair: Repair | str = Repair.FENCES,
    selection: Selection = Selection(),  # noqa: B008 - frozen
    asking: Asking | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> ReplayReport:
    """Check the answers of dead letters again, and make results of those that pass now.

    A result has the identity of its dead letter, which the dataset `replays` then names. No file
    changes. Killed at any moment and done again, it neither loses nor doubles a row; other runs
    may write into the directory meanwhile.

    With `asking`, the service is asked once more about what has no whole answer, and what is
    charged for that is recorded with what it brought. Every few seconds it is decided what has
    been answered; of what a kill leaves undecided, nothing is recorded, and it is asked again.

    Args:
        directory: The directory of all datasets.
        schema: What the answers must satisfy now; None for what each was checked with.
        repair: What may be repaired now.
        selection: Which dead letters are meant.
        asking: What was asked, and where it is to be asked again; None to ask nobody.
        now: The time in UTC.

    Raises:
        ConfigurationError: Another replay is at work; the results would not go with those that
            are there; `schema` is given and the dead letters are of several schemas, or something
            is to be asked too.
        SinkError: The disk refuses.
        OvershootFlowError: No question can be answered, for want of credit for instance; what was
            answered before is recorded.
    """
    letters = DeadLetters(directory)
    if schema is not None:
        if asking is not None:
            raise ConfigurationError(
                "what is asked again is the same question, with the schema that it had: replay "
                "with another schema without asking"
            )
        _refuse_several_schemas(letters, selection)
    folder = directory / STATE_FOLDER / REPLAYS
    with disk_errors(folder):
        lock = DirectoryLock(folder)
    try:
        staged = StagedFiles(directory, folder)
        staged.finish()
        again = None if asking is None else AskingAgain(asking, repair)
        return _Replay(Mover(letters, staged, now), schema, repair, again).run(
            letters.failures(selection)
        )
    finally:
        try:
            _leave(folder)
        finally:
            lock.release()


@dataclass(frozen=True, slots=True)
class _Replay:
    mover: Mover
    schema: OutputSchema | None
    repair: Repair | str
    asking: AskingAgain | None
    report: ReplayReport = field(default_factory=ReplayReport)

    def run(self, failures: Iterator[Failure]) -> ReplayReport:
        """Move what passes of `failures`, then ask about what is to be asked about."""
        while some := list(islice(failures, LETTERS_AT_ONCE)):
            self.mover.move(self._passing(some), self.report)
        if self.asking is not None:
            self.asking.ask(self.mover, self.report)
        return self.report

    def _passing(self, failures: Iterable[Failure]) -> Iterator[Result]:
        for failure in failures:
            if failure.result_id in self.mover.done:
                self.report.done_before += 1
                continue
            checked = _checked(failure, self.schema, self.repair)
            if self.asking is not None and self.asking.takes(failure, checked):
                continue
            match checked:
                case None:
                    self.report.not_replayable[failure.reason] += 1
                case Rejected():
                    self.report.failing[checked.reason] += 1
                case Result():
                    yield checked


def _checked(
    failure: Failure, schema: OutputSchema | None, repair: Repair | str
) -> Result | Rejected | None:
    """Check an answer again; None where there is no whole one, or no schema."""
    if failure.reason not in REPLAYABLE or failure.raw_text is None:
        return None
    if schema is None and failure.schema_json is None:
        return None
    return replayed(failure, schema or _own_schema(failure), repair)


def _own_schema(failure: Failure) -> OutputSchema:
    try:
        return compiled(failure.schema_json or "")
    except UnsupportedSchemaError as error:
        raise ConfigurationError(
            f"dead letters were checked with the schema {key_of(failure)}, which is refused now "
            f"({error}): replay them with --schema and --schema-key {key_of(failure)}, and others "
            "with their --schema-key"
        ) from None


def _leave(folder: Path) -> None:
    # What was not completed waits there for the next replay, and a run may be at work beside it.
    with contextlib.suppress(OSError):
        folder.rmdir()
        folder.parent.rmdir()


def _refuse_several_schemas(letters: DeadLetters, selection: Selection) -> None:
    """Another question's answer may satisfy the schema by chance."""
    keys = sorted(
        {key_of(each) for each in letters.failures(selection) if each.reason in REPLAYABLE}
    )
    if len(keys) > 1:
        raise ConfigurationError(
            f"the dead letters were checked with {len(keys)} schemas ({', '.join(keys)}): say "
            "whose answers the new schema is for with --schema-key"
        )
