"""Wrong fleet files, and exactly what is said about them."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleet_samples import CAMERA, ENVIRONMENT, SERVICE, SMALL

from overshoot_flow.errors import ConfigurationError, FleetFileError
from overshoot_flow_connectors.fleet import parse_fleet

REFERENCE_ADVICE = (
    "must not stand in the file; put it into an environment variable and write {0} = {{ env = "
    '"NAME_OF_A_VARIABLE" }}, or {0} = {{ file = "PATH" }}'
)
WHOLE_URL = (
    'put the whole url into an environment variable and write url = { env = "NAME_OF_A_VARIABLE" }'
)
QUESTION = (
    "prompt, schema, repair, model, max_output_tokens, mode, interval_s, clip_length_s, delay_s, "
    "target_fps, fps, sample, max_height, freeze_timeout_s"
)
CREDENTIALS = 'user = "v"\npassword = { env = "PASSWORD" }'


def problems(text: str, folder: Path = Path()) -> list[str]:
    with pytest.raises(FleetFileError) as caught:
        parse_fleet(text, file=folder / "fleet.toml", environment=ENVIRONMENT)
    assert isinstance(caught.value, ConfigurationError)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return [problem.removeprefix(f"{folder}/") for problem in caught.value.problems]


CAMERA_CASES = [
    ("fps = -1", "8: {}: fps must be above 0, not -1"),
    ("fps = 0", "8: {}: fps must be above 0, not 0"),
    ('fps = "2"', "8: {}: fps must be a number, not a text"),
    ("fps = true", "8: {}: fps must be a number, not a boolean"),
    ("fps = inf", "8: {}: fps must be finite, not inf"),
    ("fps = nan", "8: {}: fps must be finite, not nan"),
    ('fps = 2\nsample = "every"', "9: {}: fps and sample exclude each other; give one"),
    ('sample = "all"', '8: {}: sample must be "keyframes" or "every", not "all"'),
    (
        'repair = "all"',
        '8: {}: repair must be "none" or "fences" or "trailing_text" or "single_quotes", not "all"',
    ),
    ("fsp = 2", '8: {}: unknown key "fsp"; did you mean "fps"?'),
    ('passwrd = "hunter2"', '8: {}: unknown key "passwrd"; did you mean "password"?'),
    ('transport = "http"', '8: {}: transport must be "tcp" or "udp" or "tls", not "http"'),
    ('user = "v"', "8: {}: user is given without password; give both or neither"),
    (
        'password = { env = "PASSWORD" }',
        "8: {}: password is given without user; give both or neither",
    ),
    (
        'user = "v"\npassword = "hunter2"',
        f"9: {{}}: password {REFERENCE_ADVICE.format('password')}",
    ),
    (
        'user = "v"\npassword = { env = "NOT_THERE" }',
        "9: {}: password: the environment variable NOT_THERE is not set",
    ),
    ('user = "v"\npassword = {}', "9: {}: password: name exactly one of env and file"),
    (
        'user = "v"\npassword = { env = "PASSWORD", file = "x" }',
        "9: {}: password: name exactly one of env and file",
    ),
    (
        'user = "v"\npassword = { envv = "PASSWORD", env = "PASSWORD" }',
        '9: {}: password: unknown key "envv"; did you mean "env"?',
    ),
    ('user = "v"\npassword = { env = 1 }', "9: {}: password: env must be a text, not a number"),
    (
        f'user = "{"v" * 125}"\npassword = {{ env = "PASSWORD" }}',
        (
            "8: {}: user name and password of the camera at 10.0.0.11 are too long: at most 127 "
            "characters together, percent-encoded"
        ),
    ),
    ("labels = [1]", "8: {}: labels must be a table, not an array"),
    ("[camera.labels]\nsite = 1", "9: {}: labels: site must be a text, not a number"),
    ("priority = 1.5", "8: {}: priority must be a whole number, not a number"),
    ("priority = 2026-01-01", "8: {}: priority must be a whole number, not a time"),
    ("budget_cents = 0", "8: {}: budget_cents must be above 0, not 0"),
    ('service = "mian"', '8: {}: there is no service "mian"'),
    ("mask = {}", "8: {}: mask must be an array, not a table"),
    (
        "mask = [\n  1,\n]",
        (
            "9: {}: mask 1: write { left = …, top = …, right = …, bottom = … } or "
            "[[x, y], [x, y], [x, y]]"
        ),
    ),
    (
        "mask = [\n  { left = 0, top = 0, right = 1 },\n]",
        '9: {}: mask 1: "bottom" is missing',
    ),
    (
        "mask = [{ left = 0.5, top = 0, right = 0.5, bottom = 1 }]",
        "8: {}: mask 1: left must be less than right",
    ),
    (
        "mask = [{ left = 0, top = 0.5, right = 1, bottom = 0.1 }]",
        "8: {}: mask 1: top must be less than bottom",
    ),
    (
        "mask = [{ left = 0, top = 0, right = 640, bottom = 1 }]",
        "8: {}: mask 1: right must be a number from 0 to 1, relative to the picture's size",
    ),
    (
        "mask = [{ x = 0 }]",
        '8: {}: mask 1: unknown key "x"; known are left, top, right, bottom',
    ),
    (f"fps = {10**400}", "8: {}: fps must be a number of 64 bits"),
    (f"priority = 1{'0' * 5000}", "8: a number must have 64 bits"),
    (f"priority = {-(2**63) - 1}", "8: {}: priority must be a number of 64 bits"),
    (f"max_height = {2**63}", "8: {}: max_height must be a number of 64 bits"),
    (
        'schema = "~no-such-user/s.json"',
        '8: {}: schema: the user "no-such-user" has no home folder here; write the whole path',
    ),
    ('schema = "a\\u0000b"', "8: {}: schema: a path has no NUL character"),
    (
        'user = "v"\npassword = { file = "~no-such-user/p" }',
        (
            '9: {}: password: file: the user "no-such-user" has no home folder here; write the '
            "whole path"
        ),
    ),
    ("max_height = 1", "8: {}: max_height must be at least 2, not 1"),
    ("max_height = 7.5", "8: {}: max_height must be a whole number, not a number"),
    ("freeze_timeout_s = 0.5", "8: {}: freeze_timeout_s must be 1 to 3600, not 0.5"),
    ("mask = [[[0, 0], [1, 1]]]", "8: {}: mask 1: a polygon has at least 3 corners, not 2"),
    (
        "mask = [\n  [[0, 0], [1, 1], [0, 1]],\n  [[0, 0], [1, 1], [0]],\n]",
        "10: {}: mask 2: corner 3 must be [x, y]",
    ),
    (
        "mask = [[[0, 0], [1, -1], [0, 1]]]",
        "8: {}: mask 1: y of corner 2 must be a number from 0 to 1, relative to the picture's size",
    ),
    ('mode = "both"', '8: {}: mode must be "clip" or "frame", not "both"'),
    ("interval_s = 0.01", "8: {}: interval_s must be 0.1 to 60, not 0.01"),
    ("clip_length_s = 61", "8: {}: clip_length_s must be 0.1 to 60, not 61"),
    ("delay_s = 0", "8: {}: delay_s must be above 0, not 0"),
    ("target_fps = 31", "8: {}: target_fps must be 1 to 30, not 31"),
    (
        'mode = "frame"\ndelay_s = 1',
        '9: {}: delay_s means nothing in mode "frame"; known is interval_s',
    ),
    (
        'mode = "clip"\ninterval_s = 1',
        (
            '9: {}: interval_s means nothing in mode "clip"; known is clip_length_s, delay_s, '
            "target_fps"
        ),
    ),
    ("max_output_tokens = 0", "8: {}: max_output_tokens must be at least 1, not 0"),
    (
        "interval_s = 0.5\nmax_output_tokens = 65",
        (
            "9: {}: max_output_tokens must be at most 64 for an answer every 0.5 s "
            "(128 tokens per second), not 65"
        ),
    ),
    ('model = " "', "8: {}: model is empty"),
]


@pytest.mark.parametrize(("added", "message"), CAMERA_CASES, ids=[case[0] for case in CAMERA_CASES])
def test_a_wrong_field_of_a_camera(added: str, message: str) -> None:
    expected = "fleet.toml:" + message.replace("{}", 'camera "gate"')
    assert problems(SMALL + added) == [expected]


CUT = (
    "url has a # or @ behind its host; percent-encode what is special in a user name, a password "
    "and the path: @ is %40, # is %23, / is %2F"
)
URL_CASES = [
    ('"rtsp://viewer:2024/hunter2@10.0.0.11/a"', CUT),
    ('"rtsp://viewer:2024#hunter2@10.0.0.11/a"', CUT),
    ('"rtsp://viewer:2024?hunter2@10.0.0.11/a"', CUT),
    ('"rtsp://viewer:x@y/hunter2@10.0.0.11/a"', CUT),
    ('"rtsp://10.0.0.11/a?x=hunter2#more"', CUT),
    ('{ env = "CUT_URL" }', CUT),
    ('"rtsp://10.0.0.11/a?access_token=hunter2"', f'url has a secret in "token"; {WHOLE_URL}'),
    ('"rtsp://10.0.0.11/a?x=1;Pwd=hunter2"', f'url has a secret in "Pwd"; {WHOLE_URL}'),
    (
        '"rtsp://10.0.0.11/user=v_password=hunter2_channel=1.sdp"',
        f'url has a secret in "password"; {WHOLE_URL}',
    ),
    (
        '"rtsp://viewer:hunter2@10.0.0.11/a"',
        (
            "url must not contain credentials; write user = … and "
            'password = { env = "NAME_OF_A_VARIABLE" } beside it'
        ),
    ),
    (
        '"rtsp://10.0.0.11/a?user=v&password=hunter2"',
        f'url has a secret in "password"; {WHOLE_URL}',
    ),
    ('"http://10.0.0.11/hunter2"', "url must be rtsp://host[:port]/path"),
    ('"rtsp:///hunter2"', "url must be rtsp://host[:port]/path"),
    (
        '"rtsp://10.0.0.11:99999/hunter2"',
        "url cannot be read; its port must be a number up to 65535",
    ),
    ('"rtsp://10.0.0.11/hunter2 a"', "url has spaces or control characters"),
    ('""', "url is empty"),
    ("5", f"url {REFERENCE_ADVICE.format('url')}"),
    ('{ env = "NOT_THERE" }', "url: the environment variable NOT_THERE is not set"),
    ('{ env = "PASSWORD" }', "url must be rtsp://host[:port]/path"),
]


@pytest.mark.parametrize(("url", "message"), URL_CASES, ids=[case[0] for case in URL_CASES])
def test_a_wrong_url_is_not_repeated(url: str, message: str) -> None:
    (problem,) = problems(SMALL.replace('"rtsp://10.0.0.11/a"', url))
    assert problem == f'fleet.toml:6: camera "gate": {message}'
    assert "hunter2" not in problem
    assert ENVIRONMENT["PASSWORD"] not in problem


DOCUMENT_CASES = [
    ("", ['1: no camera; write [[camera]] with name = "…" and url = "rtsp://…"',
          ('1: no service; write [[service]] with name = "…" and key = '
          '{ env = "OVERSHOOT_API_KEY" }')]),
    ("a = \n", ["1: Invalid value"]),
    (SMALL + "a =", ["8: Invalid value"]),
    (SMALL + 'name = "again"', ["8: Cannot overwrite a value"]),
    (SMALL + 'x = "open', ["8: Unterminated string"]),
    ("a = " + "[" * 5000, ["1: arrays or tables are nested too deeply"]),
    (SMALL.replace("[[camera]]", "[camera]"), [
        "4: camera must be written as [[camera]], one for each"]),
    (SMALL + "[[cameras]]", ['8: unknown key "cameras"; did you mean "camera"?']),
    (SMALL + "[[camera]]", [
        '8: camera 2: "key" is missing'.replace("key", "name"),
        '8: camera 2: "prompt" is missing; give one here or under [defaults]',
        '8: camera 2: "url" is missing; write url = { env = "NAME_OF_A_VARIABLE" }']),
    (SMALL + CAMERA, [
        '9: camera "gate": name is already on line 5; name each camera differently',
        '10: camera "gate": url is already on line 6; write each camera once']),
    (SMALL.replace('"gate"', '"the gate"'), [
        ('5: camera "the gate": name must be 1 to 64 letters, digits, dots, dashes or underscores '
        "of ASCII, the first a letter or digit")]),
    (SMALL.replace('"gate"', '"a\\nb"'), [
        ("5: camera 1: name must be 1 to 64 letters, digits, dots, dashes or underscores of ASCII, "
        "the first a letter or digit")]),
    (SMALL + SERVICE, [
        '9: service "main": name is already on line 2; name each service differently',
        ('10: service "main": key is already on line 3; a key\'s streams must not be counted '
        "twice")]),
    (SMALL.replace('{ env = "KEY" }', '"ovs-hunter2"'), [
        f"3: service \"main\": key {REFERENCE_ADVICE.format('key')}"]),
    (SERVICE.replace('key = { env = "KEY" }\n', "") + CAMERA, [
        '1: service "main": "key" is missing; write key = { env = "NAME_OF_A_VARIABLE" }']),
    (SERVICE + "transit_s = 0\n" + CAMERA, [
        '4: service "main": transit_s must be above 0, not 0']),
    (SERVICE + "max_streams = 0\n" + CAMERA, [
        '4: service "main": max_streams must be at least 1, not 0']),
    (SERVICE + 'base_url = "ftp://x"\n' + CAMERA, [
        "4: service \"main\": base URL 'ftp://x' must start with http:// or https://"]),
    (SMALL + "[defaults]\nfps = -1\nname = 1", [
        "9: [defaults]: fps must be above 0, not -1",
        f'10: [defaults]: unknown key "name"; known are {QUESTION}']),
    ("dwell_s = 1\n" + SMALL, ["1: dwell_s must be 5 to 86400, not 1"]),
    (SMALL + "[metrics]", ['8: [metrics]: "listen" is missing']),
    (SMALL + "[metrics]\nport = 1", [
        '8: [metrics]: "listen" is missing',
        '9: [metrics]: unknown key "port"; known are listen']),
    *((SMALL + f"[metrics]\nlisten = {value!r}", [
        f'9: [metrics]: listen must be "HOST:PORT", such as "127.0.0.1:9464", not "{value}"'])
        for value in ("9464", ":9464", "a:", "a:65536", "a:²")),
    ("defaults = 1\n" + SMALL, ["1: defaults must be a table, not a number"]),
    (SMALL + "[[sink]]", [
        '8: sink 1: "directory" is missing',
        '8: sink 1: "type" is missing; write type = "parquet"']),
    (SMALL + '[[sink]]\ntype = "csv"', [
        '9: sink 1: type must be "parquet" or "kafka" or "iceberg" or "delta", not "csv"']),
    (SMALL + '[[sink]]\ntype = "delta"\ndirectory = "s3://b/t"', [
        '8: sink 1: "staging" is missing']),
    (SMALL + '[[sink]]\ntype = "parquet"\ndirectory = "a"\nstaging = "s"', [
        "11: sink 1: rows wait in the directory itself; leave staging out"]),
    (SMALL + '[[sink]]\ntype = "parquet"\nstaging = "s"\ndirectory = "s3://k:s@b/t"', [
        ("11: sink 1: a s3 URL has credentials; leave them to the environment "
        "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, or a profile)")]),
    (SMALL + '[[sink]]\ntype = "iceberg"\nstaging = "s"\ncatalog = "c"\ndirectory = "d"', [
        "12: sink 1: directory and catalog exclude each other; leave one out"]),
    (SMALL + 2 * '[[sink]]\ntype = "delta"\ndirectory = "a"\nstaging = "s"\n', [
        "15: sink 2: staging is already on line 11; two sinks need two directories"]),
    (SMALL + '[[sink]]\ntype = "parquet"\ndirectory = "a"\nroll_interval_s = 0', [
        "11: sink 1: roll_interval_s must be above 0, not 0"]),
    (SMALL + '[[sink]]\ntype = "parquet"\ndirectory = "a"\npartition_by = "hour"', [
        '11: sink 1: partition_by must be "date,source" or "date", not "hour"']),
    (SMALL + 2 * '[[sink]]\ntype = "parquet"\ndirectory = "a"\n', [
        "13: sink 2: directory is already on line 10; two sinks need two directories"]),
    ("budget_cents = -5\n" + SMALL, ["1: budget_cents must be above 0, not -5"]),
    # All problems at once, by line; a problem of the defaults is no problem of every camera.
    ("[defaults]\nmax_output_tokens = 1000\n" + SMALL + "fps = 0\n[[camera]]\nname = 5\n", [
        ("2: [defaults]: max_output_tokens must be at most 64 for an answer every 0.5 s "
        "(128 tokens per second), not 1000"),
        '10: camera "gate": fps must be above 0, not 0',
        '11: camera 2: "prompt" is missing; give one here or under [defaults]',
        '11: camera 2: "url" is missing; write url = { env = "NAME_OF_A_VARIABLE" }',
        "12: camera 2: name must be a text, not a number"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), DOCUMENT_CASES)
def test_a_wrong_document(text: str, expected: list[str]) -> None:
    assert problems(text) == [f"fleet.toml:{each}" for each in expected]
