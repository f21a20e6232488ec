"""What may be put right in an answer before it is checked."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from overshoot_flow.errors import ConfigurationError


class Repair(StrEnum):
    """What may be put right in the writing of an answer; each includes those before it."""

    NONE = "none"
    """Nothing: the answer is a JSON document and nothing else."""
    FENCES = "fences"
    """One Markdown code fence around the document."""
    TRAILING_TEXT = "trailing_text"
    """Text after the document, or after its fence, that holds no brackets."""
    SINGLE_QUOTES = "single_quotes"
    """Strings in single quotes, as Python writes them."""

    @classmethod
    def named(cls, name: str) -> Self:
        """Return the level of this name.

        Raises:
            ConfigurationError: There is none.
        """
        try:
            return cls(name)
        except ValueError:
            known = ", ".join(repr(each.value) for each in cls)
            raise ConfigurationError(f"repair is {name!r}; known are {known}") from None
