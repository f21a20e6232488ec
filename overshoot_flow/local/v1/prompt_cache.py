"""Which part of a question a thread has asked before. Pure."""

from __future__ import annotations

from collections import OrderedDict
from itertools import takewhile
from typing import Final

MAX_THREADS: Final = 1_000
"""Threads that are remembered over all accounts; the one used longest ago is forgotten."""


class PromptCache:
    """Remembers the last text of every thread."""

    def __init__(self) -> None:
        self._threads: OrderedDict[tuple[int, str], str] = OrderedDict()

    def cached_characters(self, account: int, thread_id: str, text: str) -> int:
        """Return how much of the head of `text` was asked before, and remember `text`."""
        key = (account, thread_id)
        before = self._threads.pop(key, "")
        self._threads[key] = text
        while len(self._threads) > MAX_THREADS:
            self._threads.popitem(last=False)
        same = (left == right for left, right in zip(before, text, strict=False))
        return sum(takewhile(bool, same))
