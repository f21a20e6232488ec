"""Files that a fleet refers to."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from fleet_samples import ENVIRONMENT, SMALL

from overshoot_flow.errors import FleetFileError
from overshoot_flow_connectors.fleet import load_fleet

GATE = 'camera "gate"'
SCHEMA = {"type": "object", "properties": {"open": {"type": "boolean"}}}


def load_problems(file: Path) -> list[str]:
    with pytest.raises(FleetFileError) as caught:
        load_fleet(file, ENVIRONMENT)
    return list(caught.value.problems)


def fleet_file(folder: Path, text: str) -> Path:
    file = folder / "fleet.toml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read the schema {}: No such file or directory"),
        ("{", ("the schema {} is not JSON: Expecting property name enclosed in double quotes: "
              "line 1 column 2 (char 1)")),
        ("[]", "the schema {} must be a JSON object"),
        ('{"type": "object", "properties": {"x": {"oneOf": []}}}',
         ("schema s.json: schema at /properties/x/oneOf: not a valid JSON Schema: "
         "[] has less than 1 item")),
    ],
)  # fmt: skip
def test_a_schema_that_cannot_be_used(content: str | None, message: str, tmp_path: Path) -> None:
    schema = tmp_path / "s.json"
    if content is not None:
        schema.write_text(content, encoding="utf-8")
    file = fleet_file(tmp_path, SMALL + 'schema = "s.json"')
    assert load_problems(file) == [f"{file}:8: {GATE}: {message.format(schema)}"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read the file {}: No such file or directory"),
        (b"\n", "the file {} is empty"),
        (b"\xff", "the file {} is no text"),
    ],
)
def test_a_password_file_that_cannot_be_used(
    content: bytes | None, message: str, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_bytes(content)
    file = fleet_file(tmp_path, SMALL + 'user = "v"\npassword = { file = "secret" }')
    assert load_problems(file) == [f"{file}:9: {GATE}: password: {message.format(secret)}"]


def test_a_sink_must_not_be_a_file(tmp_path: Path) -> None:
    file = fleet_file(tmp_path, SMALL + '[[sink]]\ntype = "parquet"\ndirectory = "fleet.toml"')
    assert load_problems(file) == [f"{file}:10: sink 1: {file} is a file; name a directory"]


def test_a_fleet_file_that_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / "fleet.toml"
    assert load_problems(file) == [f"cannot read {file}: No such file or directory"]
    file.write_bytes(b"a = 1\nb = '\xff'\n")
    assert load_problems(file) == [f"{file}:2: the text is not UTF-8"]


def test_files_are_found_beside_the_fleet_file(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(json.dumps(SCHEMA), encoding="utf-8")
    (tmp_path / "secret").write_text("hunter2\n", encoding="utf-8")
    file = fleet_file(
        tmp_path,
        "\ufeff" + SMALL + 'schema = "s.json"\nuser = "v"\npassword = { file = "secret" }\n',
    )
    fleet = load_fleet(file, ENVIRONMENT)
    (camera,) = fleet.cameras
    assert camera.inference.output_schema == SCHEMA
    assert camera.address.secret_url().reveal() == "rtsp://v:hunter2@10.0.0.11/a"
    assert set(fleet.files) == {file, tmp_path / "s.json", tmp_path / "secret"}
    assert fleet.files[0] == file
    assert "hunter2" not in repr(fleet)
    assert ENVIRONMENT["KEY"] not in repr(fleet)


def test_the_example_of_the_readme_is_right(tmp_path: Path) -> None:
    readme = Path(__file__).parents[2] / "README.md"
    (example,) = re.findall(r"```toml\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    variables = {
        "OVERSHOOT_API_KEY": "ovs-key",
        "GATE_PASSWORD": "hunter2",
        "YARD_URL": "rtsp://192.0.2.12/a?token=hunter3",
    }
    fleet = load_fleet(fleet_file(tmp_path, example), variables)
    gate, yard = fleet.cameras
    assert (gate.inference.prompt, gate.labels) == ("Is the gate open?", {"site": "north"})
    assert (yard.inference.prompt, len(yard.mask)) == ("How many people are there?", 2)
