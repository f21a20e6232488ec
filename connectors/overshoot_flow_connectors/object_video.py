"""Videos in object stores: found by URL, read piece by piece without a copy."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

import pyarrow as pa
from pyarrow.fs import FileSystem, FileType

from overshoot_flow.errors import ConfigurationError, MediaError
from overshoot_flow_connectors.file_paths import VIDEO_SUFFIXES
from overshoot_flow_connectors.object_store import ObjectPlace, objects_below, storage_errors

_GLOB_CHARACTERS: Final = re.compile(r"[*?\[]")
_GLOB_PARTS: Final = re.compile(r"\*\*/|\*\*|\*|\?|\[[^\]]*\]|[^*?\[]+|\[")


@dataclass(frozen=True, slots=True)
class ObjectVideo:
    """A video in an object store.

    Attributes:
        store: The store.
        place: Where it is.
    """

    store: FileSystem
    place: ObjectPlace

    def __str__(self) -> str:
        """Show the URL, without settings."""
        return str(self.place)

    @property
    def name(self) -> str:
        """Its name without the folder."""
        return PurePosixPath(self.place.path).name

    def open(self) -> ObjectReader:
        """Open it.

        Raises:
            MediaError: There is no such object.
            StorageError: The store cannot be reached.
        """
        try:
            with storage_errors(self.place):
                return ObjectReader(self.place, self.store.open_input_file(self.place.path))
        except FileNotFoundError:
            raise MediaError(f"cannot open {self}: there is no such object") from None

    def identity(self) -> dict[str, Any]:
        """Return what makes it the same video as before, in the form of `file_identity`.

        The store's own digest (ETag) stands for the content.

        Raises:
            ConfigurationError: There is no such object.
            StorageError: The store cannot be reached.
        """
        try:
            with storage_errors(self.place):
                info = self.store.get_file_info(self.place.path)
                with self.store.open_input_file(self.place.path) as file:
                    # Its keys are text in some versions of Arrow.
                    facts = {_bytes(key): _bytes(value) for key, value in file.metadata().items()}
        except FileNotFoundError:
            raise ConfigurationError(f"cannot read {self}: there is no such object") from None
        content = facts.get(b"ETag", str(info.mtime_ns).encode()).decode()
        return {
            "size": info.size,
            "mtime_ns": info.mtime_ns,
            "head": content,
            "tail": content,
        }


class ObjectReader:
    """An open object for FFmpeg; errors of the store end the run instead of looking like damage.

    Args:
        place: What error texts name.
        file: The open object; closed with this one.
    """

    def __init__(self, place: ObjectPlace, file: pa.NativeFile) -> None:
        self._place = place
        self._file = file

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes.

        Raises:
            StorageError: The store cannot be reached, or the object is gone.
        """
        with storage_errors(self._place, also_missing=True):
            return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move the position."""
        with storage_errors(self._place, also_missing=True):
            return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._file.tell()

    def close(self) -> None:
        """Release it."""
        self._file.close()


def find_object_videos(url: str, store: FileSystem | None = None) -> list[ObjectVideo]:
    """Return the videos that a URL names: an object, a glob (`**` crosses folders), or a folder.

    Args:
        url: Such as `s3://bucket/2026/**/*.mp4`.
        store: The store; opened by the URL if None.

    Raises:
        ConfigurationError: There are none, or the URL is no place.
        StorageError: The store cannot be reached.
    """
    place = ObjectPlace.of(url)
    store = store or place.open_store()
    with storage_errors(place):
        exact = store.get_file_info(place.path)
    if exact.type is FileType.File:
        return [ObjectVideo(store, place)]
    wild = _GLOB_CHARACTERS.search(place.path)
    if wild is not None:
        fixed = place.path[: wild.start()].rpartition("/")[0]
        pattern = _pattern_of(place.path)
        below = objects_below(store, ObjectPlace(place.scheme, fixed, place.query))
        found = [info.path for info in below if pattern.fullmatch(info.path)]
    else:
        found = [
            info.path
            for info in objects_below(store, place)
            if PurePosixPath(info.path).suffix.lower() in VIDEO_SUFFIXES
            and not _is_hidden(info.path[len(place.path) :])
        ]
    if not found:
        raise ConfigurationError(f"no video at {place}; check the URL")
    return [ObjectVideo(store, ObjectPlace(place.scheme, path, place.query)) for path in found]


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(path).parts)


def _pattern_of(glob: str) -> re.Pattern[str]:
    translated = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = []
    for part in _GLOB_PARTS.findall(glob):
        if part.startswith("[") and len(part) > 1:
            parts.append(f"[{'^' if part[1] == '!' else ''}{re.escape(part[1:-1].lstrip('!'))}]")
        else:
            parts.append(translated.get(part) or re.escape(part))
    return re.compile("".join(parts))
