"""Processes of a cluster that are started one by one, without a supervisor."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from cluster_child import numbers_flow
from cluster_support import child, free_addresses, process, wait_until

from overshoot_flow.flow.peer_line import Greeting, digest_of
from overshoot_flow.flow.peers import Peer
from overshoot_flow.flow.rendezvous import meet
from overshoot_flow.flow.run_shape import shape_of
from overshoot_flow.local.testvideo import VideoSpec, generate


def outputs(*commands: list[str], **environment: str) -> list[tuple[int, str]]:
    """Run processes together; return exit codes and what they have said."""
    started = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
        )
        for command in commands
    ]
    try:
        said = [one.communicate(timeout=60)[0] for one in started]
    finally:
        for one in started:
            one.kill()
    return [(one.returncode, text) for one, text in zip(started, said, strict=True)]


def test_three_processes_meet_and_end_together() -> None:
    addresses = free_addresses(3)
    ended = outputs(*(child("end", number, addresses) for number in range(3)))
    assert [code for code, _ in ended] == [0, 0, 0], ended
    began = sorted(line for _, text in ended for line in text.splitlines() if "began" in line)
    assert began == ["began a", "began b", "began c", "began d"]


@pytest.mark.parametrize(("process_id", "missing"), [(0, 1), (1, 0)])
def test_a_process_whose_peer_never_comes_names_it(process_id: int, missing: int) -> None:
    addresses = free_addresses(2)
    ((code, said),) = outputs(child("end", process_id, addresses), PEER_TIMEOUT_S="0.5")
    assert code == 1
    assert f"PeerMissingError: process {missing} ({addresses.split(';')[missing]})" in said
    assert "within 0.5 s" in said
    assert "began" not in said


@pytest.mark.parametrize("process_id", [0, 1])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_that_waits_for_its_peers_can_be_stopped(
    process_id: int, number: signal.Signals
) -> None:
    with process(child("end", process_id, free_addresses(2))) as waiting:
        # The handlers are there before the meeting begins.
        wait_until(lambda: _handles_signals(waiting.pid), "the process handles signals")
        waiting.send_signal(number)
        said, _ = waiting.communicate(timeout=60)
    assert waiting.returncode == 0
    assert "stopped" in said


def _handles_signals(pid: int) -> bool:
    """Whether the run's handlers are there; Python itself has one for SIGINT alone."""
    status = Path(f"/proc/{pid}/status").read_text()
    (caught,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def test_strangers_at_the_address_are_no_peers() -> None:
    addresses = free_addresses(2)
    host, _, port = addresses.split(";")[0].partition(":")
    with process(child("end", 0, addresses)) as first:
        for nonsense in (b"", b"GET / HTTP/1.1\r\n\r\n", b'{"say": "hello"}\n', b"x" * 10_000):
            wait_until(lambda: _listens(int(port)), "process 0 listens")
            with socket.create_connection((host, int(port)), timeout=5) as stranger:
                stranger.sendall(nonsense)
        ((code, _),) = outputs(child("end", 1, addresses))
        said, _ = first.communicate(timeout=60)
    assert (code, first.returncode) == (0, 0), said


def _listens(port: int) -> bool:
    listening = f"0100007F:{port:04X} 00000000:0000 0A"
    return listening in Path("/proc/net/tcp").read_text()


def test_processes_that_run_different_flows_refuse_each_other(tmp_path: Path) -> None:
    video = tmp_path / "v.mp4"
    generate(video, VideoSpec(width=160, height=90, fps=10, duration_s=0.5))
    addresses = free_addresses(2)
    (_, said_by_0), (code, said) = outputs(
        child("end", 0, addresses), child("frames", 1, addresses, str(video)), PEER_TIMEOUT_S="4"
    )
    assert code == 1
    assert "ConfigurationError" in said
    assert "the same flow" in said
    assert "One was refused: process 1 and process 0 differ" in said_by_0


@pytest.mark.parametrize("killed", [0, 1])
def test_a_process_whose_peer_is_killed_says_so_and_ends(killed: int) -> None:
    addresses = free_addresses(2)
    with process(child("long", 0, addresses)) as one, process(child("long", 1, addresses)) as other:
        both = [one, other]
        for each in both:
            assert each.stdout is not None
            assert each.stdout.readline().startswith("began")
        both[killed].kill()
        survivor = both[1 - killed]
        said, _ = survivor.communicate(timeout=60)
    assert survivor.returncode == 1
    assert f"PeerLostError: process {killed} (" in said


def test_a_process_that_the_engine_holds_for_ever_ends_nevertheless() -> None:
    addresses = free_addresses(2)
    peer = Peer.parse(1, addresses)
    assert peer is not None
    greeting = Greeting(1, peer.addresses, 1, digest_of(shape_of(numbers_flow(20))))
    with process(child("end", 0, addresses)) as held:
        # This peer vanishes after the meeting, so that the engine waits for its connection.
        lines = meet(peer, greeting, timeout_s=30, stopped=lambda: False)
        assert lines is not None
        lines[0].close()
        said, complaint = held.communicate(timeout=60)
    assert held.returncode == 75
    assert "began" not in said
    assert "overshoot-flow: process 1 (" in complaint
    assert "failed or died: start all processes again" in complaint


def test_a_step_that_fails_is_named_although_the_engine_forgets_it() -> None:
    addresses = free_addresses(2)
    said = [text for _, text in outputs(*(child("failing", n, addresses) for n in range(2)))]
    failed = [text for text in said if "the step fails on purpose" in text]
    assert len(failed) == 1, said
    assert "BytewaxRuntimeError of ZeroDivisionError" in failed[0]
    (other,) = (text for text in said if text not in failed)
    assert "PeerLostError" in other


def test_no_frame_crosses_processes_and_one_that_would_is_refused(tmp_path: Path) -> None:
    video = tmp_path / "0.mp4"
    generate(video, VideoSpec(width=160, height=90, fps=10, duration_s=1))
    for copy in ("1", "2", "3"):
        shutil.copy(video, tmp_path / f"{copy}.mp4")
    addresses = free_addresses(2)
    ended = outputs(*(child("frames", n, addresses, str(tmp_path)) for n in range(2)))
    assert [code for code, _ in ended] == [0, 0], ended
    assert all("pickled 0" in said for _, said in ended)
    # The control: the counter counts, and the user is told what to do.
    addresses = free_addresses(2)
    ended = outputs(*(child("exchanged", n, addresses, str(tmp_path)) for n in range(2)))
    refusing = [(code, said) for code, said in ended if "pickled 0" not in said]
    assert refusing, ended
    for code, said in refusing:
        assert code == 1
        assert "ConfigurationError: a frame was about to leave its process" in said
        assert "map_frames" in said
