"""The video that a request for a clip names: exactly one file or object."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from pyarrow.fs import FileSystem, FileType

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.media.media_object import Media
from overshoot_flow_connectors.file_identity import identity_of
from overshoot_flow_connectors.file_paths import PathSpec
from overshoot_flow_connectors.object_store import ObjectPlace, is_url, storage_errors
from overshoot_flow_connectors.object_video import ObjectVideo

_FILE: Final = "file:"


class ClipMedia:
    """Finds videos by their URIs.

    Whoever may write requests may have any video asked about that this process can read, unless
    `within` says where they must be.

    Args:
        within: Folders, or URLs of folders, that the videos must lie in; None for anywhere.
        store: The object store of all URLs; None to open each by its URL.
    """

    def __init__(
        self, within: PathSpec | Sequence[PathSpec] | None = None, store: FileSystem | None = None
    ) -> None:
        self._store = store
        listed = [within] if isinstance(within, str | os.PathLike) else within
        self._is_bounded = listed is not None
        self._folders = [Path(each).expanduser().resolve() for each in listed or () if _local(each)]
        self._places = [ObjectPlace.of(str(each)) for each in listed or () if not _local(each)]

    def find(self, uri: str) -> Media:
        """Return the video.

        Raises:
            ConfigurationError: There is none, or it lies elsewhere. The text has no credentials.
            StorageError: The object store cannot be reached.
        """
        return self._file(uri) if _local(uri) else self._object(uri)

    def _file(self, uri: str) -> Path:
        path = Path(_path_of(uri)).expanduser()
        try:
            resolved = path.resolve()
            is_file = resolved.is_file()
        except (OSError, RuntimeError, ValueError):
            raise ConfigurationError("uri is no path of a file") from None
        if self._is_bounded and not any(resolved.is_relative_to(each) for each in self._folders):
            raise ConfigurationError(f"{path} is not where videos may be asked for")
        if not is_file:
            what = "is no file" if resolved.exists() else "does not exist"
            raise ConfigurationError(f"{path} {what}")
        return resolved

    def _object(self, uri: str) -> ObjectVideo:
        place = ObjectPlace.of(uri)
        if self._is_bounded and not any(_holds(each, place) for each in self._places):
            raise ConfigurationError(f"{place} is not where videos may be asked for")
        store = self._store or place.open_store()
        with storage_errors(place):
            kind = store.get_file_info(place.path).type
        if kind is not FileType.File:
            raise ConfigurationError(f"{place} does not exist")
        return ObjectVideo(store, place)


def media_identity(media: Media) -> Mapping[str, Any]:
    """Return what makes a video the same as before, see `file_identity`.

    Raises:
        ConfigurationError: It cannot be read.
        StorageError: The object store cannot be reached.
    """
    return media.identity() if isinstance(media, ObjectVideo) else identity_of(Path(str(media)))


def _local(uri: PathSpec) -> bool:
    return not is_url(uri) or str(uri).startswith(_FILE)


def _path_of(uri: str) -> str:
    if not uri.startswith(f"{_FILE}//"):
        return uri
    parts = urlsplit(uri, allow_fragments=False)
    if parts.netloc not in {"", "localhost"} or parts.query:
        raise ConfigurationError("uri names another host, or has a query; write file:///PATH")
    return unquote(parts.path)


def _holds(folder: ObjectPlace, place: ObjectPlace) -> bool:
    parts, inner = folder.path.split("/"), place.path.split("/")
    if ".." in inner:
        return False
    return (
        folder.scheme == place.scheme and inner[: len(parts)] == parts and len(inner) > len(parts)
    )
