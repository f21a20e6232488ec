"""Which question an answer belongs to, while the prompt of its stream changes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from overshoot_flow.config import Inference
from overshoot_flow.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class AnsweredQuestion:
    """The prompt that an answer was made with, and the version of the question with it."""

    prompt: str
    version: str


@dataclass(slots=True)
class AnsweredQuestions:
    """Finds the question of an answer; remembers the latest, because most answers share one."""

    _inference: Inference | None = None
    _prompt: str | None = None
    _latest: AnsweredQuestion | None = None

    def by_prompt(self, inference: Inference, prompt: str | None) -> AnsweredQuestion:
        """Return the question of an answer.

        Args:
            inference: What is asked now.
            prompt: The prompt that the service says it has used, or None where it says nothing.
        """
        if self._latest is None or self._inference is not inference or self._prompt != prompt:
            asked = _asked_with(inference, prompt)
            self._inference, self._prompt = inference, prompt
            self._latest = AnsweredQuestion(asked.prompt, asked.prompt_version)
        return self._latest


def _asked_with(inference: Inference, prompt: str | None) -> Inference:
    if not prompt:
        return inference
    try:
        return replace(inference, prompt=prompt)
    except ConfigurationError:
        # No such prompt can have been asked, so the service's word says nothing.
        return inference
