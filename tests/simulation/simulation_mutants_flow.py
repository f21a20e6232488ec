"""Defects of positions, of the source, of the ledger and of `infer`."""

from __future__ import annotations

from typing import Final

from simulation_planting import Mutant

from overshoot_flow.flow.inference import InferStep
from overshoot_flow.flow.partition import ReaderPartition
from overshoot_flow.flow.ticks import Ticks
from overshoot_flow.session.ledger import Account
from overshoot_flow.session.position import Position
from overshoot_flow.session.progress import Progress

_POSITION: Final = (
    Mutant(
        "a position keeps stretches that its prefix has overtaken",
        Position,
        "advance",
        "while self._starts and self._starts[0] <= self.prefix_us:",
        "while False:",
    ),
    Mutant(
        "a finished stretch is a microsecond too long",
        Position,
        "finish",
        "self._ends[first:last] = [end_us]",
        "self._ends[first:last] = [end_us + 1]",
    ),
    Mutant(
        "the end of a stretch counts as finished",
        Position,
        "is_finished",
        "pts_us < self._ends[index]",
        "pts_us <= self._ends[index]",
    ),
    Mutant(
        "a resumed position has forgotten its stretches",
        Position,
        "from_state",
        "position.finish(start_us, end_us)",
        "pass",
    ),
    Mutant(
        "a saved position has only its first stretch",
        Position,
        "to_state",
        "self.stretches",
        "self.stretches[:1]",
    ),
    Mutant(
        "the prefix passes the first unfinished frame",
        Progress,
        "_advance",
        "position.advance(pts_us)",
        "position.advance(pts_us + 1)",
    ),
    Mutant(
        "the prefix passes frames that are still to be read",
        Progress,
        "_advance",
        "self._emitted[-1] + 1",
        "self._emitted[-1] + 1_000_000",
    ),
    Mutant(
        "what one step has finished counts for all",
        Progress,
        "take",
        "self._positions[piece.step_id].finish(piece.start_us, piece.end_us)",
        "[each.finish(piece.start_us, piece.end_us) for each in self._positions.values()]",
    ),
    Mutant(
        "reading begins where the fastest step is",
        Progress,
        "start_us",
        "min(",
        "max(",
    ),
    Mutant(
        "a frame that one step has finished is not read for the others",
        Progress,
        "is_finished",
        "all(",
        "any(",
    ),
    Mutant(
        "a resumed step does not know what it had finished",
        Progress,
        "from_state",
        "for step_id, position in state.items()},\n    )",
        "for step_id, position in state.items() if False},\n    )",
    ),
)

_SOURCE: Final = (
    Mutant("a tick without its pieces", Ticks, "take", "pieces=pieces", "pieces=()"),
    Mutant(
        "only the first piece of a tick reaches the position",
        Ticks,
        "take",
        "self._progress.take(pieces,",
        "self._progress.take(pieces[:1],",
    ),
    Mutant(
        "the snapshot is the one before the pieces were taken",
        ReaderPartition,
        "snapshot",
        "return {",
        "self._old, old = self._progress.to_state(), getattr(self, '_old', {})\n"
        '    return {"identity": self._identity, "steps": old}\n'
        "    return {",
    ),
    Mutant(
        "finished frames are emitted again",
        ReaderPartition,
        "_read",
        "if not self._progress.is_finished(start_us):",
        "if True:",
    ),
    Mutant(
        "the prefix passes a decoding gap that is not recorded",
        ReaderPartition,
        "_read",
        "self._progress.emitted(start_us)",
        "isinstance(item, Frame) and self._progress.emitted(start_us)",
    ),
    Mutant(
        "the source does not heed the brake",
        ReaderPartition,
        "_read",
        "self._account.room()",
        "100",
    ),
    Mutant(
        "a decoding gap counts as an emitted frame",
        ReaderPartition,
        "_read",
        "sum(not isinstance(item, MediaGap) for item in items)",
        "len(items)",
    ),
    Mutant(
        "the source ends before everything is answered",
        ReaderPartition,
        "_finished",
        "return self._account.drained",
        "return True",
    ),
)

_LEDGER: Final = (
    Mutant(
        "the brake allows one frame too many",
        Account,
        "room",
        "self.capacity - self._emitted + min(live)",
        "self.capacity - self._emitted + min(live) + 1",
    ),
    Mutant("the fastest session has the brake", Account, "room", "min(live)", "max(live)"),
    Mutant("pieces are taken twice", Account, "take", "self._pieces.clear()", "pass"),
    Mutant(
        "the last piece is thrown away",
        Account,
        "take",
        "tuple(self._pieces)",
        "tuple(self._pieces)[:-1]",
    ),
    Mutant(
        "drained although pieces wait",
        Account,
        "drained",
        "not self._pieces and",
        "",
    ),
)

_OPERATOR: Final = (
    Mutant(
        "a step emits the outcomes of all steps",
        InferStep,
        "__call__",
        "if piece.step_id == self.step_id:",
        "if True:",
    ),
    Mutant(
        "a frame that is finished already is not released",
        InferStep,
        "_hand_over",
        "stream.account.release(self.step_id)",
        "pass",
    ),
    Mutant(
        "a resumed step asks again about what it had finished",
        InferStep,
        "_hand_over",
        "if stream.account.finished_before(self.step_id, item.pts_us):",
        "if False:",
    ),
)


FLOW_MUTANTS: Final = (*_POSITION, *_SOURCE, *_LEDGER, *_OPERATOR)
