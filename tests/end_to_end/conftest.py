"""Makes the fixtures of the end-to-end tests known."""

from __future__ import annotations

from access_unit_support import encoded
from end_to_end_support import server, video

__all__ = ["encoded", "server", "video"]
