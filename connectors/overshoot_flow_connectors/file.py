"""Video files as a Bytewax source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bytewax.inputs import FixedPartitionedSource

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow.items import Item
from overshoot_flow.flow.partition import ReaderPartition, ReaderState, Turnstile
from overshoot_flow.media.reader import FrameReader
from overshoot_flow.media.sampling import EveryFrame, SamplingPlan
from overshoot_flow_connectors.file_identity import difference, identity_of
from overshoot_flow_connectors.file_paths import PathSpec, find_videos, source_key

DEFAULT_CONCURRENT: Final = 5
"""As many files at once as one API key may have streams."""


class FileSource(FixedPartitionedSource[Item, ReaderState]):
    """Reads video files, one partition each, and emits their samples as frames.

    Args:
        paths: A file, a glob, a directory (see `file_paths.VIDEO_SUFFIXES`), or a sequence of
            these. A file named twice is one partition.
        sample: Which pictures are looked at; `FramesPerSecond(2)`, `Keyframes()`, `EveryFrame()`.
        max_height: Largest height of a frame in pixels, or None for the file's own. Scaling keeps
            the aspect ratio and even sizes.
        concurrent: How many files are read at once in one process; the others wait.

    Attributes:
        sources: Partition key and absolute path of every file, in order.
        concurrent: As given.

    Raises:
        ConfigurationError: A path leads to no readable file, or a number is out of range.
    """

    def __init__(
        self,
        paths: PathSpec | Sequence[PathSpec],
        *,
        sample: SamplingPlan | None = None,
        max_height: int | None = None,
        concurrent: int = DEFAULT_CONCURRENT,
    ) -> None:
        if max_height is not None and max_height < 2:  # noqa: PLR2004 - a chroma sample is 2 high
            raise ConfigurationError(f"max_height must be at least 2 pixels, not {max_height}")
        if concurrent < 1:
            raise ConfigurationError(f"concurrent must be at least 1 file, not {concurrent}")
        self._plan: SamplingPlan = EveryFrame() if sample is None else sample
        self._max_height = max_height
        self.concurrent = concurrent
        self._turnstile = Turnstile(concurrent)
        self.sources: list[tuple[str, Path]] = [
            (source_key(path), path) for path in find_videos(paths)
        ]
        self._paths = dict(self.sources)

    def list_parts(self) -> list[str]:
        """Return the partition keys."""
        return [key for key, _ in self.sources]

    def identities(self) -> dict[str, str]:
        """Return the path behind every partition key, for `IdentifiedSource`."""
        return {key: str(path) for key, path in self.sources}

    def build_part(
        self,
        step_id: str,  # noqa: ARG002 - the engine's signature
        for_part: str,
        resume_state: ReaderState | None,
    ) -> ReaderPartition:
        """Build the partition of one file; its reader is opened when its turn comes.

        A file that is not the one that an earlier part of the run read is not read on: the rest
        becomes a gap with the reason `source_changed`.

        Raises:
            ConfigurationError: The file cannot be read.
        """
        path = self._paths[for_part]
        identity = identity_of(path)
        changed = None if resume_state is None else difference(resume_state["identity"], identity)

        def open_reader(start_us: int) -> FrameReader:
            return FrameReader(
                path,
                self._plan,
                stream_key=for_part,
                source=str(path),
                max_height=self._max_height,
                start_us=start_us,
            )

        return ReaderPartition(
            for_part,
            str(path),
            open_reader,
            self._turnstile,
            identity=identity if resume_state is None else resume_state["identity"],
            state=resume_state,
            changed=changed,
        )
