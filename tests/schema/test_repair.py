from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshoot_flow.config import Inference
from overshoot_flow.errors import ConfigurationError
from overshoot_flow.repair_level import Repair
from overshoot_flow.results import FailureReason
from overshoot_flow.schema.json_schema import OutputSchema, Parsed, Rejected
from overshoot_flow.schema.repair import check_answer, repaired_text

SCHEMA = OutputSchema(
    {
        "type": "object",
        "properties": {
            "n": {"type": "integer"},
            "s": {"type": "string"},
            "l": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["n"],
    }
)
ORDER = list(Repair)


@pytest.mark.parametrize(
    ("text", "least", "document"),
    [
        ('{"n": 1}', Repair.NONE, {"n": 1}),
        (' \r\n{"n": 1}\t', Repair.NONE, {"n": 1}),
        ('```json\n{"n": 1}\n```', Repair.FENCES, {"n": 1}),
        ('\n```\r\n{"n": 1}```\n', Repair.FENCES, {"n": 1}),
        ('```json\n{"n": 1, "s": "```"}\n```', Repair.FENCES, {"n": 1, "s": "```"}),
        ('{"n": 1}\nThere is "one" car.', Repair.TRAILING_TEXT, {"n": 1}),
        ('{"n": 1, "s": "}"} Done.', Repair.TRAILING_TEXT, {"n": 1, "s": "}"}),
        ('{"n": 1, "s": "\\"}"} Done.', Repair.TRAILING_TEXT, {"n": 1, "s": '"}'}),
        ('```json\n{"n": 1}\n```\nIt\'s one car.', Repair.TRAILING_TEXT, {"n": 1}),
        ("{'n': 1, 's': 'a'}", Repair.SINGLE_QUOTES, {"n": 1, "s": "a"}),
        (
            """{'n': 1, 's': 'say "a"', "l": ["it's"]}""",
            Repair.SINGLE_QUOTES,
            {"n": 1, "s": 'say "a"', "l": ["it's"]},
        ),
        (r"""{'n': 1, 's': 'it\'s \\ \n \u00e9'}""", Repair.SINGLE_QUOTES, "it's \\ \n é"),
        ("```json\n{'n': 1, 's': '}'}\n```\nSo it is.", Repair.SINGLE_QUOTES, {"n": 1, "s": "}"}),
    ],
)
def test_a_repair_takes_the_level_that_allows_it(text: str, least: Repair, document: Any) -> None:
    for repair in ORDER:
        checked = check_answer(SCHEMA, text, "stop", repair)
        if ORDER.index(repair) < ORDER.index(least):
            assert isinstance(checked, Rejected), repair
            assert checked.reason is FailureReason.NOT_JSON
        else:
            assert isinstance(checked, Parsed), (repair, checked)
            expected = {"n": 1, "s": document} if isinstance(document, str) else document
            assert checked.document == expected
            assert checked.repaired is (least is not Repair.NONE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A car.",
        'Here it is: {"n": 1}',
        '{"n": 1',
        '{"n": 1}{"n": 2}',
        '{"n": 1} or {"n": 2}',
        '{"n": 1}}',
        '{"n": 1}]',
        '{"n": 1]',
        '{"n": 1, "n": 2} Two.',
        '```json\n{"n": 1}\n```\n```json\n{"n": 2}\n```',
        '```json\n{"n": 1}',
        '```json\n```json\n{"n": 1}\n```\n```',
        "{'n': 1, 's': 'it's'}",
        "{'n': 1, 's': 'a",
        "{'n': 1, 'n': 2}",
        "{n: 1}",
        "{'n': 1, 'l': None}",
        "{'n': 1,}",
        "{'n': 1, 's': '\\x41'}",
        "{'n': 1, 's': '\n'}",
        "{" * 200_000,
        "{'" * 200_000,
        "{'" + "\\" * 500_001,
        '{"' + '\\"' * 300_000,
    ],
    ids=lambda text: ascii(text[:40]),
)
def test_what_could_be_read_in_two_ways_or_in_none_is_left_alone(text: str) -> None:
    checked = check_answer(SCHEMA, text, "stop", Repair.SINGLE_QUOTES)
    assert isinstance(checked, Rejected)
    assert checked.reason is FailureReason.NOT_JSON


def test_a_repaired_text_is_checked_like_any_other() -> None:
    checked = check_answer(SCHEMA, '```json\n{"n": "1"}\n```', "stop", Repair.FENCES)
    assert isinstance(checked, Rejected)
    assert (checked.reason, checked.instance_path) == (FailureReason.SCHEMA, "/n")
    cut = check_answer(SCHEMA, '{"n": 1} And', "length", Repair.SINGLE_QUOTES)
    assert isinstance(cut, Rejected)
    assert cut.reason is FailureReason.CUT


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(document=st.dictionaries(st.text(), _JSON, max_size=4), ascii_only=st.booleans())
def test_a_document_in_single_quotes_keeps_every_value(
    document: dict[str, Any], *, ascii_only: bool
) -> None:
    text = json.dumps(document, ensure_ascii=ascii_only)

    def single(found: re.Match[str]) -> str:
        inner = found.group()[1:-1].replace('\\"', '"') if "\\\\" not in found.group() else None
        return found.group() if inner is None else "'" + inner.replace("'", "\\'") + "'"

    written = re.sub(r'"(?:[^"\\]|\\.)*"', single, text)
    repaired = repaired_text(written, Repair.SINGLE_QUOTES)
    assert json.loads(written if repaired is None else repaired) == document
    assert repaired_text(f"{text}\nThat is all.", Repair.TRAILING_TEXT) == text


def test_the_level_is_named_in_the_inference_and_no_part_of_the_question() -> None:
    asked = [Inference(prompt="?", repair=each) for each in ("none", Repair.SINGLE_QUOTES)]
    assert [each.repair for each in asked] == [Repair.NONE, Repair.SINGLE_QUOTES]
    assert len({each.prompt_version for each in (*asked, Inference(prompt="?"))}) == 1
    with pytest.raises(ConfigurationError, match=r"'all'.*'fences'"):
        Inference(prompt="?", repair="all")
