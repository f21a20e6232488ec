"""Media that is no file of the local disk."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, TypeAlias


class Readable(Protocol):
    """An open object with a position, as FFmpeg needs it."""

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes from the position on, none at the end."""
        ...

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move the position."""
        ...

    def tell(self) -> int:
        """Return the position."""
        ...

    def close(self) -> None:
        """Release it."""
        ...


class MediaObject(Protocol):
    """A video that can be opened again and again; `str()` of it is what people call it."""

    @property
    def name(self) -> str:
        """Its name without the folder."""
        ...

    def open(self) -> Readable:
        """Open it at its beginning.

        What cannot be reached now raises another error than `MediaError`, there and in reading:
        then the run ends, and can go on later, instead of recording a gap.

        Raises:
            MediaError: There is no such object.
        """
        ...


Media: TypeAlias = Path | MediaObject
"""A local file, or an object."""
