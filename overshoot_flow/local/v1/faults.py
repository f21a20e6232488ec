"""Chat completions that are to fail because a test said so. Pure."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Final

from overshoot_flow.local.api_errors import ApiError, unauthorized
from overshoot_flow.local.faults import FaultOrder
from overshoot_flow.local.v1.config import REGIONS
from overshoot_flow.local.v1.errors import (
    chat_error,
    rate_limited,
    validation_error,
    wrong_region,
)

_SAYS: Final = "this answer was ordered by a test"


@dataclass(slots=True)
class ChatFaults:
    """Faults of kind `chat_errors`, in the order in which they were ordered."""

    _due: list[FaultOrder] = field(default_factory=list)

    def order(self, fault: FaultOrder) -> None:
        """Note a fault."""
        self._due.append(fault)

    def meet(self, region: str) -> None:
        """Let the request at hand, which came to `region`, fail if a fault is due.

        Raises:
            ApiError: The ordered one.
        """
        if not self._due:
            return
        fault = self._due.pop(0)
        if fault.count > 1:
            self._due.insert(0, dataclasses.replace(fault, count=fault.count - 1))
        raise _error(fault, region)

    def clear(self) -> None:
        """Forget everything."""
        self._due.clear()


def _error(fault: FaultOrder, region: str) -> ApiError:
    """Make the error as the service words it: some have a status, body and headers of their own."""
    match fault.code:
        case "region_error":
            return wrong_region(next(each for each in REGIONS if each != region), region)
        case "rate_limited":
            return rate_limited(_SAYS, {})
        case "validation_error":
            return validation_error(("body",), _SAYS)
        case "unauthorized":
            return unauthorized()
        case _:
            return chat_error(fault.status, fault.code, _SAYS)
