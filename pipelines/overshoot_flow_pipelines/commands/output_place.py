"""Where a run's Parquet datasets go, and which folders of this disk belong to it."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from overshoot_flow.errors import ConfigurationError
from overshoot_flow_connectors.object_store import ObjectPlace, is_url
from overshoot_flow_connectors.parquet_files import BY_DATE_AND_SOURCE, LAYOUTS, Layout

_STATE: Final = "_run"
_STAGING: Final = "staging"


def add_output_arguments(
    parser: argparse.ArgumentParser, durability: argparse._ActionsContainer
) -> None:
    """Add where the records and the run's state are."""
    parser.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="output folder, or the URL of one in an object store, such as s3://BUCKET/FOLDER",
    )
    parser.add_argument(
        "--partition-by",
        choices=[",".join(layout) for layout in LAYOUTS],
        default=",".join(BY_DATE_AND_SOURCE),
        help="folders of the datasets; with date alone, many short videos share their files "
        "(default: %(default)s)",
    )
    durability.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help=f"folder of the recovery state (default: {_STATE} in the output folder, or in "
        "--staging); the same command goes on where it ended or died",
    )
    durability.add_argument(
        "--staging",
        type=Path,
        metavar="DIR",
        help="with an --out in an object store: folder of the rows that are not there yet; it "
        f"belongs to the state (default: {_STAGING} in the folder of the state)",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPlace:
    """Places of a run.

    Attributes:
        layout: Partition columns of the datasets.
        out: A folder, or the URL of one in an object store.
        state: Folder of the recovery state.
        staging: With a URL: folder of the rows that are not yet in the store.
    """

    out: str
    state: Path
    staging: Path | None
    layout: Layout

    @classmethod
    def of(cls, options: argparse.Namespace) -> OutputPlace:
        """Read the arguments of `add_output_arguments`.

        Raises:
            ConfigurationError: They do not go together.
        """
        out: str = options.out
        state: Path | None = options.state
        staging: Path | None = options.staging
        layout: Layout = tuple(options.partition_by.split(","))
        if not is_url(out):
            if staging is not None:
                raise ConfigurationError(
                    f"--staging is for an --out in an object store; rows for {out} wait in it"
                )
            return cls(out=out, state=state or Path(out) / _STATE, staging=None, layout=layout)
        place = ObjectPlace.of(out)
        if state is not None:
            return cls(out=out, state=state, staging=staging or state / _STAGING, layout=layout)
        if staging is not None:
            return cls(out=out, state=staging / _STATE, staging=staging, layout=layout)
        raise ConfigurationError(
            f"rows for {place} wait on this disk until they are there: name a folder with "
            "--state DIR; the same command goes on from it"
        )

    @property
    def shown(self) -> str:
        """Where the records are, without a store's settings."""
        return str(ObjectPlace.of(self.out)) if is_url(self.out) else self.out
