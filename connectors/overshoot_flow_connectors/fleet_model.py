"""What a fleet is: cameras, what is asked about each, where it is asked, where the answers go.

Every class is frozen and compared by value. Secrets are read from where the file says that they are
kept, and show themselves nowhere.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from overshoot_flow.config import Inference, Secret, Service
from overshoot_flow.errors import ConfigurationError
from overshoot_flow.media.masking import MaskShape, Polygon, Rectangle
from overshoot_flow.media.sampling import SamplingPlan
from overshoot_flow_connectors.fleet_kafka_sink import FleetKafkaSink
from overshoot_flow_connectors.parquet_files import BY_DATE_AND_SOURCE, Layout
from overshoot_flow_connectors.rtsp_address import Camera

__all__ = [
    "Fleet",
    "FleetCamera",
    "FleetKafkaSink",
    "FleetParquetSink",
    "FleetService",
    "FleetSink",
    "FleetStagedSink",
    "MaskShape",
    "Polygon",
    "Rectangle",
    "SecretReference",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretReference:
    """Where a secret is kept; exactly one of the two is set.

    Args:
        env: Name of an environment variable.
        file: Path of a file that holds nothing else; line breaks at its end do not count.
    """

    env: str | None = None
    file: Path | None = None

    def __post_init__(self) -> None:
        """Refuse none and both."""
        if (self.env is None) == (self.file is None):
            raise ConfigurationError("a secret is kept in env or in file: name exactly one")

    def read(self, environment: Mapping[str, str] = os.environ) -> Secret:
        """Read the secret.

        Raises:
            ConfigurationError: It is not there, or empty.
        """
        if self.file is None:
            name = self.env or ""
            value = environment.get(name, "").rstrip("\r\n")
            if not value:
                raise ConfigurationError(f"the environment variable {name} is not set")
            return Secret(value)
        try:
            value = self.file.read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            raise ConfigurationError(
                f"cannot read the file {self.file}: {error.strerror}"
            ) from None
        except ValueError:
            raise ConfigurationError(f"the file {self.file} is no text") from None
        if not value:
            raise ConfigurationError(f"the file {self.file} is empty")
        return Secret(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetCamera:
    """One camera and what is asked about it.

    Attributes:
        name: Its name, unique in the fleet; the key of its stream in all records.
        address: Where it is.
        inference: What is asked.
        sample: Which pictures are looked at; None for all of them, published without decoding
            where that is possible.
        max_height: Largest height of a published picture in pixels, or None for the camera's own.
        freeze_timeout_s: A camera that repeats one picture for this long is connected to anew;
            None where still pictures are normal.
        labels: Names and values of your own.
        priority: When there are fewer slots than cameras, the greater number goes first.
        service: Name of the service that is asked, or None for any with a free slot.
        mask: Parts of the picture that are blacked out before it leaves this machine.
        budget_cents: At most this much is spent on the camera in one run; None for no limit.
    """

    name: str
    address: Camera
    inference: Inference
    sample: SamplingPlan | None = None
    max_height: int | None = None
    freeze_timeout_s: float | None = None
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    priority: int = 0
    service: str | None = None
    mask: tuple[MaskShape, ...] = ()
    budget_cents: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetService:
    """One key at one service.

    Attributes:
        name: Its name, unique in the fleet.
        service: Base URL, key and number of streams.
    """

    name: str
    service: Service


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetParquetSink:
    """Answers as Parquet datasets, see `ParquetSink`.

    Attributes:
        directory: Where the datasets are.
        layout: Their partition columns.
        roll_interval_s: How long rows may wait until their file is visible.
    """

    directory: Path
    layout: Layout = BY_DATE_AND_SOURCE
    roll_interval_s: float = 300.0

    @property
    def place(self) -> str:
        """Where the records are, for people."""
        return str(self.directory)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetStagedSink:
    """Answers that wait on the disk for a place elsewhere.

    Attributes:
        kind: `parquet` for datasets in an object store, `iceberg`, or `delta`.
        place: Path or URL of datasets or tables, or the name of a catalog that pyiceberg is
            configured with.
        is_catalog: Whether `place` is such a name.
        namespace: Of Iceberg tables, or None for the default one.
        staging: The folder in which they wait.
        layout: Partition columns of `parquet`.
        roll_interval_s: How long rows may wait until they are visible.
    """

    kind: str
    place: str
    is_catalog: bool
    namespace: str | None
    staging: Path
    layout: Layout = BY_DATE_AND_SOURCE
    roll_interval_s: float = 300.0


FleetSink: TypeAlias = FleetParquetSink | FleetKafkaSink | FleetStagedSink


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """A whole fleet file.

    Attributes:
        cameras: At least one, in the file's order.
        services: At least one, in the file's order.
        sinks: Where the answers go.
        budget_cents: At most this much is spent in one run; None for no limit.
        dwell_s: How long a camera keeps its slot while others of its priority wait for one; None
            to keep it.
        metrics_listen: `host:port` at which metrics are to be served, or None.
        files: Every file that was read for it, absolute, the fleet file first; not compared.
    """

    cameras: tuple[FleetCamera, ...]
    services: tuple[FleetService, ...]
    sinks: tuple[FleetSink, ...] = ()
    budget_cents: float | None = None
    dwell_s: float | None = None
    metrics_listen: str | None = None
    files: tuple[Path, ...] = field(default=(), compare=False)
