"""Records → Delta tables, as a Bytewax sink; needs the extra `delta`.

`root/<dataset>` for the datasets `results`, `dead_letters`, `gaps` and `usage`, partitioned by the
day `date`. Results of several output schemas have a table each, `root/results_<schema key>`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Unpack

from overshoot_flow.errors import ConfigurationError
from overshoot_flow_connectors.delta_warehouse import DeltaWarehouse
from overshoot_flow_connectors.destination import Destination
from overshoot_flow_connectors.table_destination import TableDestination
from overshoot_flow_connectors.two_phase_sink import RollingOptions, TwoPhaseSink


class DeltaSink(TwoPhaseSink):
    """Writes `(stream_key, RecordBatchOf)` items into Delta tables.

    Rows of finished epochs wait in `staging` until there are enough of them for files, or until
    the run ends; then each table gets them in one commit. The commit has the writer's position
    beside the rows (as an application transaction, `txn`): with a recovery state
    (`overshoot_flow.flow.run(..., state=...)`) every row is in the table exactly once, however
    often the run is killed and gone on with.

    Without one, after a run that ended normally every row is there; after a kill the rows since
    the last commit are lost.

    Tables are created when missing. Nullable columns that are new are added to a table with the
    first rows that have them.

    Args:
        root: Folder of the tables, or a URL that delta-rs knows, such as `s3://bucket/tables`.
        staging: Folder on a local disk for rows that are not yet in a table. A run that goes on
            needs it as it needs its state folder; no other sink may use it.
        storage_options: delta-rs's settings of the storage, such as `{"AWS_REGION": "…"}`; those
            of the environment (`AWS_ACCESS_KEY_ID`, …) count as well and keep secrets out of the
            program.
        rolling: When rows become visible, see `RollingOptions`.

    Raises:
        ConfigurationError: A value is out of range, or `root` is a file. In the flow: rows do not
            fit a table, or `staging` is another run's.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        staging: str | os.PathLike[str],
        storage_options: Mapping[str, str] | None = None,
        **rolling: Unpack[RollingOptions],
    ) -> None:
        super().__init__(Path(staging).absolute(), **rolling)
        self._root = os.fspath(root)
        if "://" not in self._root:
            path = Path(self._root).absolute()
            if path.exists() and not path.is_dir():
                raise ConfigurationError(f"{path} is a file; name a directory")
            self._root = str(path)
        self._options = dict(storage_options or {})

    def _destination(self) -> Destination:
        return TableDestination(DeltaWarehouse(self._root, self._options))
