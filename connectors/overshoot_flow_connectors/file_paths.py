"""Which files a `FileSource` reads, and what each of them is called."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Final, TypeAlias

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.media.media_object import Media

VIDEO_SUFFIXES: Final = frozenset(
    {
        ".3gp",
        ".asf",
        ".avi",
        ".flv",
        ".h264",
        ".h265",
        ".hevc",
        ".m2ts",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".mxf",
        ".ogv",
        ".ts",
        ".vob",
        ".webm",
        ".wmv",
    }
)
"""Files in a directory count as video if their suffix is one of these, in any case.

A file named by its path or matched by a glob is read whatever its suffix.
"""

PathSpec: TypeAlias = str | os.PathLike[str]

_GLOB_CHARACTERS: Final = re.compile(r"[*?\[]")
_UNREADABLE_IN_KEYS: Final = re.compile(r"[^A-Za-z0-9._-]+")
_STEM_LENGTH: Final = 40
_HASH_LENGTH: Final = 10


def find_videos(specs: PathSpec | Sequence[PathSpec]) -> list[Path]:
    """Resolve paths, globs and directories to files.

    Args:
        specs: A file, a glob (`**` crosses folders), a directory (its videos, with those of its
            subfolders; hidden ones are left out), or a sequence of these.

    Returns:
        Absolute paths in the order of `specs`, sorted within a glob or directory; a file that is
        found more than once, also through a link, stands at its first place only.

    Raises:
        ConfigurationError: Nothing was given, a path does not exist or cannot be read, or a glob
            or directory has no video.
    """
    listed = [specs] if isinstance(specs, str | os.PathLike) else list(specs)
    if not listed:
        raise ConfigurationError("no video given; name files, globs or directories")
    found: dict[Path, None] = {}
    for spec in listed:
        for path in _matches(Path(spec).expanduser()):
            resolved = path.resolve()
            if not os.access(resolved, os.R_OK):
                raise ConfigurationError(f"cannot read {path}; check its permissions")
            found.setdefault(resolved)
    return list(found)


def _matches(path: Path) -> Iterable[Path]:
    # A file may have a name with brackets: what exists is never a glob.
    if path.is_file():
        return [path]
    if path.is_dir():
        return _in_directory(path)
    if path.exists():
        raise ConfigurationError(f"{path} is neither a file nor a directory")
    if not _GLOB_CHARACTERS.search(str(path)):
        raise ConfigurationError(f"there is no {path}; check the path")
    root = Path(path.anchor)
    matched = [match for match in root.glob(str(path.relative_to(root))) if match.is_file()]
    if not matched:
        raise ConfigurationError(f"no file matches {path}; check the pattern")
    return sorted(matched)


def _in_directory(directory: Path) -> list[Path]:
    if not os.access(directory, os.R_OK | os.X_OK):
        raise ConfigurationError(f"cannot read the directory {directory}; check its permissions")
    videos = [
        path
        for path in directory.rglob("*")
        if path.suffix.lower() in VIDEO_SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(directory).parts)
    ]
    if not videos:
        raise ConfigurationError(
            f"{directory} has no video; files with another suffix than "
            f"{', '.join(sorted(VIDEO_SUFFIXES))} must be named or matched by a glob"
        )
    return sorted(videos)


def source_key(media: Media) -> str:
    """Return the stable name of a video: its readable stem and a hash of its absolute path or URL.

    The same file has the same key in every run on the same machine; files of one name in several
    folders have different keys. A file that is moved is another source.
    """
    stem = PurePosixPath(media.name).stem
    stem = _UNREADABLE_IN_KEYS.sub("-", stem)[:_STEM_LENGTH].strip("-") or "video"
    digest = hashlib.sha256(os.fsencode(str(media))).hexdigest()[:_HASH_LENGTH]
    return f"{stem}-{digest}"
