"""Reads what is asked about a camera: its own words over the ones of `[defaults]`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from overshoot_flow.config import (
    CLIP_LENGTH_RANGE_S,
    DEFAULT_MODEL,
    INTERVAL_RANGE_S,
    TARGET_FPS_RANGE,
    TOKENS_PER_SECOND,
    ClipMode,
    FrameMode,
    Inference,
    allowed_output_tokens,
)
from overshoot_flow.errors import ConfigurationError, UnsupportedSchemaError
from overshoot_flow.media.sampling import EveryFrame, FramesPerSecond, Keyframes, SamplingPlan
from overshoot_flow.repair_level import Repair
from overshoot_flow.schema.json_schema import OutputSchema
from overshoot_flow.schema.sources import schema_document
from overshoot_flow_connectors.fleet_fields import FleetTable

QUESTION_KEYS: Final = (
    "prompt",
    "schema",
    "repair",
    "model",
    "max_output_tokens",
    "mode",
    "interval_s",
    "clip_length_s",
    "delay_s",
    "target_fps",
    "fps",
    "sample",
    "max_height",
    "freeze_timeout_s",
)

_CLIP_KEYS: Final = ("clip_length_s", "delay_s", "target_fps")
_FRAME_KEYS: Final = ("interval_s",)
_FREEZE_TIMEOUT_RANGE_S: Final = (1.0, 3600.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What one table says; None where it says nothing."""

    prompt: str | None = None
    schema: Mapping[str, Any] | None = None
    repair: str | None = None
    model: str | None = None
    max_output_tokens: int | None = None
    mode: ClipMode | FrameMode | None = None
    sample: SamplingPlan | None = None
    max_height: int | None = None
    freeze_timeout_s: float | None = None


def read_question(table: FleetTable, base: Question) -> Question:
    """Read what `table` says, over what `base` says."""
    question = Question(
        prompt=table.text("prompt") or base.prompt,
        schema=_schema(table) or base.schema,
        repair=table.choice("repair", tuple(Repair)) or base.repair,
        model=table.text("model") or base.model,
        max_output_tokens=table.integer("max_output_tokens", at_least=1) or base.max_output_tokens,
        mode=_mode(table, base.mode),
        sample=_sample(table) or base.sample,
        max_height=table.integer("max_height", at_least=2) or base.max_height,
        freeze_timeout_s=table.number("freeze_timeout_s", within=_FREEZE_TIMEOUT_RANGE_S)
        or base.freeze_timeout_s,
    )
    tokens, mode = question.max_output_tokens, question.mode or ClipMode()
    allowed = allowed_output_tokens(mode.period_s)
    if tokens is not None and tokens > allowed and question != base:
        table.problem(
            "max_output_tokens",
            f"max_output_tokens must be at most {allowed} for an answer every {mode.period_s:g} s "
            f"({TOKENS_PER_SECOND} tokens per second), not {tokens}",
        )
        return replace(question, max_output_tokens=None)
    return question


def inference_of(table: FleetTable, question: Question) -> Inference | None:
    """Return what is asked; None after noting that there is no prompt."""
    if question.prompt is None:
        if "prompt" not in table:
            table.problem(None, '"prompt" is missing; give one here or under [defaults]')
        return None
    return Inference(
        prompt=question.prompt,
        model=question.model or DEFAULT_MODEL,
        output_schema=question.schema,
        repair=question.repair or Repair.FENCES,
        mode=question.mode or ClipMode(),
        max_output_tokens=question.max_output_tokens,
    )


def _sample(table: FleetTable) -> SamplingPlan | None:
    fps = table.number("fps", above=0)
    name = table.choice("sample", ("keyframes", "every"))
    if "fps" in table and "sample" in table:
        table.problem("sample", "fps and sample exclude each other; give one")
        return None
    if name is not None:
        return Keyframes() if name == "keyframes" else EveryFrame()
    return None if fps is None else FramesPerSecond(fps)


def _mode(table: FleetTable, base: ClipMode | FrameMode | None) -> ClipMode | FrameMode | None:
    given: dict[str, float] = {}
    for key, read in _WINDOW_FIELDS.items():
        value = read(table, key)
        if value is not None:
            given[key] = value
    name = table.choice("mode", ("clip", "frame"))
    if name is None:
        if "mode" in table or not any(key in table for key in _WINDOW_FIELDS):
            return base
        of_frames = all(key not in table for key in _CLIP_KEYS)
        name = base.name if base is not None else "frame" if of_frames else "clip"
    other, own = (_FRAME_KEYS, _CLIP_KEYS) if name == "clip" else (_CLIP_KEYS, _FRAME_KEYS)
    for key in other:
        if key in table:
            table.problem(key, f'{key} means nothing in mode "{name}"; known is {", ".join(own)}')
    fields = {key: value for key, value in given.items() if key in own}
    if name == "clip":
        return replace(base if isinstance(base, ClipMode) else ClipMode(), **fields)
    return replace(base if isinstance(base, FrameMode) else FrameMode(), **fields)


_WINDOW_FIELDS: Final[Mapping[str, Callable[[FleetTable, str], float | None]]] = {
    "clip_length_s": lambda table, key: table.number(key, within=CLIP_LENGTH_RANGE_S),
    "delay_s": lambda table, key: table.number(key, above=0),
    "target_fps": lambda table, key: table.number(key, within=TARGET_FPS_RANGE),
    "interval_s": lambda table, key: table.number(key, within=INTERVAL_RANGE_S),
}


def _schema(table: FleetTable) -> Mapping[str, Any] | None:
    file = table.path("schema")
    if file is None:
        return None
    table.context.files[file] = None
    try:
        return OutputSchema(schema_document(file)).document
    except UnsupportedSchemaError as error:
        table.problem("schema", f"schema {file.name}: {error}")
    except ConfigurationError as error:
        table.problem("schema", str(error))
    return None
