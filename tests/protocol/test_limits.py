"""What is refused at construction, each with the limit and what is allowed."""

from __future__ import annotations

import copy
import math
import pickle
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshoot_flow.assignment import Assignment
from overshoot_flow.config import (
    KEY_VARIABLE,
    ClipMode,
    Escalation,
    FrameMode,
    Inference,
    Secret,
    Service,
    allowed_output_tokens,
    api_key,
)
from overshoot_flow.errors import ConfigurationError, LimitError
from overshoot_flow.protocol.windows import Windows

KEY = "ovs_0123456789abcdef"


def asking(mode: ClipMode | FrameMode, tokens: int) -> Inference:
    return Inference(prompt="?", mode=mode, max_output_tokens=tokens)


@pytest.mark.parametrize(
    ("mode", "values"),
    [
        (ClipMode, {"target_fps": 1}),
        (ClipMode, {"target_fps": 30}),
        (ClipMode, {"clip_length_s": 0.1}),
        (ClipMode, {"clip_length_s": 60}),
        (ClipMode, {"delay_s": 0.001}),
        (ClipMode, {"delay_s": 3600}),
        (FrameMode, {"interval_s": 0.1}),
        (FrameMode, {"interval_s": 60}),
    ],
)
def test_the_bounds_themselves_are_allowed(mode: type[Any], values: dict[str, float]) -> None:
    made = mode(**values)
    assert {name: getattr(made, name) for name in values} == values


@pytest.mark.parametrize(
    ("mode", "name", "value", "limit", "text"),
    [
        (ClipMode, "target_fps", 0.99, "target_fps", "1 to 30"),
        (ClipMode, "target_fps", 30.01, "target_fps", "1 to 30"),
        (ClipMode, "target_fps", math.nan, "target_fps", "1 to 30"),
        (ClipMode, "clip_length_s", 0.09, "clip_length_seconds", "0.1 to 60"),
        (ClipMode, "clip_length_s", 60.1, "clip_length_seconds", "0.1 to 60"),
        (ClipMode, "delay_s", 0, "delay_seconds", "above 0"),
        (ClipMode, "delay_s", -1, "delay_seconds", "above 0"),
        (ClipMode, "delay_s", math.inf, "delay_seconds", "finite"),
        (ClipMode, "delay_s", math.nan, "delay_seconds", "above 0"),
        (FrameMode, "interval_s", 0.09, "interval_seconds", "0.1 to 60"),
        (FrameMode, "interval_s", 60.1, "interval_seconds", "0.1 to 60"),
        (FrameMode, "interval_s", math.nan, "interval_seconds", "0.1 to 60"),
    ],
)
def test_a_value_outside_is_refused_by_the_contracts_name(
    mode: type[Any], name: str, value: float, limit: str, text: str
) -> None:
    with pytest.raises(LimitError, match=text) as caught:
        mode(**{name: value})
    assert caught.value.limit == limit
    assert str(caught.value).startswith(f"{limit}: ")


@pytest.mark.parametrize(
    ("mode", "allowed"),
    [
        (FrameMode(interval_s=1), 128),
        (FrameMode(interval_s=0.1), 12),
        (FrameMode(interval_s=60), 7680),
        (ClipMode(delay_s=0.5), 64),
        (ClipMode(delay_s=0.7), 89),
        (ClipMode(delay_s=0.5, clip_length_s=60), 64),
    ],
)
def test_the_token_rate_is_kept_and_the_maximum_named(
    mode: ClipMode | FrameMode, allowed: int
) -> None:
    services = (Service(key=Secret(KEY)),)
    Assignment(inference=asking(mode, allowed), services=services)
    with pytest.raises(LimitError, match=f"at most {allowed} here") as caught:
        Assignment(inference=asking(mode, allowed + 1), services=services)
    assert caught.value.limit == "max_output_tokens"


@pytest.mark.parametrize("api", ["v1", "v1beta"])
def test_there_is_no_token_rate_where_the_client_asks(api: Literal["v1", "v1beta"]) -> None:
    services = (Service(key=Secret(KEY), api=api),)
    second = Inference(prompt="again?", max_output_tokens=1000)
    then = Escalation(name="always", when=lambda _: True, inference=second)
    asked = Inference(prompt="?", windows=Windows(2), max_output_tokens=1000, then=then)
    assert Assignment(inference=asked, services=services).inference.max_output_tokens == 1000
    Assignment(inference=asking(ClipMode(), 1000), services=services)


@given(st.floats(min_value=0.001, max_value=1e6))
def test_the_allowed_tokens_are_the_largest_within_the_rate(period_s: float) -> None:
    allowed = allowed_output_tokens(period_s)
    assert allowed <= 128 * period_s < allowed + 1


@pytest.mark.parametrize("tokens", [0, -1])
def test_no_tokens_at_all_make_no_answer(tokens: int) -> None:
    with pytest.raises(LimitError, match="at least 1"):
        Inference(prompt="?", max_output_tokens=tokens)


