"""Folders of object stores, by their URL, such as `s3://bucket/answers`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType

from overshoot_flow.errors import ConfigurationError, StorageError

_SCHEME_MARK: Final = "://"


def is_url(place: str | os.PathLike[str]) -> bool:
    """Whether `place` is in an object store, and no path of the disk."""
    return isinstance(place, str) and _SCHEME_MARK in place


@dataclass(frozen=True, slots=True)
class ObjectPlace:
    """An object, or a folder of objects.

    Attributes:
        scheme: Such as `s3`.
        path: Bucket and key as they are, without escapes.
        query: Settings of the store, such as `region=eu-central-1`.
    """

    scheme: str
    path: str
    query: str = ""

    @classmethod
    def of(cls, url: str) -> ObjectPlace:
        """Read a URL.

        Raises:
            ConfigurationError: It names no bucket, or has credentials.
        """
        scheme, _, rest = url.partition(_SCHEME_MARK)
        path, _, query = rest.partition("?")
        bucket = path.partition("/")[0]
        # A secret may have slashes; no bucket's name has these.
        if "@" in bucket or ":" in bucket:
            raise ConfigurationError(
                f"a {scheme} URL has credentials; leave them to the environment "
                "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, or a profile)"
            )
        if not scheme or not bucket:
            raise ConfigurationError(f"{url} names no bucket; write s3://BUCKET/FOLDER")
        return cls(scheme, path.strip("/"), query)

    def __str__(self) -> str:
        """Show the URL, without settings."""
        return f"{self.scheme}{_SCHEME_MARK}{self.path}"

    def __truediv__(self, name: object) -> ObjectPlace:
        """Return a place in this one."""
        return ObjectPlace(self.scheme, f"{self.path}/{name}", self.query)

    def open_store(self) -> FileSystem:
        """Return the store; credentials, region and endpoint come from query and environment.

        Raises:
            ConfigurationError: There is no such store here.
            StorageError: It cannot be reached.
        """
        bucket = self.path.partition("/")[0]
        query = f"?{self.query}" if self.query else ""
        with storage_errors(self):
            try:
                store, _ = FileSystem.from_uri(f"{self.scheme}{_SCHEME_MARK}{bucket}{query}")
            except pa.ArrowInvalid as error:
                raise ConfigurationError(f"cannot open {self}: {_told(error)}") from None
        return store


def objects_below(store: FileSystem, folder: ObjectPlace) -> list[FileInfo]:
    """Return all objects in a folder and its subfolders, in order; none if there is no such folder.

    Raises:
        StorageError: The store cannot be reached.
    """
    with storage_errors(folder):
        found = store.get_file_info(FileSelector(folder.path, allow_not_found=True, recursive=True))
    return sorted(
        (each for each in found if each.type is FileType.File), key=lambda info: info.path
    )


@contextmanager
def storage_errors(place: ObjectPlace, *, also_missing: bool = False) -> Iterator[None]:
    """Translate what a store raises, naming `place`.

    Args:
        place: What is asked for.
        also_missing: Whether `FileNotFoundError` is translated as well.
    """
    try:
        yield
    except FileNotFoundError as error:
        if not also_missing:
            raise
        raise StorageError(f"{place}: {_told(error)}") from None
    except (OSError, pa.ArrowException) as error:
        raise StorageError(f"{place}: {_told(error)}") from None


def _told(error: Exception) -> str:
    """Return a store's text, which may have the request's URL, without its query (signatures)."""
    words = [
        word
        if _SCHEME_MARK not in word
        else urlsplit(word)._replace(query="", netloc=_host(word)).geturl()
        for word in str(error).split()
    ]
    return " ".join(words)


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]
