"""Records → Iceberg tables, as a Bytewax sink; needs the extra `iceberg`.

`<namespace>.<dataset>` for the datasets `results`, `dead_letters`, `gaps` and `usage`, partitioned
by the day `date`. Results of several output schemas have a table each,
`<namespace>.results_<schema key>`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Unpack
from urllib.parse import urlsplit

from overshoot_flow.errors import ConfigurationError
from overshoot_flow_connectors.destination import Destination
from overshoot_flow_connectors.iceberg_warehouse import IcebergWarehouse
from overshoot_flow_connectors.table_destination import TableDestination
from overshoot_flow_connectors.two_phase_sink import RollingOptions, TwoPhaseSink

DEFAULT_NAMESPACE: Final = "overshoot"


def embedded_catalog(directory: str | os.PathLike[str]) -> dict[str, str]:
    """Return the settings of a catalog in an SQLite file, with its tables, in one local folder.

    For one machine; the folder is created when missing. Readers must load it by the same name:
    `load_catalog("overshoot", **embedded_catalog(folder))`.

    Raises:
        ConfigurationError: The folder cannot be created.
    """
    folder = Path(directory).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"cannot make {folder}: {error.strerror}") from None
    return {
        "type": "sql",
        "uri": f"sqlite:///{folder}/catalog.db",
        "warehouse": folder.as_uri(),
    }


class IcebergSink(TwoPhaseSink):
    """Writes `(stream_key, RecordBatchOf)` items into Iceberg tables.

    Rows of finished epochs wait in `staging` until there are enough of them for files, or until
    the run ends; then each table gets them in one commit. The commit has the writer's position
    beside the rows (in the snapshot's summary, and as a property of the table that outlives
    expired snapshots): with a recovery state (`overshoot_flow.flow.run(..., state=...)`) every
    row is in the table exactly once, however often the run is killed and gone on with.

    Without one, after a run that ended normally every row is there; after a kill the rows since
    the last commit are lost.

    Tables are created when missing. Nullable columns that are new are added to a table with the
    first rows that have them.

    Args:
        catalog: pyiceberg's settings of a catalog, such as `embedded_catalog("warehouse")` or
            `{"type": "rest", "uri": "https://…", "credential": "…"}`, and perhaps its `name`
            (`overshoot` if not), by which SQL catalogs tell their tables apart; or the name of one
            that pyiceberg's own configuration has (its file, or the variables
            `PYICEBERG_CATALOG__<NAME>__…`), which keeps secrets out of the program.
        staging: Folder on a local disk for rows that are not yet in a table. A run that goes on
            needs it as it needs its state folder; no other sink may use it.
        namespace: Where the tables are; created when missing. Dots separate its levels.
        rolling: When rows become visible, see `RollingOptions`.

    Raises:
        ConfigurationError: A value is out of range. In the flow: rows do not fit a table, or
            `staging` is another run's.
    """

    def __init__(
        self,
        catalog: str | Mapping[str, str],
        *,
        staging: str | os.PathLike[str],
        namespace: str = DEFAULT_NAMESPACE,
        **rolling: Unpack[RollingOptions],
    ) -> None:
        super().__init__(Path(staging).absolute(), **rolling)
        if not namespace or not all(namespace.split(".")):
            raise ConfigurationError(
                f'namespace is {namespace!r}; name one, such as "{DEFAULT_NAMESPACE}"'
            )
        if not catalog:
            raise ConfigurationError(
                'no catalog; write catalog=embedded_catalog("warehouse"), or {"type": "rest", '
                '"uri": "https://…"}'
            )
        uri = "" if isinstance(catalog, str) else catalog.get("uri", "")
        if uri.startswith("http") and urlsplit(uri).username is not None:
            # pyiceberg shows it in warnings.
            raise ConfigurationError(
                "the catalog's uri has credentials; write them as its credential or token"
            )
        self._catalog = catalog
        self._namespace = namespace

    def _destination(self) -> Destination:
        return TableDestination(IcebergWarehouse(self._catalog, self._namespace))
