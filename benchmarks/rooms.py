"""What joining and leaving LiveKit rooms costs, with and without what the publisher does about it.

Every cell is a process of its own against one local Overshoot server in a process of its own:

- `as_is`: rooms one after the other; each is joined, sent ten pictures, and left.
- `log_in_python`: the same, while the native library hands its log to Python, as the SDK has it
  (see `overshoot_flow/transport/native_logs.py`).
- `held`: the same, but room and publisher go on holding each other after leaving, and Python's
  collector does not come by (see `overshoot_flow/transport/rooms_left.py`).
- `at_once`: many rooms joined together, of which one, two or all may join at the same time (see
  `overshoot_flow/transport/joining.py`).

Memory is what is resident, from the room at which warming up is over until the last; the slope is
that of the line through all of them. The last line is `RESULT {json}`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from camera_services import KEY, Overshoot, running_overshoot
from rooms_child import AS_IS, AT_ONCE, HELD, LOG_IN_PYTHON, Cell

ONE_AFTER_THE_OTHER = (AS_IS, LOG_IN_PYTHON, HELD)
CELL_TIMEOUT_S = 300.0


def measured(cell: Cell) -> dict[str, Any]:
    """Run a cell in a process of its own."""
    child = Path(__file__).with_name("rooms_child.py")
    with tempfile.TemporaryFile("w+") as said:
        done = subprocess.run(
            [sys.executable, str(child), json.dumps(asdict(cell))],
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            timeout=CELL_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            said.seek(0)
            sys.exit(f"{cell.variant} failed:\n{said.read()}")
    found: dict[str, Any] = json.loads(done.stdout)
    print(f"{cell.variant:>14} seats {cell.seats:>2}: {json.dumps(found)}", flush=True)
    return found


def measure_all(overshoot: Overshoot, rooms: int, together: int) -> dict[str, float]:
    """Return the figures by their keys in the result."""
    figures: dict[str, float] = {}

    def cell(variant: str, rooms: int, seats: int) -> dict[str, Any]:
        return measured(
            Cell(variant=variant, rooms=rooms, seats=seats, base_url=overshoot.base_url, key=KEY)
        )

    for variant in ONE_AFTER_THE_OTHER:
        found = cell(variant, rooms, 1)
        figures[f"cpu_s_per_room_{variant}"] = found["cpu_s_per_room"]
        figures[f"rss_kib_per_room_{variant}"] = found["rss_kib_per_room"]
    for seats in (1, 2, together):
        found = cell(AT_ONCE, together, seats)
        figures[f"open_files_most_{seats}_joining"] = found["open_files_most"]
        figures[f"joining_s_{seats}_joining"] = found["joining_s"]
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rooms", type=int, default=60, help="one after the other (60)")
    parser.add_argument("--together", type=int, default=16, help="joined together (16)")
    options = parser.parse_args()
    with running_overshoot(options.together + 1) as overshoot:
        figures = measure_all(overshoot, options.rooms, options.together)
    result = {"rooms": options.rooms, "together": options.together, "cpus": os.cpu_count()}
    print("RESULT " + json.dumps(result | figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
