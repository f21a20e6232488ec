"""A fleet file as a Bytewax source."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from bytewax.inputs import FixedPartitionedSource

from overshoot_flow.errors import ConfigurationError, FleetFileError
from overshoot_flow.flow.items import Item
from overshoot_flow.flow.live_partition import LiveReader
from overshoot_flow.flow.partition import ReaderState
from overshoot_flow.media.masking import PictureMask
from overshoot_flow.media.sampling import EveryFrame, SamplingPlan
from overshoot_flow.results import GapReason
from overshoot_flow.session.clock import SteadyUtc
from overshoot_flow.spending import Spending
from overshoot_flow_connectors.fleet_follower import FleetFollower
from overshoot_flow_connectors.fleet_model import Fleet, FleetCamera
from overshoot_flow_connectors.fleet_partition import FleetPartition
from overshoot_flow_connectors.fleet_plan import partition_of
from overshoot_flow_connectors.rtsp_reader import RtspReader
from overshoot_flow_connectors.rtsp_settings import CameraStatus, RtspSettings


class FleetSource(FixedPartitionedSource[Item, ReaderState]):
    """Watches the cameras of a fleet file, and follows the file while it runs.

    It says what is asked about each camera, so the `infer` step behind it is given nothing:
    `infer("ask", frames)`. What is written about `RtspSource` holds for every camera.

    The engine's partitions are fixed and a fleet is not: each partition holds the cameras whose
    names fall to it. In a cluster every process reads the file itself, and has a budget of the
    run of its own.

    Args:
        fleet_file: The fleet file.
        partitions: Among how many partitions the cameras are shared out; the same for the whole
            life of a run.
        settings: Time-outs, reconnection, bounds; the file's own settings stand over it.
        environment: Environment variables that the file may refer to.

    Raises:
        FleetFileError: The file is wrong; the text has every problem with its line.
        ConfigurationError: There is no partition.
    """

    def __init__(
        self,
        fleet_file: str | os.PathLike[str],
        *,
        partitions: int = 1,
        settings: RtspSettings | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        if partitions < 1:
            raise ConfigurationError(f"partitions is {partitions}; it must be at least 1")
        self._follower = FleetFollower(fleet_file, environment)
        self._settings = settings or RtspSettings()
        self._keys = [f"{number}-of-{partitions}" for number in range(partitions)]
        self._plan: SamplingPlan | None = None
        self._lock = threading.Lock()
        self._partitions: dict[str, FleetPartition] = {}
        self._spending = Spending()

    @property
    def fleet(self) -> Fleet:
        """The present fleet: the newest one that was right."""
        return self._follower.fleet

    @property
    def problem(self) -> FleetFileError | None:
        """What is wrong with the fleet file now, or None; the fleet goes on as it was."""
        return self._follower.problem

    def look_now(self) -> None:
        """Look at the fleet file at once; may be called by a signal handler."""
        self._follower.look_now()

    def statuses(self) -> Mapping[str, CameraStatus]:
        """Return how the cameras of this process are doing, by name; any thread may ask.

        A camera that is in the file and not here has not been connected to yet, or belongs to
        another process.
        """
        return {
            name: reader.status
            for each in self._here()
            for name, reader in each.readers().items()
            if isinstance(reader, RtspReader)
        }

    def frames_read(self) -> Mapping[str, int]:
        """Return how many frames each camera of this process has emitted in this part of a run."""
        frames: Counter[str] = Counter()
        for each in self._here():
            frames.update(each.frames_read())
        return frames

    def list_parts(self) -> list[str]:
        """Return the names of the partitions, which tell how many there are."""
        return list(self._keys)

    def identities(self) -> Mapping[str, str]:
        """Return what each partition holds; a run is gone on with by as many partitions."""
        return {
            key: f"share {number} of {len(self._keys)} of the cameras"
            for number, key in enumerate(self._keys, start=1)
        }

    def decode_always(self) -> None:
        """Emit frames only; `map_frames` and `filter_frames` ask for it."""
        self._plan = EveryFrame()

    def build_part(
        self,
        step_id: str,  # noqa: ARG002 - the engine's signature
        for_part: str,
        resume_state: ReaderState | None,
    ) -> FleetPartition:
        """Build one partition; its cameras are connected to with its first activation.

        Raises:
            ConfigurationError: The recovery state is of something else.
        """
        index = self._keys.index(for_part)
        self._follower.acquire()
        try:
            part = FleetPartition(
                for_part,
                lambda: self._follower.fleet,
                owns=lambda name: partition_of(name, len(self._keys)) == index,
                open_camera=self._open_camera,
                spending=self._spending,
                state=resume_state,
                on_close=self._follower.release,
            )
        except BaseException:
            self._follower.release()
            raise
        with self._lock:
            self._partitions[for_part] = part
        return part

    def _here(self) -> list[FleetPartition]:
        with self._lock:
            return list(self._partitions.values())

    def _open_camera(
        self,
        camera: FleetCamera,
        predecessor: LiveReader | None,
        *,
        clock: SteadyUtc,
        start_us: int,
        anchor_us: int,
        first_gap: GapReason,
    ) -> RtspReader:
        settings = self._settings
        if camera.max_height is not None:
            settings = replace(settings, max_height=camera.max_height)
        if camera.freeze_timeout_s is not None:
            settings = replace(settings, freeze_timeout_s=camera.freeze_timeout_s)
        return RtspReader(
            camera.address,
            camera.sample or self._plan,
            settings,
            clock=clock,
            start_us=start_us,
            anchor_us=anchor_us,
            edit=PictureMask(camera.mask) if camera.mask else None,
            first_gap=first_gap,
            predecessor=predecessor if isinstance(predecessor, RtspReader) else None,
        )
