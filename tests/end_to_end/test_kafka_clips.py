"""Clips that a topic asks for, with a real broker and a local server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from clip_support import Requests, run_clips, windows_of
from end_to_end_support import KEY, STAMPS_SCHEMA, Server, run_flow
from kafka_broker import read_topic
from pyarrow.fs import FileSystem
from s3_support import SECRET
from window_flow_support import WindowServer, window_server

from overshoot_flow.config import FrameMode, Inference, Secret, Service
from overshoot_flow.local.testvideo import VideoSpec, generate
from overshoot_flow.protocol.windows import Windows
from overshoot_flow.results import GapReason
from overshoot_flow.session.ledger import LEDGER
from overshoot_flow.spending import Budget
from overshoot_flow.transport_config import Inline
from overshoot_flow_connectors.file import FileSource
from overshoot_flow_connectors.kafka_counters import requests_facts

SPEC = VideoSpec(width=320, height=180, fps=10, duration_s=6.0, gop=20)
QUESTION = Inference(prompt="stamps?", output_schema=STAMPS_SCHEMA, windows=Windows(1))
DOCUMENT = Path(__file__).parents[2] / "docs" / "kafka.md"
CHILD = Path(__file__).with_name("clip_child.py")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("film") / "film.mp4", SPEC).path


@pytest.fixture
def requests(kafka: str, topic_prefix: str) -> Requests:
    return Requests(kafka, f"{topic_prefix}clips")


@pytest.fixture
def two_partitions(kafka: str, topic_prefix: str) -> Requests:
    return Requests(kafka, f"{topic_prefix}clips", partitions=2)


@pytest.fixture
def inline(server: Server) -> Service:
    return Service(key=Secret(KEY), base_url=f"{server.root}/v1", transport=Inline())


def second(number: float, until: float) -> tuple[int, int, list[int]]:
    """A window, with the stamps of its frames, of which there are ten a second."""
    start_us, end_us = round(number * 1_000_000), round(until * 1_000_000)
    return (start_us, end_us, list(range(round(number * 10), round(until * 10))))


def test_each_clip_is_asked_about_from_its_start_to_its_end(
    requests: Requests, film: Path, inline: Service
) -> None:
    requests.ask(film, start=1.5, end=4, labels={"case": "A"}, id="7")
    requests.ask(film.as_uri(), end=1)
    requests.ask(film, start=5.5)
    requests.ask(film, start=3.3, end=3.4)
    done = run_clips(requests.source(), QUESTION, inline)
    name = f"{requests.topic}-0"
    assert windows_of(done, f"{name}-0") == [second(1.5, 2.5), second(2.5, 3.5), second(3.5, 4)]
    assert windows_of(done, f"{name}-1") == [second(0, 1)]
    assert windows_of(done, f"{name}-2") == [second(5.5, 6)]
    assert windows_of(done, f"{name}-3") == [second(3.3, 3.4)]
    assert done.gaps == []
    assert {result.source for result in done.results} == {
        f"{film}#t={time}" for time in ("1.5,4", "0,1", "5.5", "3.3,3.4")
    }
    labels = {result.stream_key: dict(result.labels) for result in done.results}
    assert labels[f"{name}-0"] == {"case": "A", "request_id": "7"}
    assert labels[f"{name}-1"] == {}
    assert set(LEDGER.accounts()) == set()
    # What a stream has counted is forgotten with it: such a flow may go on for years.
    assert [key for key in LEDGER._closed if key.startswith(name)] == []


def test_the_same_clip_has_the_same_ids_and_others_have_others(
    requests: Requests, film: Path, inline: Service
) -> None:
    for bounds in ({"start": 1, "end": 3}, {"start": 1, "end": 3}, {"start": 2, "end": 4}, {}):
        requests.ask(film, **bounds)
    done = run_clips(requests.source(), QUESTION, inline)
    ids: dict[str, set[str]] = {}
    for result in done.results:
        ids.setdefault(result.stream_key.rpartition("-")[2], set()).add(result.result_id)
    assert ids["0"] == ids["1"]
    assert {len(each) for each in ids.values()} == {2, 6}
    # The window from 2 s to 3 s is in two clips and in the whole, and is another one each time.
    assert len(ids["0"] | ids["2"] | ids["3"]) == 2 + 2 + 6
    source = FileSource(film)
    whole = run_flow([film], QUESTION, inline, source=source)
    assert {result.result_id for result in whole.results} == ids["3"]


def test_bad_requests_are_gaps_that_say_where_they_are(
    requests: Requests, film: Path, inline: Service, tmp_path: Path
) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    told = {}
    for number, (value, words) in enumerate(
        [
            (b"{", "the value is no JSON"),
            (None, "the record has no value"),
            (b'{"start": 1}', "uri is missing"),
            ({"uri": str(film), "start": 3, "end": 2}, "end is 2 s, not after start, 3 s"),
            ({"uri": str(film), "strat": 3}, "unknown key 'strat'"),
            ({"uri": str(tmp_path / "no.mp4")}, "no.mp4 does not exist"),
            ({"uri": str(tmp_path)}, "is no file"),
            ({"uri": str(text)}, "cannot open"),
            ({"uri": str(film), "start": 100, "end": 101}, "no picture to look at in the clip"),
            ({"uri": "s3://user:hidden-secret@b/x.mp4"}, "has credentials"),
            ({"uri": "https://user:hidden-secret@b/x.mp4"}, "has credentials"),
            ({"uri": "nothing://b/x.mp4"}, "cannot open nothing://b/x.mp4"),
        ]
    ):
        requests.write(json.dumps(value).encode() if isinstance(value, dict) else value)
        told[number] = words
    requests.ask(film, start=5)
    done = run_clips(requests.source(), QUESTION, inline)
    assert {result.stream_key for result in done.results} == {f"{requests.topic}-0-{len(told)}"}
    assert len(done.gaps) == len(told)
    for gap in done.gaps:
        number = int(gap.stream_key.rpartition("-")[2])
        assert gap.reason is GapReason.REQUEST
        assert gap.detail.startswith(f"topic {requests.topic}, partition 0, offset {number}: ")
        assert told.pop(number) in gap.detail
        assert "hidden-secret" not in repr(gap)
    assert told == {}
    facts = requests_facts()["clips.requests", requests.topic, 0]
    assert (facts.taken, facts.refused, facts.lost) == (13, 10, 0)
    (empty,) = [gap for gap in done.gaps if "no picture" in gap.detail]
    assert (empty.media_start_us, empty.media_end_us) == (100_000_000, 101_000_000)


def test_requests_that_kafka_has_deleted_are_a_gap(
    requests: Requests, film: Path, inline: Service, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    requests.ask(film, end=1)
    first = run_clips(requests.source(), QUESTION, inline, state=state)
    assert len(first.results) == 1
    for start in (1, 2, 3):
        requests.ask(film, start=start, end=start + 1)
    requests.delete_before(3)
    second_ = run_clips(requests.source(), QUESTION, inline, state=state)
    assert [result.stream_key for result in second_.results] == [f"{requests.topic}-0-3"]
    (gap,) = second_.gaps
    assert (gap.stream_key, gap.reason) == (f"{requests.topic}-0-1", GapReason.REQUEST)
    facts = requests_facts()["clips.requests", requests.topic, 0]
    assert (facts.taken, facts.refused, facts.lost) == (2, 0, 2)
    assert "offset 1: the requests from here up to offset 2 are lost" in gap.detail


def test_a_video_that_was_replaced_under_way_is_not_read_on(
    requests: Requests, inline: Service, tmp_path: Path
) -> None:
    # Longer than what is read before the first answer comes.
    path = generate(tmp_path / "film.mp4", replace(SPEC, duration_s=60.0)).path
    requests.ask(path, start=1, end=59)
    settings = {"state": tmp_path / "state"}
    budget = Budget(run_cents=0.000_001)
    one_by_one = replace(inline, max_in_flight=1)
    first = run_clips(requests.source(), QUESTION, one_by_one, budget=budget, **settings)
    assert windows_of(first, f"{requests.topic}-0-0")
    path.write_bytes(b"another film")
    (gap,) = run_clips(requests.source(), QUESTION, inline, **settings).gaps
    assert (gap.reason, gap.media_end_us) == (GapReason.SOURCE_CHANGED, 59_000_000)
    assert gap.media_start_us > 1_000_000
    assert gap.detail.startswith(f"topic {requests.topic}, partition 0, offset 0: ")
    assert "the file was replaced since the run began" in gap.detail


def test_videos_outside_of_the_allowed_folders_are_refused(
    requests: Requests, film: Path, inline: Service, tmp_path: Path
) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "film.mp4").write_bytes(film.read_bytes())
    (inside / "link.mp4").symlink_to(film)
    for path in (inside / "film.mp4", inside / "link.mp4", inside / ".." / "x.mp4", film):
        requests.ask(path, end=1)
    done = run_clips(requests.source(within=inside), QUESTION, inline)
    assert [result.stream_key for result in done.results] == [f"{requests.topic}-0-0"]
    assert ["is not where videos may be asked for" in gap.detail for gap in done.gaps] == [True] * 3


def test_leased_streams_take_clips_too(requests: Requests, film: Path, server: Server) -> None:
    requests.ask(film, start=2, end=4)
    requests.ask(film, start=3, end=5)
    v1 = Service(key=Secret(KEY), base_url=f"{server.root}/v1")
    done = run_clips(requests.source(), QUESTION, v1)
    for number, starts in enumerate(((2, 3), (3, 4))):
        seen = windows_of(done, f"{requests.topic}-0-{number}")
        assert seen == [second(start, start + 1) for start in starts]
    frames = Inference(
        prompt="stamps?", output_schema=STAMPS_SCHEMA, mode=FrameMode(interval_s=0.25)
    )
    done = run_clips(requests.source(), frames, server.service())
    assert done.frames_settled == 40
    stamps = {stamp for result in done.results for stamp in result.output["stamps"]}
    assert stamps <= set(range(20, 50))
    assert stamps
    assert server.alive() == []


def test_no_more_clips_are_open_than_allowed_and_each_partition_gets_its_turn(
    two_partitions: Requests, film: Path, inline: Service
) -> None:
    requests = two_partitions
    for number in range(12):
        requests.ask(film, start=number % 5, end=number % 5 + 1, partition=number % 2)
    opened: list[int] = []

    def look(_outcome: Any) -> None:
        opened.append(sum(account.attached for account in LEDGER.accounts().values()))

    source = requests.source(concurrent=2)
    done = run_clips(source, QUESTION, inline, on_outcome=look, workers=2)
    assert len(done.results) == 12
    assert max(opened) <= 2
    assert sorted({result.stream_key for result in done.results}) == sorted(
        f"{requests.topic}-{number % 2}-{number // 2}" for number in range(12)
    )


def test_a_session_that_gives_up_ends_the_source_and_the_next_part_goes_on(
    requests: Requests, film: Path, inline: Service, tmp_path: Path
) -> None:
    for start in (0, 1, 2):
        requests.ask(film, start=start, end=start + 3)
    settings = {"state": tmp_path / "state"}
    budget = Budget(run_cents=0.000_001)
    first = run_clips(requests.source(concurrent=1), QUESTION, inline, budget=budget, **settings)
    # The first answer uses the budget up; what nobody has read of the clips is not given up.
    assert {gap.reason for gap in first.gaps} <= {GapReason.BUDGET}
    said = [*first.results, *first.gaps, *first.usage]
    assert {outcome.stream_key for outcome in said} == {f"{requests.topic}-0-0"}
    rest = run_clips(requests.source(concurrent=1), QUESTION, inline, **settings)
    keys = {result.stream_key.rpartition("-")[2] for result in rest.results}
    assert keys >= {"1", "2"}
    assert rest.gaps == []
    assert first.frames_settled + rest.frames_settled == 90


def test_a_clip_that_has_spent_its_own_budget_is_done(
    requests: Requests, film: Path, inline: Service, tmp_path: Path
) -> None:
    path = generate(tmp_path / "film.mp4", replace(SPEC, duration_s=60.0)).path
    requests.ask(path, end=59)
    requests.ask(film, end=1)
    settings = {"state": tmp_path / "state"}
    one_by_one = replace(inline, max_in_flight=1)
    budget = Budget(stream_cents=0.000_001)
    done = run_clips(requests.source(concurrent=1), QUESTION, one_by_one, budget=budget, **settings)
    assert {gap.reason for gap in done.gaps} == {GapReason.BUDGET}
    answered = {result.stream_key.rpartition("-")[2] for result in done.results}
    assert answered == {"0", "1"}
    again = run_clips(requests.source(), QUESTION, inline, budget=budget, **settings)
    assert (again.results, again.gaps) == ([], [])


@pytest.mark.xdist_group("s3")
def test_clips_of_objects_are_read_from_their_store(
    requests: Requests, film: Path, inline: Service, bucket: str
) -> None:
    store, root = FileSystem.from_uri(f"s3://{bucket}")
    store.create_dir(f"{root}/a")
    with store.open_output_stream(f"{root}/a/film.mp4") as file:
        file.write(film.read_bytes())
    requests.ask(f"s3://{bucket}/a/film.mp4", start=2, end=4)
    requests.ask(f"s3://{bucket}/a/no.mp4")
    requests.ask(f"s3://{bucket}-no/film.mp4")
    requests.ask(film, end=1)
    done = run_clips(requests.source(within=f"s3://{bucket}/a"), QUESTION, inline)
    assert windows_of(done, f"{requests.topic}-0-0") == [second(2, 3), second(3, 4)]
    assert {result.source for result in done.results} == {f"s3://{bucket}/a/film.mp4#t=2,4"}
    details = [gap.detail for gap in sorted(done.gaps, key=lambda gap: gap.stream_key)]
    assert "no.mp4 does not exist" in details[0]
    assert all("not where videos may be asked for" in detail for detail in details[1:])
    assert len(details) == 3
    assert SECRET not in repr(done)


def test_the_example_of_the_documentation_runs(
    requests: Requests,
    film: Path,
    inline: Service,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = DOCUMENT.read_text(encoding="utf-8").partition("## Clips that a topic asks for")[2]
    code = text.partition("```python\n")[2].partition("```")[0]
    prefix = requests.topic.removesuffix("clips")
    for written, here in {
        '"broker:9092"': repr(requests.bootstrap),
        '"clips", sample': f"{requests.topic!r}, stop_at_end=True, sample",
        'api="v1"': f"base_url={inline.base_url!r}",
        '"/videos"': repr(str(film.parent)),
        '"video-"': repr(prefix),
        "seconds=2": "seconds=0.3",
    }.items():
        assert written in code
        code = code.replace(written, here)
    requests.ask(film, start=1, end=3, id="case-17", labels={"site": "north"})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OVERSHOOT_API_KEY", KEY)
    exec(compile(code, "kafka.md", "exec"), {"__name__": "kafka"})  # noqa: S102 - that is the test
    (message,) = read_topic(requests.bootstrap, f"{prefix}results")
    row = json.loads(message.value())
    assert (row["media_start_us"], row["media_end_us"]) == (1_000_000, 3_000_000)
    assert row["source_uri"] == f"{film}#t=1,3"
    assert row["labels"] == {"site": "north", "request_id": "case-17"}


@pytest.fixture
def killable() -> Iterator[WindowServer]:
    with window_server(max_streams_per_key=20) as running:
        yield running


@pytest.mark.xdist_group("real time")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
def test_a_run_that_is_ended_again_and_again_loses_and_doubles_nothing(
    two_partitions: Requests,
    film: Path,
    killable: WindowServer,
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    requests = two_partitions
    log = tmp_path / "log"
    command = [
        sys.executable,
        str(CHILD),
        requests.bootstrap,
        requests.topic,
        f"{killable.root}/v1",
    ]
    command += [str(tmp_path / "state"), str(log)]
    expected = set()
    for clip in range(10):
        start = clip % 4
        requests.ask(film, partition=clip % 2, start=start, end=start + 2)
        for begin in (start, start + 1):
            expected.add((f"{requests.topic}-{clip % 2}-{clip // 2}", begin * 1_000_000))
    requests.write(b"no request")
    lives = 0
    code = None
    while code != 0 or lives < 3:
        lives += 1
        before = len(killable.chats())
        process = subprocess.Popen(command, env={**os.environ, "OVERSHOOT_API_KEY": KEY})
        try:
            while process.poll() is None and len(killable.chats()) < before + 3:
                time.sleep(0.02)
            if lives <= 4:
                process.send_signal(number)
            code = process.wait(60)
        finally:
            process.kill()
            process.wait()
        assert code in {0, -number}
        if number is signal.SIGTERM and lives <= 4:
            # It has ended in order, and has not come to the end of the topic.
            code = None
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    results = [row for row in rows if row["kind"] == "Result"]
    found = [(row["stream_key"], row["media_start_us"]) for row in results]
    assert sorted(found) == sorted(expected)
    gaps = [row for row in rows if row["kind"] == "Gap"]
    assert [(row["reason"], row["stream_key"]) for row in gaps] == [
        ("request", f"{requests.topic}-0-5")
    ]
    if number is signal.SIGTERM:
        assert len(killable.chats()) == len(expected)
