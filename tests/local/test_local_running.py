"""The server in a thread, and as a process: both end without a trace."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from typing import Any

import httpx
import pytest
from local_server_support import KEY, CountingEngine, request_body

from overshoot_flow.errors import ConfigurationError, TransportError
from overshoot_flow.local.running import running_server
from overshoot_flow.local.server import ServerConfig

SERVE = """
import sys
from overshoot_flow.local.server import ServerConfig, serve
sys.exit(serve(ServerConfig(keys={"ovs-test-key": 10.0}, engine="pixels")))
"""


def post(url: str, body: Any) -> Any:
    answer = httpx.post(url, json=body, headers={"Authorization": f"Bearer {KEY}"}, timeout=10)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_thread_serves_and_leaves_nothing_behind() -> None:
    threads = set(threading.enumerate())
    with running_server(ServerConfig(keys={KEY: 1.0}, engine=CountingEngine())) as server:
        stream = post(f"{server.base_url}/streams", request_body())
        assert stream["livekit"]["url"] == server.room_url
        assert server.room_token("yard", "camera", can_publish=True).count(".") == 2
        assert KEY not in repr(server)
    left = {thread.name for thread in set(threading.enumerate()) - threads}
    assert not {name for name in left if name.startswith(("local-server", "engine"))}
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.base_url}/models", timeout=5)


def test_what_goes_wrong_at_the_start_is_raised_where_the_server_was_wanted() -> None:
    with (
        pytest.raises(ConfigurationError, match="oracle"),
        running_server(ServerConfig(engine="oracle")),
    ):
        pass
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(TransportError, match=str(port)),
            running_server(ServerConfig(port=port, engine=CountingEngine())),
        ):
            pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_stops_cleanly_at_a_signal(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SERVE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        base_url = line.split()[-1]
        post(f"{base_url}/streams", request_body())
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert errors == ""
