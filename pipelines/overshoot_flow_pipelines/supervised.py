"""A process of a supervised group: what it is told, what it hands over, how it notices its end."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from overshoot_flow.flow.peers import Peer
from overshoot_flow.flow.stopping import STOP
from overshoot_flow_pipelines.summary import EXIT_FAILED

_VARIABLE: Final = "OVERSHOOT_FLOW_SUPERVISED"
_ORPHAN_TIMEOUT_S: Final = 15.0
"""How long a process whose supervisor is gone may take to delete its streams."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervised:
    """What a process gets from its supervisor, through an environment variable.

    Attributes:
        peer: Which process of the group it is.
        handover: The file into which it writes what it has to say in the end.
        lifeline: Read end of a pipe whose other end only the supervisor has: it ends with the
            supervisor, however that ends.
    """

    peer: Peer
    handover: Path
    lifeline: int

    def environment(self) -> dict[str, str]:
        """Return the variable that `from_environment` reads."""
        document = {
            "process_id": self.peer.process_id,
            "addresses": self.peer.addresses,
            "handover": str(self.handover),
            "lifeline": self.lifeline,
        }
        return {_VARIABLE: json.dumps(document)}

    @classmethod
    def from_environment(cls) -> Self | None:
        """Return what a supervisor gave to this process, once; None without a supervisor."""
        # Taken out, so that programs which this process starts do not take it for theirs.
        given = os.environ.pop(_VARIABLE, None)
        if given is None:
            return None
        document = json.loads(given)
        os.set_inheritable(document["lifeline"], False)  # noqa: FBT003 - the function's only way
        return cls(
            peer=Peer(document["process_id"], tuple(document["addresses"])),
            handover=Path(document["handover"]),
            lifeline=document["lifeline"],
        )

    def end_with_supervisor(self) -> None:
        """From now on end this process, streams deleted, as soon as its supervisor is gone.

        A hangup ends it no more: the supervisor passes it on to whoever follows a file.
        """
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        threading.Thread(target=self._watch_lifeline, name="lifeline", daemon=True).start()

    def hand_over(self, document: Mapping[str, Any]) -> None:
        """Leave `document` to the supervisor."""
        new = self.handover.with_suffix(".new")
        new.write_text(json.dumps(document), encoding="utf-8")
        new.replace(self.handover)

    def _watch_lifeline(self) -> None:
        while os.read(self.lifeline, 1):
            pass
        # As by a second signal; before and after the run the signal's default ends the process.
        STOP.set()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_ORPHAN_TIMEOUT_S)
        os._exit(EXIT_FAILED)


def read_handover(file: Path) -> dict[str, Any]:
    """Read what a process has left; empty when it has left nothing."""
    if not file.exists():
        return {}
    document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return document
