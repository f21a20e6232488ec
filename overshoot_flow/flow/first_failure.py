"""Remembers what a step of the flow raised first, where the engine itself forgets it.

In a cluster of processes the engine answers every exception of a step with the same panic, "Send
thread panic: Any { .. }", without a cause and without naming the step. So the flow's functions,
sources, sinks and their parts are wrapped before the engine gets them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, Final

from bytewax.dataflow import Dataflow

from overshoot_flow.flow.graph import steps_of

# What the engine's core operators call: see their signatures in `bytewax.operators`.
_CALLED: Final = (
    ("flat_map_batch", "mapper"),
    ("stateful_batch", "builder"),
    ("branch", "predicate"),
    ("inspect_debug", "inspector"),
    ("input", "source"),
    ("output", "sink"),
)
_BUILDERS: Final = {"build", "build_part"}


class FirstFailure:
    """Wraps a flow and keeps the first exception that one of its steps raises.

    Attributes:
        error: That exception, or None.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.error: BaseException | None = None

    def watch(self, flow: Dataflow) -> None:
        """Wrap what the engine calls in `flow`, in place. To be called once for a flow."""
        for step in steps_of(flow):
            for operator, attribute in _CALLED:
                if type(step).__name__ == operator and hasattr(step, attribute):
                    watched = getattr(step, attribute)
                    watched = (
                        self._watched_call(watched, builds=attribute == "builder")
                        if attribute not in {"source", "sink"}
                        else _Watched(watched, self)
                    )
                    # The engine's steps are frozen; it offers no other way to come between.
                    object.__setattr__(step, attribute, watched)

    def note(self, error: BaseException) -> None:
        """Keep `error` when it is the first one."""
        with self._lock:
            if self.error is None:
                self.error = error

    def _watched_call(self, call: Callable[..., Any], *, builds: bool) -> Callable[..., Any]:
        @wraps(call)
        def watched(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever the step takes
            try:
                done = call(*arguments, **named)
            except StopIteration:
                raise
            except BaseException as error:
                self.note(error)
                raise
            if builds:
                return _Watched(done, self)
            # Most of the engine's own operators give generators, which fail when they are used up.
            return self._watched_items(done) if isinstance(done, Iterator) else done

        return watched

    def _watched_items(self, items: Iterator[Any]) -> Iterator[Any]:
        try:
            yield from items
        except GeneratorExit:
            raise
        except BaseException as error:
            self.note(error)
            raise


class _Watched:
    """Stands for a source, a sink or a part of one; the engine's type checks take it for that."""

    def __init__(self, inner: Any, failure: FirstFailure) -> None:  # noqa: ANN401 - see above
        self._inner = inner
        self._failure = failure

    # What `isinstance` asks when the type itself does not fit; nobody sets it.
    @property  # type: ignore[misc]  # mypy knows no property in its place
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride]
        return type(self._inner)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - see above
        value = getattr(self._inner, name)
        if not callable(value):
            return value
        return self._failure._watched_call(value, builds=name in _BUILDERS)  # noqa: SLF001 - one unit
