"""The thread that looks at a fleet file for as long as the run lasts."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from overshoot_flow.errors import FleetFileError
from overshoot_flow_connectors.fleet import load_fleet
from overshoot_flow_connectors.fleet_changes import FleetChanges
from overshoot_flow_connectors.fleet_model import Fleet
from overshoot_flow_connectors.fleet_plan import told
from overshoot_flow_connectors.fleet_watch import FileFacts, FleetWatch, file_facts

_LOOKS_UNTIL_RETRY: Final = 3
"""A wrong file is read again after this many looks although nothing is seen to have changed."""

_LOOKS_UNTIL_HURRY: Final = 3
"""A file that has changed at each of so many looks is being written again and again."""
_HURRY: Final = 20
"""So many times closer are two looks then: between two writings there is time for them."""

_logger = logging.getLogger(__name__)


class FleetFollower:
    """Keeps the newest fleet that is right. The file is read at construction.

    Files are looked at again and again, and read when they have been the same twice: one that is
    being written is not read by half. Where they change at every look, the looks come closer, so
    that a file that never rests is followed too. A wrong file is reported once and changes nothing.

    Whoever needs it running calls `acquire`, and `release` when it is done; the thread runs in
    between, and ends with the last one.

    Args:
        file: The fleet file.
        environment: Environment variables that it may refer to.
        look_interval_s: How often the files are looked at.

    Raises:
        FleetFileError: The file is wrong.
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        environment: Mapping[str, str] = os.environ,
        *,
        look_interval_s: float = 1.0,
    ) -> None:
        self._file = Path(file).absolute()
        self._environment = environment
        self._look_interval_s = look_interval_s
        facts = file_facts((self._file,))
        self._watch = FleetWatch(fleet=self._load(), facts=facts)
        self._lock = threading.Lock()
        self._users = 0
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._look = threading.Event()
        self._failure: BaseException | None = None

    @property
    def fleet(self) -> Fleet:
        """The newest fleet that was right. The same object until another one is read.

        Raises:
            BaseException: What ended the thread: a defect, never a wrong file.
        """
        if self._failure is not None:
            raise self._failure
        return self._watch.fleet

    @property
    def problem(self) -> FleetFileError | None:
        """What is wrong with the file now, or None."""
        return self._watch.problem

    def look_now(self) -> None:
        """Look at the files at once; may be called by a signal handler."""
        self._look.set()

    def acquire(self) -> None:
        """Begin to look, unless somebody else had it begun."""
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._stopping = False
                self._look.clear()
                self._thread = threading.Thread(target=self._run, name="fleet file", daemon=True)
                self._thread.start()

    def release(self) -> None:
        """The caller of `acquire` is done; the last one waits for the thread."""
        with self._lock:
            self._users -= 1
            if self._users > 0 or self._thread is None:
                return
            self._stopping = True
            self._look.set()
            self._thread.join()
            self._thread = None

    def _load(self) -> Fleet:
        return load_fleet(self._file, self._environment)

    def _run(self) -> None:
        seen: tuple[FileFacts, ...] = ()
        looks_since_reading = looks_with_changes = 0
        try:
            while True:
                in_hurry = looks_with_changes >= _LOOKS_UNTIL_HURRY
                self._look.wait(self._look_interval_s / (_HURRY if in_hurry else 1))
                self._look.clear()
                if self._stopping:
                    return
                before, seen = seen, file_facts(self._watch.fleet.files)
                if seen != before:
                    looks_with_changes += 1
                    continue
                looks_with_changes = 0
                looks_since_reading += 1
                is_retry = self._watch.problem is not None and seen == self._watch.facts
                if is_retry and looks_since_reading < _LOOKS_UNTIL_RETRY:
                    continue
                if self._watch.must_read(seen, time.time_ns()):
                    looks_since_reading = 0
                    self._watch = self._watch.after_reading(seen, self._load)
                    self._report(self._watch)
        except BaseException as error:  # noqa: BLE001 - a thread has no caller: `fleet` raises it there
            self._failure = error

    def _report(self, watch: FleetWatch) -> None:
        if watch.problem is not None:
            if watch.is_news:
                _logger.error("the fleet goes on as it was; its file is wrong:\n%s", watch.problem)
            return
        if watch.is_news:
            _logger.warning("the fleet file is right again")
        if watch.changes:
            report_changes(watch.changes)


def report_changes(changes: FleetChanges) -> None:
    """Log what a reload changes, and what it cannot change."""
    what = told(changes)
    if what:
        _logger.info("the fleet has changed: %s", what)
    for name, differs in (("sinks", changes.sinks), ("[metrics] listen", changes.metrics)):
        if differs:
            _logger.warning(
                "%s of the fleet file cannot change while the run goes on; stop it and start it "
                "again",
                name,
            )
