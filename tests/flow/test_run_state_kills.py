"""Real kills: with the recovery store that the state gives, no number is lost and none doubled."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

from run_state_child import SOURCES

CHILD = Path(__file__).with_name("run_state_child.py")
KILLS = 12
NUMBERS_BEFORE_A_KILL = (0, 0, 1, 2, 3, 20)
"""A life that is killed before its sink has taken a snapshot is the hardest after another kill."""
END = 150


def one_life(folder: Path, kill_after: int | None) -> tuple[int, list[int]]:
    """Run a process; return its exit code and where its sources began."""
    began: list[int] = []
    numbers = 0
    with subprocess.Popen(
        [sys.executable, str(CHILD), str(folder), str(END)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("from "):
                    began.append(int(line.removeprefix("from ")))
                else:
                    numbers += 1
                if kill_after is not None and numbers >= kill_after:
                    break
        finally:
            process.kill() if kill_after is not None else process.wait()
    return process.returncode, began


def test_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    seed = random.randrange(2**32)  # noqa: S311 - chooses where to kill
    sys.stdout.write(f"seed {seed}\n")
    chance = random.Random(seed)  # noqa: S311 - see above
    positions: list[int] = []
    # Each of them equally often: some lives must get far enough for something to be durable.
    kills = chance.sample(NUMBERS_BEFORE_A_KILL, KILLS, counts=[2] * len(NUMBERS_BEFORE_A_KILL))
    for kill_after in kills:
        code, began = one_life(tmp_path, kill_after)
        assert code == -9
        positions.extend(began)
    code, began = one_life(tmp_path, None)
    assert code == 0
    # Proof that the kills came in mid-run and that the run went on from what was durable.
    # (The two sources are not always equally far.)
    assert 0 < max(positions) <= max(began)
    assert min(began) < END
    written = Counter((tmp_path / "numbers.txt").read_text().split())
    ideal = {f"{source}{number}" for source in SOURCES for number in range(1, END + 1)}
    assert set(written) == ideal
    assert set(written.values()) == {1}
