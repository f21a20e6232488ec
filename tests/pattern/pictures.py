"""Shared by the tests of the test pattern: decoding a file."""

from __future__ import annotations

from pathlib import Path

import av


def decode(path: Path) -> list[av.VideoFrame]:
    with av.open(path) as container:
        return list(container.decode(video=0))
