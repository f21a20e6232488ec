"""Faults that tests order, and the count of what is still due. Pure: no tasks, no sockets."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from overshoot_flow.local.api_errors import ApiError, invalid
from overshoot_flow.local.engines.base import EngineAnswer

FaultKind = Literal[
    "room_disconnect",
    "room_kick",
    "websocket_drop",
    "http_errors",
    "http_hang",
    "model_errors",
    "model_slow",
    "model_not_json",
    "model_cut",
    "model_status",
    "chat_errors",
    "expire_lease",
    "no_credit",
    "clear",
]
FAULT_KINDS: Final[tuple[FaultKind, ...]] = get_args(FaultKind)
_DEFAULT_HANG_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultOrder:
    """A checked request for a fault; fields that its kind does not use are ignored."""

    kind: FaultKind
    stream_id: str | None = None
    count: int = 1
    status: int = 503
    path: str = ""
    delay_s: float = 0.0
    duration_s: float = _DEFAULT_HANG_S
    permanent: bool = False
    model: str = ""
    model_status: str = ""
    code: str = ""


_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "stream_id": (str, type(None)),
    "count": (int,),
    "status": (int, str),
    "path": (str,),
    "delay_s": (int, float),
    "duration_s": (int, float),
    "permanent": (bool,),
    "model": (str,),
    "code": (str,),
}


def parse_fault(body: object) -> FaultOrder:
    """Check the body of `POST /_local/faults`.

    Raises:
        ApiError: 422, the kind is unknown or a field has the wrong type.
    """
    if not isinstance(body, dict) or body.get("kind") not in FAULT_KINDS:
        raise invalid("kind", f"must be one of {', '.join(FAULT_KINDS)}")
    given: dict[str, Any] = {"kind": body["kind"]}
    for name, types in _TYPES.items():
        if name not in body:
            continue
        value = body[name]
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise invalid(name, f"must be {' or '.join(kind.__name__ for kind in types)}")
        # The status of `model_status` is a word, that of `http_errors` a number.
        given["model_status" if isinstance(value, str) and name == "status" else name] = value
    return FaultOrder(**given)


@dataclass(slots=True)
class HttpFaults:
    """HTTP requests that are to fail or to hang."""

    _due: list[FaultOrder] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether nothing is due."""
        return not self._due

    def order(self, fault: FaultOrder) -> None:
        """Note a fault of kind `http_errors` or `http_hang`."""
        self._due.append(fault)

    def take(self, path: str) -> FaultOrder | None:
        """Return the fault that the request for `path` meets, and count it down."""
        for index, fault in enumerate(self._due):
            if path.startswith(fault.path):
                left = dataclasses.replace(fault, count=fault.count - 1)
                self._due[index : index + 1] = [left] if left.count > 0 else []
                return fault
        return None

    def clear(self) -> None:
        """Forget everything."""
        self._due.clear()


def as_error(fault: FaultOrder) -> ApiError:
    """The answer to a request that meets `http_errors`."""
    return ApiError(fault.status, "injected_fault", "this answer was ordered by a test")


@dataclass(slots=True)
class ModelFaults:
    """Answers that are to fail, to be late or to be useless."""

    _due: list[FaultOrder] = field(default_factory=list)
    _slow: dict[str | None, float] = field(default_factory=dict)

    def order(self, fault: FaultOrder) -> None:
        """Note a fault whose kind begins with `model_`; `model_slow` stays until it is 0."""
        if fault.kind == "model_slow":
            self._slow[fault.stream_id] = fault.delay_s
        else:
            self._due.append(fault)

    def delay_s(self, stream_id: str) -> float:
        """How much later than otherwise the answers of this stream come."""
        return self._slow.get(stream_id, self._slow.get(None, 0.0))

    def distort(self, stream_id: str, answer: EngineAnswer) -> tuple[str | None, EngineAnswer]:
        """Return the error text, if one is due, and the answer that is to be sent."""
        for index, fault in enumerate(self._due):
            if fault.stream_id in (None, stream_id):
                left = dataclasses.replace(fault, count=fault.count - 1)
                self._due[index : index + 1] = [left] if left.count > 0 else []
                return _distorted(fault, answer)
        return None, answer

    def clear(self) -> None:
        """Forget everything."""
        self._due.clear()
        self._slow.clear()


def _distorted(fault: FaultOrder, answer: EngineAnswer) -> tuple[str | None, EngineAnswer]:
    if fault.kind == "model_errors":
        return "the model failed: ordered by a test", answer
    if fault.kind == "model_not_json":
        return None, dataclasses.replace(answer, text="{ this is not JSON")
    half = answer.text[: len(answer.text) // 2]
    return None, dataclasses.replace(answer, text=half, finish_reason="length")
