"""What changed between two fleets, and when a file is read again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from fleet_samples import CAMERA, ENVIRONMENT, SERVICE, SMALL

from overshoot_flow_connectors.fleet import load_fleet, parse_fleet
from overshoot_flow_connectors.fleet_changes import Change, FleetChanges, compare
from overshoot_flow_connectors.fleet_model import Fleet
from overshoot_flow_connectors.fleet_watch import SETTLING_NS, FileFacts, FleetWatch, file_facts

SECOND = CAMERA.replace("gate", "yard").replace("/a", "/b")
OTHER_SERVICE = '[[service]]\nname = "other"\nkey = { env = "OTHER_KEY" }\n'


def fleet(text: str, **environment: str) -> Fleet:
    """Parse `text`; `environment` differs from `ENVIRONMENT`."""
    return parse_fleet(text, environment=ENVIRONMENT | environment)


def test_equal_fleets_have_no_changes() -> None:
    assert not compare(fleet(SMALL + SECOND), fleet(SMALL + SECOND))
    assert not compare(fleet(SERVICE + CAMERA + SECOND), fleet(SERVICE + SECOND + CAMERA))


def test_cameras_come_and_go() -> None:
    changes = compare(fleet(SMALL), fleet(SERVICE + SECOND))
    assert [camera.name for camera in changes.added] == ["yard"]
    assert [camera.name for camera in changes.removed] == ["gate"]
    assert changes.changed == ()
    assert changes


@pytest.mark.parametrize(
    ("line", "change", "reconnect", "stream", "prompt"),
    [
        ('transport = "udp"', Change.ADDRESS, True, False, False),
        ('user = "v"\npassword = { env = "PASSWORD" }', Change.ADDRESS, True, False, False),
        ('model = "m"', Change.MODEL, False, True, False),
        ("interval_s = 2", Change.WINDOWS, False, True, False),
        ("max_output_tokens = 5", Change.WINDOWS, False, True, False),
        ('service = "main"', Change.SERVICE, False, True, False),
        ("fps = 2", Change.SAMPLE, False, False, False),
        ("max_height = 720", Change.SAMPLE, False, False, False),
        ("freeze_timeout_s = 60", Change.SAMPLE, False, False, False),
        ('labels = { site = "north" }', Change.LABELS, False, False, False),
        ("priority = 1", Change.PRIORITY, False, False, False),
        ("mask = [[[0, 0], [1, 0], [0, 1]]]", Change.MASK, False, False, False),
        ("budget_cents = 5", Change.BUDGET, False, False, False),
    ],
)
def test_one_line_is_one_change(
    line: str, change: Change, *, reconnect: bool, stream: bool, prompt: bool
) -> None:
    (changed,) = compare(fleet(SMALL), fleet(SMALL + line)).changed
    assert changed.changes == {change}
    assert changed.needs_reconnect == reconnect
    assert changed.needs_new_stream == stream
    assert changed.needs_prompt_update == prompt


def test_a_new_prompt_is_told_to_the_running_stream_unless_it_is_replaced() -> None:
    asked = SMALL.replace("open?", "shut?")
    (changed,) = compare(fleet(SMALL), fleet(asked)).changed
    assert changed.changes == {Change.PROMPT}
    assert changed.needs_prompt_update
    (changed,) = compare(fleet(SMALL), fleet(asked + 'model = "m"')).changed
    assert changed.changes == {Change.PROMPT, Change.MODEL}
    assert changed.needs_new_stream
    assert not changed.needs_prompt_update


def test_a_schema_is_compared_by_content(tmp_path: Path) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text(SMALL + 'schema = "s.json"', encoding="utf-8")
    schema = tmp_path / "s.json"
    document = {"type": "object", "properties": {"open": {"type": "boolean"}}}
    schema.write_text(json.dumps(document), encoding="utf-8")
    before = load_fleet(file, ENVIRONMENT)
    schema.write_text(json.dumps(document, indent=4), encoding="utf-8")
    assert not compare(before, load_fleet(file, ENVIRONMENT))
    schema.write_text(json.dumps(document | {"required": ["open"]}), encoding="utf-8")
    (changed,) = compare(before, load_fleet(file, ENVIRONMENT)).changed
    assert changed.changes == {Change.SCHEMA}
    assert changed.needs_new_stream


def test_another_repair_is_asked_for_like_another_schema() -> None:
    (changed,) = compare(fleet(SMALL), fleet(SMALL + 'repair = "none"')).changed
    assert changed.changes == {Change.SCHEMA}


def test_a_new_password_is_a_change_and_is_not_shown() -> None:
    text = SMALL + 'user = "v"\npassword = { env = "PASSWORD" }'
    changes = compare(fleet(text), fleet(text, PASSWORD="hunter2"))  # noqa: S106 - a variable's name
    assert changes.changed[0].changes == {Change.ADDRESS}
    assert "hunter2" not in repr(changes)


def test_services_sinks_and_budget() -> None:
    before, after = fleet(SMALL), fleet(SMALL + OTHER_SERVICE)
    assert [each.name for each in compare(before, after).services_added] == ["other"]
    assert [each.name for each in compare(after, before).services_removed] == ["other"]
    sunk = fleet(SMALL + '[[sink]]\ntype = "parquet"\ndirectory = "a"')
    assert compare(before, sunk) == FleetChanges(sinks=True)
    assert compare(before, fleet("budget_cents = 5\n" + SMALL)) == FleetChanges(budget=True)
    assert compare(before, fleet("dwell_s = 60\n" + SMALL)) == FleetChanges(dwell=True)
    served = fleet(SMALL + "[metrics]\nlisten = '127.0.0.1:9464'")
    assert served.metrics_listen == "127.0.0.1:9464"
    assert compare(before, served) == FleetChanges(metrics=True)


def test_a_service_takes_its_cameras_along_unless_only_its_slots_changed() -> None:
    bound = SMALL + 'service = "main"\n'
    changes = compare(fleet(bound), fleet(bound, KEY="ovs-new"))
    assert [each.name for each in changes.services_changed] == ["main"]
    assert changes.changed[0].changes == {Change.SERVICE}
    more = compare(fleet(bound), fleet(bound.replace("key =", "max_streams = 9\nkey =")))
    assert [each.name for each in more.services_changed] == ["main"]
    assert more.changed == ()


OLD_NS = 10**18
FILE = Path("fleet.toml")


def facts(mtime_ns: int | None, size: int | None = 1, digest: str | None = None) -> FileFacts:
    return FileFacts(path=FILE, mtime_ns=mtime_ns, size=size, digest=digest)


@pytest.mark.parametrize(
    ("now", "later_ns", "expected"),
    [
        (facts(OLD_NS), SETTLING_NS, False),
        (facts(OLD_NS), SETTLING_NS - 1, True),
        (facts(OLD_NS + 1), SETTLING_NS * 2, True),
        (facts(OLD_NS - 1), SETTLING_NS * 2, True),
        (facts(OLD_NS, size=2), SETTLING_NS * 2, True),
        (facts(OLD_NS + 1, digest="same"), 0, False),
        (facts(OLD_NS, digest="other"), SETTLING_NS, True),
        (facts(None, None), SETTLING_NS, True),
        (FileFacts(path=Path("new.json"), digest="same"), SETTLING_NS, True),
    ],
)
def test_when_a_file_is_read_again(now: FileFacts, later_ns: int, *, expected: bool) -> None:
    watch = FleetWatch(fleet=fleet(SMALL), facts=(facts(OLD_NS, digest="same"),))
    assert watch.must_read((now,), OLD_NS + later_ns) is expected


def test_a_broken_edit_keeps_the_fleet_and_is_reported_once(tmp_path: Path) -> None:
    file = tmp_path / "fleet.toml"

    def look(watch: FleetWatch) -> FleetWatch | None:
        found = file_facts(watch.fleet.files)
        if not watch.must_read(found, file.stat().st_mtime_ns if file.exists() else 0):
            return None
        return watch.after_reading(found, lambda: load_fleet(file, ENVIRONMENT))

    file.write_text(SMALL, encoding="utf-8")
    first = load_fleet(file, ENVIRONMENT)
    watch = FleetWatch(fleet=first, facts=file_facts(first.files))
    assert look(watch) is None

    os.utime(file, ns=(1, 1))
    assert look(watch) is None  # touched, not changed

    file.write_text(SMALL + "fps = -1", encoding="utf-8")
    broken = look(watch)
    assert broken is not None
    assert broken.fleet is first
    assert broken.problem is not None
    assert "fps must be above 0" in str(broken.problem)
    assert broken.is_news
    assert not broken.changes

    again = look(broken)
    assert again is not None
    assert not again.is_news

    file.unlink()
    gone = look(again)
    assert gone is not None
    assert gone.is_news
    assert gone.fleet is first

    file.write_text(SMALL + "fps = 1", encoding="utf-8")
    mended = look(gone)
    assert mended is not None
    assert mended.problem is None
    assert mended.is_news
    assert mended.changes.changed[0].changes == {Change.SAMPLE}
    assert look(mended) is None
