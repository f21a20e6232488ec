"""Defects of the two-phase sink."""

from __future__ import annotations

from typing import Final

from simulation_disk import MemoryLog, SimulatedPartition
from simulation_engine import RecoveryStore
from simulation_planting import Mutant

from overshoot_flow_connectors.parquet_partition import ParquetPartition
from overshoot_flow_connectors.parquet_phases import TwoPhases
from overshoot_flow_connectors.parquet_state import ParquetState

SINK_MUTANTS: Final = (
    Mutant(
        "snapshots of lost epochs stay in the store",
        RecoveryStore,
        "forget_lost_epochs",
        "del states[epoch]",
        "pass",
    ),
    Mutant(
        "files are published in the epoch that stages them",
        TwoPhases,
        "snapshot",
        "state = state.rolled()",
        "actions.append(Publish(state.sequence))\n        state = state.rolled().published()",
    ),
    Mutant(
        "what is staged is not in the state",
        ParquetState,
        "rolled",
        "(*self.staged, self.sequence)",
        "self.staged",
    ),
    Mutant(
        "what is staged is not read from the state",
        ParquetState,
        "from_plain",
        'tuple(plain["staged"])',
        "()",
    ),
    Mutant(
        "what was staged before a crash is not published",
        TwoPhases,
        "resume",
        "actions += map(Publish, due)",
        "",
    ),
    Mutant(
        "rows that the end has made visible stay in the log",
        TwoPhases,
        "resume",
        "state = ParquetState(run_id=state.run_id, sequence=state.sequence + 1)",
        "pass",
    ),
    Mutant(
        "a resumed run begins its log anew",
        TwoPhases,
        "resume",
        "OpenLog(state.sequence, state.log_bytes)",
        "OpenLog(state.sequence, 0)",
    ),
    Mutant(
        "what is staged is forgotten at the end",
        TwoPhases,
        "end",
        "actions += map(Publish, self.state.staged)",
        "pass",
    ),
    Mutant(
        "the last rows are published without a mark",
        SimulatedPartition,
        "_write",
        'self._own.disk.moment(f"write {name}")',
        'if name == "end.json":\n        return\n    self._own.disk.moment(f"write {name}")',
    ),
    Mutant(
        "the log is measured before its rows are in it",
        ParquetPartition,
        "snapshot",
        "self._append_pending()\n    log_bytes = self._open.sync()",
        "log_bytes = self._open.sync()\n    self._append_pending()",
    ),
    Mutant(
        "rows are not counted",
        ParquetPartition,
        "_append_pending",
        "self._rows += merged.num_rows",
        "pass",
    ),
    Mutant(
        "a resumed log keeps the rows of lost epochs",
        MemoryLog,
        "__init__",
        "del entries[length // _ROW_BYTES :]",
        "pass",
    ),
)