@pytest.mark.parametrize(
    ("prompt", "text"), [("", "say what"), (" \n", "say what"), ("\udcff", "Unicode")]
)
def test_a_prompt_that_cannot_be_asked(prompt: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        Inference(prompt=prompt)


def test_the_prompt_version_changes_with_the_question_alone() -> None:
    asked = Inference(prompt="?", output_schema={"a": 1, "b": 2})
    assert len(asked.prompt_version) == 16
    same = Inference(prompt="?", output_schema={"b": 2, "a": 1}, mode=FrameMode())
    assert same.prompt_version == asked.prompt_version
    others = [
        Inference(prompt="!", output_schema={"a": 1, "b": 2}),
        Inference(prompt="?", output_schema={"a": 1}),
        Inference(prompt="?", output_schema={"a": 1, "b": 2}, model="other"),
        Inference(prompt="?", output_schema={"a": 1, "b": 2}, backend="other"),
    ]
    assert len({asked.prompt_version, *(other.prompt_version for other in others)}) == 5


def test_a_base_url_loses_its_trailing_slash() -> None:
    assert Service(key=Secret(KEY), base_url="http://h:1/v0.2//").base_url == "http://h:1/v0.2"


@pytest.mark.parametrize(
    ("base_url", "text"),
    [
        ("", "http:// or https://"),
        ("api.overshoot.ai/v0.2", "http:// or https://"),
        ("ftp://h/v0.2?key=hidden", "http:// or https://"),
        ("HTTP://h/v0.2", "http:// or https://"),
        ("https://", "no host"),
        ("https:///v0.2", "no host"),
        ("http://h:port/v0.2", "no URL"),
        ("http://h:99999/v0.2", "no URL"),
        ("http://[h/v0.2", "no URL"),
        ("http://h/v0.2?key=hidden", "must end with the API generation"),
        ("http://h/v0.2#hidden", "must end with the API generation"),
        ("http://h/v 0.2", "must end with the API generation"),
        ("http://user:hidden@h/v0.2", "credentials"),
    ],
)
def test_what_cannot_be_a_base_url(base_url: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text) as caught:
        Service(key=Secret(KEY), base_url=base_url)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("key", ["", " ", f"{KEY}\n", f"{KEY} x", f"\ufeff{KEY}", "ovs_schlüssel"])
def test_a_key_that_no_header_can_hold_is_refused_unseen(key: str) -> None:
    with pytest.raises(ConfigurationError, match="the API key is empty or has") as caught:
        Service(key=Secret(key))
    assert "ovs_" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["request_timeout_s", "connect_timeout_s", "answers_deadline_s", "transit_s"]
)
@pytest.mark.parametrize("value", [0, -1.0, math.inf, math.nan])
def test_a_bound_must_be_one(name: str, value: float) -> None:
    bounds: dict[str, Any] = {name: value}
    with pytest.raises(ConfigurationError, match=name):
        Service(key=Secret(KEY), **bounds)


def test_restarts_are_counted_from_0() -> None:
    assert Service(key=Secret(KEY), max_restarts=0).max_restarts == 0
    with pytest.raises(ConfigurationError, match="max_restarts"):
        Service(key=Secret(KEY), max_restarts=-1)


def test_a_secret_shows_itself_only_when_asked() -> None:
    secret = Secret(KEY)
    service = Service(key=secret)
    assert secret.reveal() == KEY
    assert KEY not in f"{secret} {secret!r} {secret!s} {[secret]} {service} {service!r}"
    assert secret == Secret(KEY)
    assert secret != Secret(KEY + "x")
    assert secret != KEY
    assert hash(secret) == hash(Secret(KEY))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_secret_is_never_pickled(protocol: int) -> None:
    for value in (Secret(KEY), Service(key=Secret(KEY))):
        with pytest.raises(TypeError, match="never pickled") as caught:
            pickle.dumps(value, protocol)
        assert KEY not in str(caught.value)


def test_a_secret_is_not_copied_by_taking_it_apart() -> None:
    with pytest.raises(TypeError, match="never pickled"):
        copy.deepcopy(Secret(KEY))


def test_redaction_finds_escaped_spellings_and_leaves_the_rest() -> None:
    secret = Secret("a\"b\\c'd")
    told = f"{secret.reveal()} {secret.reveal()!r} a b"
    assert secret.redact(told) == "*** '***' a b"
    assert Secret("").redact("text") == "text"


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, f" {KEY}\n")
    assert api_key() == Secret(KEY)


@pytest.mark.parametrize("value", [None, "", "  "])
def test_no_key_says_where_to_put_one(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    if value is None:
        monkeypatch.delenv(KEY_VARIABLE, raising=False)
    else:
        monkeypatch.setenv(KEY_VARIABLE, value)
    with pytest.raises(ConfigurationError, match=f"set {KEY_VARIABLE}, or name a file"):
        api_key()


def test_a_key_file_wins_over_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "ovs_other")
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n", encoding="utf-8")
    assert api_key(file) == Secret(KEY)


def test_a_key_file_that_holds_no_key(tmp_path: Path) -> None:
    empty, binary = tmp_path / "empty", tmp_path / "binary"
    empty.write_text("\n", encoding="utf-8")
    binary.write_bytes(b"ovs_\xff\xfe")
    for file, text in (
        (tmp_path / "none", "cannot read"),
        (tmp_path, "cannot read"),
        (empty, "is empty"),
        (binary, "is no text"),
    ):
        with pytest.raises(ConfigurationError, match=text) as caught:
            api_key(file)
        assert str(file) in str(caught.value)
        assert "ovs_" not in str(caught.value)
