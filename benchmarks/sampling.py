"""CPU seconds for the samples of a file: ours against decoding everything and other libraries.

Makes 1080p H.264 files (see `sampling_scenes.py`), takes samples with every method of
`sampling_methods.py`, each measurement in a process of its own, the methods interleaved, and
prints the medians. Where a digest exists it must be that of decoding everything. The last line is
`RESULT {json}`; the `cpu_ratio_…` keys without a file's name are those of `water_gop60`.

How much can be saved depends on the file: the dearer its key frames and references are beside its
other pictures, the less. `street_gop60` is such a file.

The whole run takes about 20 minutes on two cores; `--seconds 5 --repeats 1` shows it in four.
The peers come with `pip install '.[bench]'`; one that cannot be imported is reported as null.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from sampling_methods import KEYFRAMES, METHODS
from sampling_scenes import CASES, VideoCase, encode

PLANS = {"1fps": "1", "2fps": "2", "6fps": "6", "0p2fps": "0.2", KEYFRAMES: KEYFRAMES}
HEADLINE_CASE = "water_gop60"
MEASUREMENT_TIMEOUT_S = 300
ROOT = Path(__file__).resolve().parent.parent


def measure(method: str, path: Path, plan: str, gop: int) -> dict[str, Any]:
    """Run one measurement in a fresh process."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", ""))),
    }
    completed = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).with_name("sampling_methods.py")),
            method,
            str(path),
            plan,
            str(gop),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=MEASUREMENT_TIMEOUT_S,
        env=environment,
    )
    if completed.returncode != 0:
        return {"missing": " ".join(completed.stderr.split())[-200:]}
    report: dict[str, Any] = json.loads(completed.stdout.splitlines()[-1])
    return report


def measure_case(case: VideoCase, path: Path, repeats: int) -> dict[str, dict[str, float | None]]:
    """Return the median CPU seconds by plan and method; None where a method cannot do it."""
    medians: dict[str, dict[str, float | None]] = {}
    reasons: dict[str, str] = {}
    for plan_name, plan in PLANS.items():
        cpu_s: dict[str, list[float]] = defaultdict(list)
        counts: dict[str, int] = {}
        digests: dict[str, str] = {}
        for _ in range(repeats):
            for method in METHODS:
                report = measure(method, path, plan, case.gop)
                if "missing" in report:
                    reasons.setdefault(method, report["missing"])
                    continue
                cpu_s[method].append(report["cpu_s"])
                counts[method] = report["count"]
                if report["digest"] is not None:
                    digests[method] = report["digest"]
        if len(set(digests.values())) > 1 or len(set(counts.values())) > 1:
            sys.exit(f"{case.name} {plan_name}: the samples differ: {counts} {digests}")
        medians[plan_name] = {
            method: statistics.median(cpu_s[method]) if cpu_s[method] else None
            for method in METHODS
        }
        print_row(case.name, plan_name, counts["ours"], medians[plan_name])
    for method, reason in reasons.items():
        print(f"  {method}: {reason}")
    return medians


def print_row(case: str, plan: str, count: int, row: dict[str, float | None]) -> None:
    """Print one line of the table."""
    cells = (f"{name} {'-' if value is None else f'{value:.3f}'}" for name, value in row.items())
    print(f"{case:13} {plan:9} {count:4} samples, CPU s: {'  '.join(cells)}", flush=True)


def summarize(all_medians: dict[str, dict[str, dict[str, float | None]]]) -> dict[str, Any]:
    """Turn medians into the keys of the RESULT line."""
    result: dict[str, Any] = {}
    best_peer_ratios: list[float] = []
    for case, plans in all_medians.items():
        suffix = "" if case == HEADLINE_CASE else f"_{case}"
        for plan, row in plans.items():
            own = row["ours"]
            naive = row["naive_pyav"]
            if own is None or naive is None:
                sys.exit(f"{case} {plan}: our own reader or PyAV could not be measured")
            result[f"cpu_ratio_vs_naive_pyav_{plan}{suffix}"] = round(naive / own, 2)
            peers = [value for name, value in row.items() if name != "ours" and value is not None]
            best_peer_ratios.append(min(peers) / own)
            for method, value in row.items():
                key = f"{method}_{plan}_{case}_cpu_s"
                result[key] = None if value is None else round(value, 4)
    result["cpu_ratio_vs_best_peer_min"] = round(min(best_peer_ratios), 2)
    return result


def main() -> None:
    """Generate, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=20, help="length of each file")
    parser.add_argument("--repeats", type=int, default=3, help="measurements per median")
    options = parser.parse_args()
    medians = {}
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            path = encode(case, Path(folder), options.seconds)
            bitrate_mbps = path.stat().st_size * 8 / options.seconds / 1e6
            print(f"{case.name}: {options.seconds} s, {bitrate_mbps:.1f} Mbit/s")
            medians[case.name] = measure_case(case, path, options.repeats)
    print("RESULT " + json.dumps(summarize(medians), sort_keys=True))


if __name__ == "__main__":
    main()
