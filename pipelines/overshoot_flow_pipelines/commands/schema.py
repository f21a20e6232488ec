"""`overshoot-flow schema`: show the columns that an output schema leads to; try an answer."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.schema.column_report import ColumnReport, column_reports
from overshoot_flow.schema.json_schema import Checked, OutputSchema, Parsed
from overshoot_flow.schema.keyed_records import schema_key
from overshoot_flow.schema.repair import check_answer
from overshoot_flow.schema.sources import SchemaSource, schema_document
from overshoot_flow.schema.sql_types import DIALECTS
from overshoot_flow_pipelines.commands.common import (
    Subcommands,
    add_repair_argument,
    new_parser,
)
from overshoot_flow_pipelines.importing import imported
from overshoot_flow_pipelines.summary import EXIT_FAILED, EXIT_OK

_EXAMPLE = """\
  overshoot-flow schema cars.json
  overshoot-flow schema cars.json --sample '{"cars": 2}'
  overshoot-flow schema my_package.answers:Cars --sample @answer.txt --json
"""


def add_parser(subcommands: Subcommands) -> None:
    """Add the subcommand."""
    parser = new_parser(
        subcommands,
        "schema",
        "show the Arrow, Parquet and SQL types that an output schema leads to; try an answer",
        _EXAMPLE,
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        help="JSON file; or file.py:NAME or module:NAME of a pydantic model or a dataclass",
    )
    parser.add_argument(
        "--sample",
        metavar="ANSWER",
        help="an answer to check: its text, @FILE, or @- for standard input",
    )
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    add_repair_argument(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Show the columns and judge the sample; the exit code is 1 if it is rejected."""
    schema = OutputSchema(schema_document(_source(options.file)))
    columns = column_reports(schema)
    checked = None
    if options.sample is not None:
        checked = check_answer(schema, _sample(options.sample), None, options.repair)
    if options.json:
        document: dict[str, Any] = {
            "schema_key": schema_key(schema.canonical),
            "columns": [asdict(each) for each in columns],
        }
        if checked is not None:
            document["sample"] = _verdict(checked)
        text = json.dumps(document, indent=2)
    else:
        lines = [f"schema key {schema_key(schema.canonical)}"]
        for column in columns:
            lines += ["", *_column_lines(column)]
        if checked is not None:
            lines += ["", *_verdict_lines(checked)]
        text = "\n".join(lines)
    sys.stdout.write(f"{text}\n")
    return EXIT_OK if checked is None or isinstance(checked, Parsed) else EXIT_FAILED


def _source(file: str) -> SchemaSource:
    place, _, name = file.rpartition(":")
    if not place or Path(file).exists():
        return file
    return cast("SchemaSource", imported(place, name, file))


def _sample(answer: str) -> str:
    if not answer.startswith("@"):
        return answer
    try:
        data = sys.stdin.buffer.read() if answer == "@-" else Path(answer[1:]).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read the sample {answer[1:]}: {error.strerror}") from None
    # What is no UTF-8 is the answer's fault, and it is judged like any other.
    return data.decode(errors="surrogateescape")


def _column_lines(column: ColumnReport) -> list[str]:
    lines = [
        column.path,
        f"  Arrow      {column.arrow}{'' if column.nullable else ' not null'}",
    ]
    if column.parquet is not None:
        lines.append(f"  Parquet    {column.parquet}")
    lines += [f"  {each.name:<10} {column.sql[each.name]}" for each in DIALECTS]
    lines += [f"  {name}: {value}" for name, value in column.notes.items()]
    return lines


def _verdict(checked: Checked) -> dict[str, Any]:
    if isinstance(checked, Parsed):
        return {"valid": True, "repaired": checked.repaired, "document": checked.document}
    return {
        "valid": False,
        "reason": checked.reason.value,
        "detail": checked.detail,
        "instance_path": checked.instance_path,
        "schema_path": checked.schema_path,
    }


def _verdict_lines(checked: Checked) -> list[str]:
    if isinstance(checked, Parsed):
        return [f"sample: valid{', after a repair' if checked.repaired else ''}"]
    lines = [f"sample: {checked.reason.value}: {checked.detail!a}"]
    if checked.instance_path is not None:
        lines.append(f"  at {checked.instance_path or '(root)'} of the answer")
    if checked.schema_path is not None:
        lines.append(f"  by {checked.schema_path or '(root)'} of the schema")
    return lines
