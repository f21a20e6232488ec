"""Chat completions that are to fail because a test said so. Pure."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from overshoot_flow.local.faults import FaultOrder
from overshoot_flow.local.v1.errors import chat_error


@dataclass(slots=True)
class ChatFaults:
    """Faults of kind `chat_errors`, in the order in which they were ordered."""

    _due: list[FaultOrder] = field(default_factory=list)

    def order(self, fault: FaultOrder) -> None:
        """Note a fault."""
        self._due.append(fault)

    def meet(self) -> None:
        """Let the request at hand fail if a fault is due.

        Raises:
            V1Error: The ordered one.
        """
        if not self._due:
            return
        fault = self._due.pop(0)
        if fault.count > 1:
            self._due.insert(0, dataclasses.replace(fault, count=fault.count - 1))
        raise chat_error(fault.status, fault.code, "this answer was ordered by a test")

    def clear(self) -> None:
        """Forget everything."""
        self._due.clear()
