"""CPU seconds from answers as bytes to validated, typed Parquet: ours against the Python stack.

The Python stack is `json.loads`, `jsonschema` with format checks, `RecordBatch.from_pylist` and
the same Parquet writer. It keeps date-times as text, which spares it work, and sees neither
duplicate keys nor numbers that change. Both do the same batches of the same answers, in turns,
in one process; the numbers are medians of its CPU time. The last line is `RESULT {json}`.

`--fuzz N` makes N random documents of random schemas instead, see `structured_fuzz.py`.
The peers come with `pip install '.[bench]'`.
"""

# ruff: noqa: PLR2004 - the numbers are odds

from __future__ import annotations

import argparse
import io
import itertools
import json
import random
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
from structured_fuzz import fuzz

from overshoot_flow.schema.json_schema import OutputSchema, Rejected

BATCH_ROWS = 250
BATCHES_PER_ROW_GROUP = 8
# Answers list up to this many vehicles; the first is the headline.
WORKLOADS = {"": 10, "_small": 2}
BOX = {
    "type": "object",
    "properties": {name: {"type": "number", "minimum": 0, "maximum": 1} for name in "xywh"},
    "required": list("xywh"),
    "additionalProperties": False,
}
VEHICLE = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["car", "truck", "bus", "bicycle"]},
        "plate": {"type": ["string", "null"], "pattern": "^[A-Z]{2}-[0-9]{3}$"},
        "is_moving": {"type": "boolean"},
        "box": {"$ref": "#/$defs/Box"},
    },
    "required": ["kind", "plate", "is_moving", "box"],
    "additionalProperties": False,
}
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "scene": {"enum": ["ramp", "gate", "yard", "empty"]},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        "people": {"type": "integer", "minimum": 0, "maximum": 500},
        "is_alarm": {"type": "boolean"},
        "seen_at": {"type": "string", "format": "date-time"},
        "note": {"type": "string", "maxLength": 200},
        "vehicles": {"type": "array", "items": {"$ref": "#/$defs/Vehicle"}, "maxItems": 10},
        "colours": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["scene", "confidence", "people", "is_alarm", "seen_at", "note", "vehicles"],
    "additionalProperties": False,
    "$defs": {"Box": BOX, "Vehicle": VEHICLE},
}


def answer(choice: random.Random, most_vehicles: int) -> dict[str, Any]:
    """Return what a model might say about one window of a loading bay."""
    vehicles = [
        {
            "kind": choice.choice(["car", "truck", "bus", "bicycle"]),
            "plate": choice.choice([None, f"AB-{choice.randrange(100, 1000)}"]),
            "is_moving": choice.random() < 0.5,
            "box": {name: round(choice.random(), 3) for name in "xywh"},
        }
        for _ in range(choice.randint(0, most_vehicles))
    ]
    document = {
        "scene": choice.choice(["ramp", "gate", "yard", "empty"]),
        "confidence": round(choice.random(), 2),
        "people": choice.randrange(0, 12),
        "is_alarm": choice.random() < 0.1,
        "seen_at": f"2026-03-{choice.randrange(10, 28)}T12:{choice.randrange(10, 60)}:00Z",
        "note": " ".join(choice.choices(["a", "truck", "waits", "at", "the", "ramp"], k=12)),
        "vehicles": vehicles,
    }
    if choice.random() < 0.5:
        document["colours"] = choice.sample(["red", "blue", "white", "black"], k=2)
    if choice.random() < 0.01:
        document["people"] = -1
    return document


