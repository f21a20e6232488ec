"""`overshoot-flow check`, as a user starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from check_support import PASSWORD, USER, fleet_text, mute_server, nobody

from overshoot_flow.config import DEFAULT_MODEL
from overshoot_flow.local.running import RunningServer, running_server
from overshoot_flow.local.server_config import ServerConfig
from overshoot_flow_pipelines.cli import main

KEY, WRONG_KEY = "ovs-check-key-that-must-not-leak", "ovs-wrong-key-that-must-not-leak"
WRONG_PASSWORD = "wrong-hunter3"  # noqa: S105 - opens nothing
SECRETS = (KEY, WRONG_KEY, PASSWORD, "p%40ss", "hunter2", WRONG_PASSWORD, "token-hunter4")
VARIABLES = {
    "CHECK_KEY": KEY,
    "WRONG_KEY": WRONG_KEY,
    "RIGHT": PASSWORD,
    "WRONG": WRONG_PASSWORD,
}
Check: TypeAlias = Callable[..., tuple[int, str, str]]
WRONG_SERVICE = '[[service]]\nname = "wrong"\nbase_url = "{}"\nkey = {{ env = "WRONG_KEY" }}'


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running_server(ServerConfig(keys={KEY: 100.0})) as running:
        yield running


def check_in_a_process(file: Path, *arguments: str, **variables: str) -> tuple[int, str, str]:
    """Run the command with all of its logs; return exit code, output and error output."""
    done = subprocess.run(
        [sys.executable, "-m", "overshoot_flow_pipelines.cli", "-vv", "check", file, *arguments],
        env={**os.environ, **VARIABLES, **variables},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    """The same within this process."""
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)

    def run(file: Path, *arguments: str) -> tuple[int, str, str]:
        code = main(["check", str(file), *arguments])
        return code, *capsys.readouterr()

    return run


def credentials(variable: str) -> str:
    return f'\nuser = "{USER}"\npassword = {{ env = "{variable}" }}'


@pytest.mark.xdist_group("real time")
def test_the_good_are_told_from_the_bad(
    cameras: str, locked_cameras: str, server: RunningServer, tmp_path: Path
) -> None:
    file = tmp_path / "fleet.toml"
    with nobody() as dead, mute_server() as mute:
        told = {
            "gate": f'"rtsp://{cameras}/gate"',
            "roof": f'"rtsp://{cameras}/roof"',
            "safe": f'"rtsp://{locked_cameras}/safe"' + credentials("RIGHT"),
            "stranger": f'"rtsp://{locked_cameras}/safe?2"' + credentials("WRONG"),
            "token": '{ env = "TOKEN_URL" }',
            "mute": f'"rtsp://{mute}/a"',
        }
        text = fleet_text(told, server.base_url, WRONG_SERVICE.format(server.base_url))
        file.write_text(text, encoding="utf-8")
        url = f"rtsp://{dead}/a?token=token-hunter4"
        code, output, errors = check_in_a_process(file, "--json", "--timeout", "5", TOKEN_URL=url)
    assert code == 1, errors
    for secret in SECRETS:
        assert secret not in output + errors
    assert "Traceback" not in errors
    document: dict[str, Any] = json.loads(output)
    assert document["ok"] is False
    by_name = {camera["name"]: camera for camera in document["cameras"]}
    assert list(by_name) == list(told)
    assert {name: camera["problem"] for name, camera in by_name.items()} == {
        "gate": None,
        "roof": None,
        "safe": None,
        "stranger": "the camera refuses the user name or the password",
        "token": "the camera cannot be read: Connection refused",
        "mute": "the camera does not answer in time",
    }
    assert by_name["gate"]["facts"]["passthrough_refusal"] is None
    assert by_name["roof"]["facts"]["passthrough_refusal"] == "it has B-frames"
    assert by_name["token"]["url"] == f"rtsp://{dead}/a"
    main, wrong = document["services"]
    assert (main["ok"], main["key_accepted"]) == (True, True)
    assert main["models"] == {DEFAULT_MODEL: "ready"}
    assert (wrong["ok"], wrong["key_accepted"]) == (False, False)


@pytest.mark.xdist_group("real time")
def test_a_good_fleet_as_a_table(
    check: Check, cameras: str, server: RunningServer, tmp_path: Path
) -> None:
    file = tmp_path / "fleet.toml"
    told = {
        "gate": f'"rtsp://{cameras}/gate"',
        "yard": f'"rtsp://{cameras}/yard"\nmask = [[[0, 0], [1, 0], [0, 1]]]',
    }
    file.write_text(fleet_text(told, server.base_url, "max_streams = 1"), encoding="utf-8")
    code, output, errors = check(file)
    assert code == 0, output + errors
    (gate,) = (line.split() for line in output.splitlines() if " gate " in line)
    assert [cell for cell in gate if cell != "│"][:7] == [
        "gate", "h264", "320x240", "25", "10", "(0.4", "s)",
    ]  # fmt: skip
    assert gate[-2] == "passthrough"
    assert "640x360" in output
    assert "decoded: pictures are edited" in output
    assert f"{DEFAULT_MODEL}: ready" in output
    assert "2 cameras share 1 streams: 1 at a time must wait for a slot" in output


def test_a_stream_that_a_camera_may_not_use_is_none_for_it(
    check: Check, cameras: str, server: RunningServer, tmp_path: Path
) -> None:
    file = tmp_path / "fleet.toml"
    told = {
        name: f'"rtsp://{cameras}/{name}"\nservice = "main"\nsample = "every"'
        for name in ("gate", "yard")
    }
    services = "max_streams = 1\n" + WRONG_SERVICE.format(server.base_url)
    file.write_text(fleet_text(told, server.base_url, services), encoding="utf-8")
    _, output, _ = check(file, "--watch", "0.5")
    assert "2 cameras share 6 streams: 1 at a time must wait for a slot" in output


def test_a_wrong_file(check: Check, tmp_path: Path) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text('[[camera]]\nname = "gate"\nfps = -1\n', encoding="utf-8")
    code, output, errors = check(file, "--json")
    assert code == 2
    problems = errors.splitlines()
    assert f'{file}:3: camera "gate": fps must be above 0, not -1' in problems
    assert len(problems) == 4
    assert json.loads(output) == {"ok": False, "problems": problems}
    code, output, errors = check(tmp_path / "missing.toml")
    assert (code, output) == (2, "")
    assert "No such file" in errors


def test_a_wrong_limit(check: Check, tmp_path: Path) -> None:
    code, _, errors = check(tmp_path / "fleet.toml", "--watch", "0")
    assert code == 2
    assert "watch_s must be above 0" in errors
