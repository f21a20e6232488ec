"""A file is the same when its size and both ends are; anything else is said in words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from overshoot_flow.errors import ConfigurationError
from overshoot_flow_connectors.file_identity import difference, identity_of

CONTENT = bytes(range(256)) * 1024


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "v.mp4"
    path.write_bytes(CONTENT)
    return path


def test_a_touched_file_is_the_same(file: Path) -> None:
    before = identity_of(file)
    os.utime(file, (1, 1))
    assert identity_of(file) != before
    assert difference(before, identity_of(file)) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"x" + CONTENT[1:], "replaced"),
        (CONTENT[:-1], "was cut from 262144 to 262143 bytes"),
        (CONTENT + b"x", "grew from 262144 to 262145 bytes"),
        (CONTENT[:-1] + b"x", "was changed"),
    ],
)
def test_every_change_is_named(file: Path, content: bytes, words: str) -> None:
    before = identity_of(file)
    file.write_bytes(content)
    assert words in str(difference(before, identity_of(file)))


def test_a_file_that_is_gone_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read"):
        identity_of(tmp_path / "none.mp4")
