"""One process at a time works on a state folder."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from overshoot_flow.errors import ConfigurationError

_HOLDER_BYTES: Final = 300


class RunLock:
    """A lock that the operating system frees with the process, however it ends.

    The engine has no such guard: two of them on one recovery store both end with success, with
    records doubled (1,160 rows instead of 600 when tried) and each other's positions overwritten.

    A program that the process starts does not inherit the lock. A child that is only forked does,
    and keeps it until it ends as well.

    Args:
        file: The lock file; it tells who holds the lock.

    Raises:
        ConfigurationError: On entering: another process holds it, and the text has its pid and
            host; or the file system cannot lock.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        """Take the lock."""
        # Without O_TRUNC: whoever is refused must not wipe the holder's name.
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._take(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Free the lock. The file stays: were it removed, two processes could lock two files."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _take(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                f"{self._file.parent} is in use by {_holder(descriptor)}: wait until that run has "
                "ended, stop it, or give this one another state folder and output"
            ) from None
        except OSError as error:
            raise ConfigurationError(
                f"the file system of {self._file} cannot lock files ({error.strerror}), so that "
                "two runs could spoil each other: put the state folder on a local disk"
            ) from None
        name = f"pid {os.getpid()} on {socket.gethostname()}\n".encode()
        os.pwrite(descriptor, name, 0)
        os.ftruncate(descriptor, len(name))


def _holder(descriptor: int) -> str:
    lines = os.pread(descriptor, _HOLDER_BYTES, 0).decode(errors="replace").splitlines()
    return lines[0] if lines else "another process"
