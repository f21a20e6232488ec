"""Plants a defect in the production's classes: a small change of a method's text."""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from simulation_checks import Violation
from simulation_run import run_schedule
from simulation_schedule import Schedule


@dataclass(frozen=True, slots=True)
class Mutant:
    """One planted defect.

    Args:
        name: What goes wrong.
        owner: The class that has the method.
        method: Its name.
        text: A piece of its text, which must be there exactly once.
        instead: What stands there in the mutant.
    """

    name: str
    owner: type[Any]
    method: str
    text: str
    instead: str

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Put the defect into the class."""
        original = inspect.getattr_static(self.owner, self.method)
        setattr(self.owner, self.method, self._mutated(original))
        try:
            yield
        finally:
            setattr(self.owner, self.method, original)

    def _mutated(self, original: Any) -> Any:
        function: Any = original
        if isinstance(original, property):
            function = original.fget
        elif isinstance(original, classmethod | staticmethod):
            function = original.__func__
        source = textwrap.dedent(inspect.getsource(function))
        if source.count(self.text) != 1:
            msg = f"{self.name}: {self.owner.__name__}.{self.method} has not once: {self.text}"
            raise ValueError(msg)
        code = compile(
            source.replace(self.text, self.instead),
            f"<mutant: {self.name}>",
            "exec",
        )
        names: dict[str, Any] = {}
        exec(code, vars(sys.modules[self.owner.__module__]), names)  # noqa: S102 - our own text
        return names[self.method]


def schedules_until_caught(mutant: Mutant, most: int) -> int | None:
    """Plant a defect and run schedules from seed 0 until a check notices.

    Returns:
        How many schedules it took, or None if `most` did not notice.
    """
    with mutant.planted():
        for seed in range(most):
            try:
                run_schedule(Schedule.of(seed))
            except Violation:
                return seed + 1
    return None
