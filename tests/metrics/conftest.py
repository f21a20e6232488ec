"""Makes the fixtures known."""

from __future__ import annotations

from observed import no_sources

__all__ = ["no_sources"]
