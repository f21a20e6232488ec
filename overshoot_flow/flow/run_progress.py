"""Whether a run gets on from one life to the next, told from outside while none is alive."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow.run_manifest import Manifest
from overshoot_flow.flow.run_state import files_of

_NEWEST: Final = """
    SELECT state_key, ser_change FROM snaps AS newest
    WHERE step_id = ? AND snap_epoch = (
        SELECT max(snap_epoch) FROM snaps
        WHERE step_id = newest.step_id AND state_key = newest.state_key
    ) ORDER BY state_key
"""


def positions_digest(state: Path) -> str | None:
    """Return hex digits that change when a source of the run has got on, or None without a state.

    Epochs pass also while nothing is done, and sinks note the time; only the sources' positions
    tell whether a run that is started again and again does anything.
    """
    manifest_file, stores = files_of(state)
    if not manifest_file.exists():
        return None
    digest = hashlib.sha256()
    try:
        for source in sorted(Manifest.read(manifest_file).shape.sources):
            for store in stores:
                with closing(sqlite3.connect(store)) as database:
                    for position in database.execute(_NEWEST, (source,)):
                        digest.update(repr((source, position)).encode())
    except (ConfigurationError, sqlite3.DatabaseError):
        # A damaged state, or one in which nothing has begun: the next start says what it is.
        return None
    return digest.hexdigest()