def write(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> None:
    """Write the batches to Parquet, several to a row group."""
    batches = iter(batches)
    with pq.ParquetWriter(io.BytesIO(), schema, compression="zstd") as writer:
        while group := list(itertools.islice(batches, BATCHES_PER_ROW_GROUP)):
            writer.write_table(pa.Table.from_batches(group, schema))


def batches_of(texts: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Yield the answers in batches."""
    for start in range(0, len(texts), BATCH_ROWS):
        yield texts[start : start + BATCH_ROWS]


def ours(texts: Sequence[bytes]) -> int:
    """Write the valid answers to Parquet; return how many were not."""
    output = OutputSchema(SCHEMA)
    schema = pa.schema([pa.field("output", output.arrow_type)])
    rejected = 0

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal rejected
        for batch in batches_of(texts):
            documents = []
            for text in batch:
                checked = output.check(text.decode(), "stop")
                if isinstance(checked, Rejected):
                    rejected += 1
                else:
                    documents.append(checked.document)
            yield pa.RecordBatch.from_arrays([output.to_array(documents)], schema=schema)

    write(batches(), schema)
    return rejected


def python_stack(texts: Sequence[bytes]) -> int:
    """Do the same with the libraries that are at hand."""
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    validator = jsonschema.Draft202012Validator(SCHEMA, format_checker=checker)
    box = pa.struct([(name, pa.float64()) for name in "xywh"])
    vehicle = pa.struct(
        [("kind", pa.string()), ("plate", pa.string()), ("is_moving", pa.bool_()), ("box", box)]
    )
    output = pa.struct(
        [
            ("scene", pa.string()),
            ("confidence", pa.float64()),
            ("people", pa.int16()),
            ("is_alarm", pa.bool_()),
            ("seen_at", pa.string()),
            ("note", pa.string()),
            ("vehicles", pa.list_(vehicle)),
            ("colours", pa.list_(pa.string())),
        ]
    )
    schema = pa.schema([pa.field("output", output)])
    rejected = 0

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal rejected
        for batch in batches_of(texts):
            rows = []
            for text in batch:
                document = json.loads(text)
                if next(validator.iter_errors(document), None) is None:
                    rows.append({"output": document})
                else:
                    rejected += 1
            yield pa.RecordBatch.from_pylist(rows, schema=schema)

    write(batches(), schema)
    return rejected


def cpu_s(run: Callable[[Sequence[bytes]], int], texts: Sequence[bytes]) -> tuple[float, int]:
    """Return the CPU seconds of one run, and what it rejected."""
    start_s = time.process_time()
    rejected = run(texts)
    return time.process_time() - start_s, rejected


def measure(texts: Sequence[bytes], repeats: int) -> dict[str, float]:
    """Return the numbers of one workload."""
    rates: list[float] = []
    python_rates: list[float] = []
    # A tenth of the answers is enough for the slow one.
    tenth = texts[: len(texts) // 10]
    for _ in range(repeats):
        ours_s, rejected = cpu_s(ours, texts)
        python_s, python_rejected = cpu_s(python_stack, tenth)
        rates.append(len(texts) / ours_s)
        python_rates.append(len(tenth) / python_s)
    if ours(tenth) != python_rejected:
        raise AssertionError("the two reject different answers, so that there is no result")
    rate, python_rate = statistics.median(rates), statistics.median(python_rates)
    return {
        "answers": len(texts),
        "answers_rejected": rejected,
        "bytes_per_answer": round(sum(map(len, texts)) / len(texts)),
        "answers_per_cpu_s": round(rate),
        "python_answers_per_cpu_s": round(python_rate),
        "ratio_vs_python_stack": round(rate / python_rate, 1),
    }


def main() -> None:
    """Measure, or look for values that change."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--answers", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--fuzz", type=int, metavar="DOCUMENTS")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.fuzz is not None:
        print("RESULT " + json.dumps(fuzz(arguments.fuzz, arguments.seed), sort_keys=True))
        return
    result: dict[str, Any] = {}
    for name, most_vehicles in WORKLOADS.items():
        choice = random.Random(arguments.seed)  # noqa: S311 - a benchmark's data
        texts = [
            json.dumps(answer(choice, most_vehicles)).encode() for _ in range(arguments.answers)
        ]
        measured = measure(texts, arguments.repeats)
        result |= {f"{key}{name}": value for key, value in measured.items()}
    print("RESULT " + json.dumps(result, sort_keys=True))


if __name__ == "__main__":
    main()
