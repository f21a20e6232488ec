"""Ends a process, as it were, before any change that it makes to the disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CHANGES = ("mkdir", "rename", "unlink", "rmdir", "fsync")


class KilledError(BaseException):
    """Stands for the end of the process: nobody catches it, and nothing is done after it."""


@contextmanager
def killed_before(change: int) -> Iterator[list[str]]:
    """Let this process do `change` changes of the disk and no more; cleaning up is one of them."""
    done: list[str] = []

    def dying(name: str, do: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if len(done) >= change:
                raise KilledError
            done.append(name)
            return do(*arguments, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in CHANGES:
            patch.setattr(os, name, dying(name, getattr(os, name)))
        yield done
