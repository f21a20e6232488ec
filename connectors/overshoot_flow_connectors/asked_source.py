"""The dead letters of one file that are asked about again: what can be asked, and what it brings.

The identity of a result is made of the file's content, the window and the question. So it proves
that all three are the same again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, TypeAlias

from overshoot_flow.errors import ConfigurationError, StorageError
from overshoot_flow.flow.partition import media_name
from overshoot_flow.inference import Inference
from overshoot_flow.protocol.v1_chat import ChatAnswer
from overshoot_flow.protocol.windows import Window, WindowPlan, window_result_id
from overshoot_flow.results import Failure, Outcome, Result, Usage
from overshoot_flow.schema.json_schema import OutputSchema
from overshoot_flow.session.ledger import Account
from overshoot_flow.session.window_outcomes import MODE
from overshoot_flow.session.windows_again import NotAsked, PictureReader, WindowAgain
from overshoot_flow_connectors.file import FileSource

_CAMERA_SCHEMES: Final = ("rtsp://", "rtsps://")
_MAX_SHOWN: Final = 60

_Refusal: TypeAlias = tuple[Failure, NotAsked, str]


def _nothing(start_us: int) -> PictureReader:
    msg = f"nothing is wanted at {start_us} µs"
    raise RuntimeError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedSource:
    """What of a file can be asked about again.

    Attributes:
        identity: What the file is.
        wanted: The windows.
        ids: Identities of their records.
        refused: The other dead letters, and why.
        open_reader: Opens the file at a media time in µs.
    """

    refused: list[_Refusal]
    identity: str = ""
    wanted: list[WindowAgain] = field(default_factory=list)
    ids: dict[Window, str] = field(default_factory=dict)
    open_reader: Callable[[int], PictureReader] = _nothing


@dataclass(slots=True)
class AskedSource:
    """The dead letters of one file.

    Args:
        stream_key: Key of the file's partition.
        source: Its path or URL, as the records have it.

    Attributes:
        account: Where the answers come.
    """

    stream_key: str
    source: str
    account: Account | None = None
    _letters: dict[str, Failure] = field(default_factory=dict)
    _said: dict[str, Failure] = field(default_factory=dict)

    def add(self, failure: Failure, *, is_whole: bool) -> None:
        """Take a dead letter, each identity once.

        Args:
            failure: The dead letter.
            is_whole: Whether its answer is, so that only the second question is asked.
        """
        if failure.result_id in self._letters:
            return
        self._letters[failure.result_id] = failure
        if is_whole and failure.raw_text is not None:
            self._said[failure.result_id] = failure

    @property
    def ids(self) -> list[str]:
        """The identities of those that nothing is known of yet."""
        return list(self._letters)

    def forget(self, ids: AbstractSet[str]) -> int:
        """Forget those that are results already; return how many of them were here."""
        known = self._letters.keys() & ids
        for identity in known:
            del self._letters[identity]
        return len(known)

    def take(self, identity: str) -> Failure | None:
        """Something is known of it now."""
        return self._letters.pop(identity, None)

    def opened(
        self, inference: Inference, open_source: Callable[[str], FileSource]
    ) -> OpenedSource:
        """Find out what can be asked again; this reads from the disk or the store."""
        refused: list[_Refusal] = []
        letters = []
        for failure in self._letters.values():
            refusal = _not_about_a_file(failure) or _other_question(failure, inference)
            if refusal is None:
                letters.append(failure)
            else:
                refused.append((failure, *refusal))
        if not letters:
            return OpenedSource(refused=refused)
        try:
            source = open_source(self.source)
            key = source.list_parts()[0]
            identity = media_name(source.identity(key)) or ""
        except (ConfigurationError, StorageError) as error:
            refused += [(failure, NotAsked.SOURCE, str(error)) for failure in letters]
            return OpenedSource(refused=refused)
        opened = OpenedSource(
            refused=refused, identity=identity, open_reader=partial(source.open_reader, key)
        )
        for failure in letters:
            refusal = _other_video(failure, inference, identity)
            if refusal is None:
                again = self._again(failure)
                opened.wanted.append(again)
                opened.ids[again.window] = failure.result_id
            else:
                refused.append((failure, *refusal))
        return opened

    def _again(self, failure: Failure) -> WindowAgain:
        size = None
        if failure.stream_id is None and failure.delivered_width and failure.delivered_height:
            # What a stream delivers depends on the network; what a question shows does not.
            size = (failure.delivered_width, failure.delivered_height)
        return WindowAgain(
            window=_window(failure),
            frames_covered=failure.frames_covered,
            frames_between=failure.frames_between,
            size=size,
            said=_answer(failure) if failure.result_id in self._said else None,
        )

    def said_now(self) -> Iterator[Outcome]:
        """Take what was said since the last time, as it is to be recorded."""
        pieces = () if self.account is None else self.account.take()
        for outcome in (each for piece in pieces for each in piece.outcomes):
            if isinstance(outcome, Usage):
                letter = self._letters.get(outcome.result_id or "")
                yield outcome if letter is None else replace(outcome, labels=letter.labels)
            elif isinstance(outcome, Result | Failure):
                letter = self.take(outcome.result_id)
                if isinstance(outcome, Result) and letter is not None:
                    yield self._recorded(outcome, letter)
                else:
                    yield outcome

    def _recorded(self, result: Result, letter: Failure) -> Result:
        published = letter.frames_published_total or 0
        result = replace(result, labels=letter.labels, frames_published_total=published)
        if letter.result_id not in self._said:
            return result
        # The first answer is the old one.
        return replace(
            result,
            media_uncertainty_us=letter.media_uncertainty_us,
            stream_id=letter.stream_id,
            model=letter.model,
            inference_latency_ms=letter.inference_latency_ms,
            total_latency_ms=letter.total_latency_ms,
            received_at_us=letter.received_at_us,
            delivered_width=letter.delivered_width,
            delivered_height=letter.delivered_height,
            frames_sent_total=letter.frames_sent_total,
        )


def _window(failure: Failure) -> Window:
    return Window(failure.media_start_us, failure.media_end_us)


def _answer(failure: Failure) -> ChatAnswer:
    return ChatAnswer(
        id=None,
        model=failure.model,
        text=failure.raw_text,
        finish_reason=failure.finish_reason,
        usage=None,
        thread_id=None,
        cache_hit=None,
    )


def _not_about_a_file(failure: Failure) -> tuple[NotAsked, str] | None:
    if failure.capture_basis != "media" or failure.source.startswith(_CAMERA_SCHEMES):
        return NotAsked.CAMERA, "what a camera showed then is not shown again"
    if failure.mode != MODE:
        return NotAsked.NO_WINDOW, "the service chose the pictures (v0.2), which is no window"
    return None


def _other_question(failure: Failure, inference: Inference) -> tuple[NotAsked, str] | None:
    if failure.prompt_version == inference.prompt_version:
        return None
    schema = inference.json_schema
    canonical = None if schema is None else OutputSchema(schema).canonical
    detail = "the system text, the second question or the like were others"
    if failure.prompt != inference.prompt:
        detail = f"the prompt was {_short(failure.prompt)!r}"
    elif failure.schema_json != canonical:
        detail = "the schema was another one"
    elif failure.model != inference.model:
        detail = f"the model was perhaps {failure.model}"
    return NotAsked.QUESTION, f"another question was asked: {detail}"


def _other_video(
    failure: Failure, inference: Inference, identity: str
) -> tuple[NotAsked, str] | None:
    window = _window(failure)
    now = window_result_id(
        identity,
        window,
        prompt_version=inference.prompt_version,
        model=inference.model,
        output_schema=inference.json_schema,
    )
    if now != failure.result_id:
        return NotAsked.CHANGED, f"{failure.source} is not the video that was asked about"
    if not _has(inference.window_plan, window):
        span = f"{window.start_us / 1e6:g} to {window.end_us / 1e6:g} s"
        return NotAsked.WINDOWS, f"the windows given now have none from {span}"
    return None


def _has(plan: WindowPlan, window: Window) -> bool:
    """Whether the plan makes this window; the end of the video may have cut it."""
    made = plan.windows_of(window.start_us, window.end_us - window.start_us)
    return any(each.start_us == window.start_us and each.end_us >= window.end_us for each in made)


def _short(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…"
