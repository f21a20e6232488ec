"""Video files as a Bytewax source."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from bytewax.inputs import FixedPartitionedSource
from pyarrow.fs import FileSystem

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.flow.items import Item
from overshoot_flow.flow.partition import ReaderPartition, ReaderState, Turnstile
from overshoot_flow.media.reader import FrameReader
from overshoot_flow.media.sampling import EveryFrame, SamplingPlan
from overshoot_flow.results import GapReason
from overshoot_flow_connectors.file_identity import difference, identity_of
from overshoot_flow_connectors.file_paths import PathSpec, find_videos, source_key
from overshoot_flow_connectors.object_store import is_url
from overshoot_flow_connectors.object_video import ObjectVideo, find_object_videos

DEFAULT_CONCURRENT: Final = 5
"""As many files at once as one API key may have streams."""


class FileSource(FixedPartitionedSource[Item, ReaderState]):
    """Reads video files, one partition each, and emits their samples as frames.

    Args:
        paths: A file, a glob, a directory (see `file_paths.VIDEO_SUFFIXES`), or a sequence of
            these. A file named twice is one partition. Each may also be the URL of an object, a
            glob or a folder in an object store, such as `s3://bucket/2026/**/*.mp4`; objects are
            read piece by piece, without a copy.
        sample: Which pictures are looked at; `FramesPerSecond(2)`, `Keyframes()`, `EveryFrame()`.
        max_height: Largest height of a frame in pixels, or None for the file's own. Scaling keeps
            the aspect ratio and even sizes.
        concurrent: How many files are read at once in one process; the others wait.
        encoded: Emit the pictures of a file as they are encoded, where that is possible (H.264
            without B-frames), for an `infer` that sends them on in its questions. It takes all
            pictures, so leave `sample` out. A step that looks at pixels makes it decode.
        store: The object store of all URLs, where URL and environment do not say enough about it.

    Attributes:
        sources: Partition key and absolute path of every file, or object, in order.
        concurrent: As given.

    Raises:
        ConfigurationError: A path leads to no readable file, or a number is out of range.
        StorageError: An object store cannot be reached.
    """

    def __init__(
        self,
        paths: PathSpec | Sequence[PathSpec],
        *,
        sample: SamplingPlan | None = None,
        max_height: int | None = None,
        concurrent: int = DEFAULT_CONCURRENT,
        encoded: bool = False,
        store: FileSystem | None = None,
    ) -> None:
        check_reading(max_height, concurrent)
        if encoded and not isinstance(sample, EveryFrame | None):
            raise ConfigurationError(
                "encoded pictures depend on each other, so all are taken: leave sample out, or "
                "encoded"
            )
        self._is_encoded = encoded
        self._plan: SamplingPlan = EveryFrame() if sample is None else sample
        self._max_height = max_height
        self.concurrent = concurrent
        self._turnstile = Turnstile(concurrent)
        listed = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
        self.sources: list[tuple[str, Path | ObjectVideo]] = [
            (source_key(media), media) for media in _found(listed, store)
        ]
        self._media = dict(self.sources)

    def decode_always(self) -> None:
        """Emit frames only: a step looks at pixels. Called while the flow is built."""
        self._is_encoded = False

    def list_parts(self) -> list[str]:
        """Return the partition keys."""
        return [key for key, _ in self.sources]

    def identities(self) -> dict[str, str]:
        """Return the path behind every partition key, for `IdentifiedSource`."""
        return {key: str(media) for key, media in self.sources}

    def identity(self, key: str) -> dict[str, Any]:
        """Return what makes the video of a partition key the same video, as plain values.

        Raises:
            ConfigurationError: The file cannot be read.
            StorageError: The object store cannot be reached.
        """
        media = self._media[key]
        return identity_of(media) if isinstance(media, Path) else media.identity()

    def open_reader(
        self, key: str, start_us: int, *, is_encoded: bool | None = None
    ) -> FrameReader:
        """Open the video of a partition key at a media time in µs; close the reader.

        Args:
            key: The partition key.
            start_us: Samples from here on are read.
            is_encoded: Whether pictures may come as they are encoded; None for what was given.

        Raises:
            MediaError: The video cannot be opened.
        """
        media = self._media[key]
        return FrameReader(
            media,
            self._plan,
            stream_key=key,
            source=str(media),
            max_height=self._max_height,
            start_us=start_us,
            encoded=self._is_encoded if is_encoded is None else is_encoded,
        )

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
            StorageError: The object store cannot be reached.
        """
        identity = self.identity(for_part)
        changed = None if resume_state is None else difference(resume_state["identity"], identity)
        # Steps that have come to different places would begin between key frames.
        is_encoded = self._is_encoded and (resume_state is None or len(resume_state["steps"]) <= 1)

        return ReaderPartition(
            for_part,
            str(self._media[for_part]),
            partial(self.open_reader, for_part, is_encoded=is_encoded),
            self._turnstile,
            identity=identity if resume_state is None else resume_state["identity"],
            state=resume_state,
            refused=None if changed is None else (GapReason.SOURCE_CHANGED, changed),
        )


def check_reading(max_height: int | None, concurrent: int) -> None:
    """Check how a source reads.

    Raises:
        ConfigurationError: A number is out of range.
    """
    if max_height is not None and max_height < 2:  # noqa: PLR2004 - a chroma sample is 2 high
        raise ConfigurationError(f"max_height must be at least 2 pixels, not {max_height}")
    if concurrent < 1:
        raise ConfigurationError(f"concurrent must be at least 1 file, not {concurrent}")


def _found(specs: Sequence[PathSpec], store: FileSystem | None) -> Iterator[Path | ObjectVideo]:
    """Resolve paths and URLs in their order, each file once."""
    if not specs:
        find_videos([])
    seen: set[str] = set()
    for spec in specs:
        media = find_object_videos(str(spec), store) if is_url(spec) else find_videos([spec])
        for each in media:
            if str(each) not in seen:
                seen.add(str(each))
                yield each
