"""Readers end at once, whatever their cameras do; one that replaces another waits for it."""

from __future__ import annotations

import gc
import socket
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from rtsp_support import CameraServer, until
from rtsp_watching import Watcher

from overshoot_flow.results import GapReason
from overshoot_flow_connectors.rtsp import Camera
from overshoot_flow_connectors.rtsp_thread import CameraThread

pytestmark = pytest.mark.xdist_group("real time")

LONG_S = 60.0
"""A time-out that nobody waits for."""

Servers = Callable[..., CameraServer]


def test_cameras_that_never_answer_end_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=16) as silent:
        cameras = [
            Camera(url=f"rtsp://127.0.0.1:{silent.getsockname()[1]}/{number}")
            for number in range(8)
        ]
        watchers = [Watcher(camera, open_timeout_s=LONG_S) for camera in cameras]
        # All are inside of FFmpeg by now: they have connected, and wait for an answer.
        with ExitStack() as accepted:
            for _ in watchers:
                accepted.enter_context(silent.accept()[0])
            begun_s = time.monotonic()
            for watcher in watchers:
                watcher.reader.stop(watcher.now_us, GapReason.STOPPED, "over")
            for watcher in watchers:
                watcher.reader.close()
            assert time.monotonic() - begun_s < LONG_S / 4


def test_a_camera_that_is_frozen_in_the_middle_ends_at_once(camera_servers: Servers) -> None:
    server = camera_servers({"a": {}})
    with Watcher(Camera(url=server.url("a")), stall_timeout_s=LONG_S) as watched:
        watched.for_frames(5)
        server.freeze()
        packets = -1
        while packets != watched.status.packets:
            packets = watched.status.packets
            time.sleep(0.2)  # until what is under way has come
        begun_s = time.monotonic()
        watched.reader.close()
        assert time.monotonic() - begun_s < LONG_S / 4
        assert watched.status.stalls == 0
        assert not watched.status.connected
    server.thaw()


def test_a_reader_that_replaces_another_waits_for_its_session(camera_servers: Servers) -> None:
    server = camera_servers({"a": {}})
    camera = Camera(url=server.url("a"))
    first = Watcher(camera)
    first.for_frames(3)
    first.reader.stop(first.now_us, GapReason.CHANGED, "replaced")
    (thread,) = first.reader.threads()
    with Watcher(camera, plan=None, predecessor=first.reader) as second:

        def has_begun() -> bool:
            assert second.status.attempts == 0 or not thread.is_alive
            return len(second.access_units) > 3

        second.until(has_begun)
        assert server.command("sessions")["sessions"] == 1
    assert first.reader.exhausted or first.reader.poll(9, 9, first.now_us)


def test_a_reader_does_not_keep_those_before_it(camera_servers: Servers) -> None:
    server = camera_servers({"a": {"fps": 10, "key_interval": 1}})
    camera = Camera(url=server.url("a"))
    watched = Watcher(camera)
    gone = []
    for _ in range(3):
        watched.for_frames(1)
        watched.reader.stop(watched.now_us, GapReason.CHANGED, "replaced")
        gone.append(weakref.ref(watched.reader))
        watched = Watcher(camera, predecessor=watched.reader)
    with watched:
        watched.for_frames(1)
        gc.collect()
        assert [reference() for reference in gone] == [None, None, None]
        assert len(watched.reader.threads()) == 1


def test_only_threads_of_the_same_address_wait_for_each_other() -> None:
    release, release_other = threading.Event(), threading.Event()
    begun: list[str] = []

    def run(name: str, end: threading.Event) -> None:
        begun.append(name)
        end.wait()

    first = CameraThread("a", 1, lambda: run("first", release))
    first.start()
    other = CameraThread("b", 2, lambda: run("other", release_other), first.with_predecessors())
    other.start()
    again = CameraThread("a", 1, lambda: run("again", release), other.with_predecessors())
    again.start()
    until(lambda: len(begun) == 2)
    assert set(begun) == {"first", "other"}
    release_other.set()
    other.join()
    assert again.is_alive
    assert "again" not in begun
    release.set()
    again.close()
    assert begun[2:] == ["again"]
    assert not first.is_alive


def test_closing_ends_those_before_it_too() -> None:
    ended: list[str] = []

    def run(name: str, stopping: Callable[[], threading.Event]) -> None:
        stopping().wait()
        ended.append(name)

    first = CameraThread("a", 1, lambda: run("first", lambda: first.stopping))
    second = CameraThread("a", 1, lambda: run("second", lambda: second.stopping), [first])
    first.start()
    second.start()
    second.close()
    assert ended == ["first", "second"]
    assert second.with_predecessors() == [second]
