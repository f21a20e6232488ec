"""Record batches → Kafka records: headers, ids, and what is too large."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pyarrow as pa
import pytest
from outcome_samples import a_failure, a_gap, a_result, a_usage

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.results import Outcome
from overshoot_flow.schema.records import Dataset, RecordBatchOf, RecordBuilder
from overshoot_flow_connectors.kafka_formats import ArrowEncoder, JsonEncoder
from overshoot_flow_connectors.kafka_records import (
    Encoder,
    KafkaRecord,
    RecordMaker,
    record_id,
)

TOPICS = {dataset: f"t-{dataset}" for dataset in Dataset}
LARGE = 10**6


def batch_of(*outcomes: Outcome) -> RecordBatchOf:
    (records,) = RecordBuilder(None).batches(outcomes)
    return records


def made(
    encoder: Encoder, *outcomes: Outcome, limit_bytes: int = LARGE
) -> tuple[RecordMaker, list[KafkaRecord]]:
    maker = RecordMaker(encoder, TOPICS, lambda _: limit_bytes)
    return maker, list(maker.make(batch_of(*outcomes)))


def headers(record: KafkaRecord) -> dict[str, str]:
    return {name: value.decode() for name, value in record.headers}


def test_a_row_is_a_record_with_its_headers() -> None:
    _, (first, second) = made(JsonEncoder(), a_result(result_id="a"), a_result(result_id="b"))
    assert (first.topic, first.key) == ("t-results", b"cam-1")
    assert json.loads(first.value)["result_id"] == "a"
    said = headers(first)
    assert said.pop("record-id") != headers(second)["record-id"]
    assert said == {
        "content-type": "application/json",
        "dataset": "results",
        "schema-version": "2",
        "result-id": "a",
        "media-start-us": "0",
        "media-end-us": "500000",
    }


def test_a_schema_key_is_a_header() -> None:
    maker = RecordMaker(JsonEncoder(), TOPICS, lambda _: LARGE)
    (record,) = maker.make(replace(batch_of(a_result()), schema_key="s1"))
    assert headers(record)["schema-key"] == "s1"


def test_no_rows_are_no_record() -> None:
    maker = RecordMaker(ArrowEncoder(), TOPICS, lambda _: LARGE)
    assert list(maker.make(RecordBuilder(None).empty(Dataset.GAPS, "k"))) == []


def test_an_arrow_batch_is_one_record() -> None:
    outcomes = [
        a_result(result_id=str(number), media_start_us=number, media_end_us=number + 5)
        for number in range(3)
    ]
    _, (record,) = made(ArrowEncoder(), *outcomes)
    with pa.ipc.open_stream(record.value) as reader:
        assert reader.read_all().column("result_id").to_pylist() == ["0", "1", "2"]
    said = headers(record)
    assert said["content-type"] == "application/vnd.apache.arrow.stream"
    assert "result-id" not in said
    assert (said["media-start-us"], said["media-end-us"]) == ("0", "7")


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        (a_result(), a_result(raw_text="x"), a_result(result_id="9")),
        (a_failure(), a_failure(detail="x"), a_failure(result_id="9")),
        (a_gap(), a_gap(recorded_at_us=1), a_gap(media_end_us=9)),
        (a_usage(), a_usage(), a_usage(at_us=9)),
    ],
    ids=["result", "dead letter", "gap", "usage"],
)
def test_the_record_id_is_of_what_the_row_is_about(
    one: Outcome, same: Outcome, other: Outcome
) -> None:
    assert record_id(batch_of(one)) == record_id(batch_of(same))
    assert record_id(batch_of(one)) != record_id(batch_of(other))
    assert len(record_id(batch_of(one))) == 32


def test_a_result_and_a_dead_letter_of_one_answer_are_two_records() -> None:
    assert record_id(batch_of(a_result(result_id="a"))) != record_id(
        batch_of(a_failure(result_id="a"))
    )


@pytest.mark.parametrize("encoder", [JsonEncoder(), ArrowEncoder()], ids=["json", "arrow"])
def test_a_row_that_is_too_large_is_a_dead_letter_that_settles_its_frames(encoder: Encoder) -> None:
    large = a_result(result_id="big", raw_text="x" * 50_000, labels={"site": "a"})
    outcomes = [a_result(result_id="a"), large, a_result(result_id="c")]
    maker, records = made(encoder, *outcomes, limit_bytes=20_000)
    assert maker.counters.too_large == 1
    assert [record.topic for record in records] == ["t-results", "t-dead_letters", "t-results"]
    assert all(record.size_bytes <= 20_000 for record in records)
    letter = records[1]
    assert headers(letter)["result-id"] == "big"
    assert headers(letter)["dataset"] == "dead_letters"
    if isinstance(encoder, ArrowEncoder):
        with pa.ipc.open_stream(letter.value) as reader:
            (row,) = reader.read_all().to_pylist(maps_as_pydicts="strict")
    else:
        row = json.loads(letter.value)
    assert row["reason"] == "too_large"
    assert "larger than what the topic t-results takes, 20000 bytes" in row["error"]
    assert row["raw_text"] is None
    assert row["ok"] is False
    settled = ("frames_covered", "frames_between", "settled_start_us", "settled_end_us")
    assert [row[name] for name in settled] == [getattr(large, name) for name in settled]
    assert row["labels"] == {"site": "a"}


def test_an_arrow_batch_that_is_too_large_is_halved_in_order() -> None:
    outcomes = [a_result(result_id=str(number), raw_text="x" * 3000) for number in range(9)]
    maker, records = made(ArrowEncoder(), *outcomes, limit_bytes=14_000)
    assert maker.counters.too_large == 0
    assert len(records) > 1
    ids = []
    for record in records:
        with pa.ipc.open_stream(record.value) as reader:
            ids += reader.read_all().column("result_id").to_pylist()
    assert ids == [str(number) for number in range(9)]


@pytest.mark.parametrize("outcome", [a_gap(detail="x" * 9000), a_usage(model="x" * 9000)])
def test_other_datasets_have_dead_letters_as_well(outcome: Outcome) -> None:
    _, (record,) = made(JsonEncoder(), outcome, limit_bytes=5000)
    row = json.loads(record.value)
    assert row["stream_key"] == "cam-1"
    assert row["reason"] == "too_large"


@pytest.mark.parametrize("encoder", [JsonEncoder(), ArrowEncoder()], ids=["json", "arrow"])
@pytest.mark.parametrize(
    "large",
    [
        a_failure(raw_text="x" * 50_000),
        a_failure(raw_text=None, raw_bytes=b"x" * 50_000),
        a_failure(schema_json="x" * 50_000),
        a_result(prompt="x" * 50_000),
        a_result(labels={"site": "x" * 50_000}),
        a_usage(model="x" * 50_000),
    ],
    ids=["dead letter", "bytes of one", "schema", "prompt", "labels", "model"],
)
def test_a_dead_letter_leaves_out_whatever_makes_it_too_large(
    encoder: Encoder, large: Outcome
) -> None:
    _, (letter,) = made(encoder, large, limit_bytes=10_000)
    assert letter.size_bytes <= 10_000
    row = _row_of(letter)
    assert row["reason"] == "too_large"
    assert row["stream_key"] == large.stream_key
    if "frames_covered" in batch_of(large).batch.schema.names:
        assert headers(letter)["result-id"] == row["result_id"] == large.result_id  # type: ignore[union-attr]
        assert row["frames_covered"] == large.frames_covered  # type: ignore[union-attr]


def test_a_topic_that_takes_no_dead_letter_at_all_is_a_misconfiguration() -> None:
    with pytest.raises(ConfigurationError, match=r"t-dead_letters takes records of 300 bytes"):
        made(JsonEncoder(), a_result(raw_text="x" * 5000), limit_bytes=300)


def _row_of(record: KafkaRecord) -> Mapping[str, object]:
    if headers(record)["content-type"] == "application/json":
        row: Mapping[str, object] = json.loads(record.value)
    else:
        with pa.ipc.open_stream(record.value) as reader:
            (row,) = reader.read_all().to_pylist(maps_as_pydicts="strict")
    return row
