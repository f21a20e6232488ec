"""Fails when a Python file has more lines than a reader holds in mind at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LIMIT = 400


def main() -> int:
    """Print every tracked file over the limit; return 1 if there is one."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],  # noqa: S607
        check=True,
        capture_output=True,
        text=True,
    )
    files = [Path(name) for name in listed.stdout.splitlines() if Path(name).exists()]
    if not files:
        sys.stderr.write("no Python file found: not in the repository?\n")
        return 1
    lengths = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in files}
    too_long = {file: lines for file, lines in lengths.items() if lines > LIMIT}
    for file, lines in too_long.items():
        sys.stdout.write(f"{file}: {lines} lines, at most {LIMIT}: split it by purpose\n")
    return 1 if too_long else 0


if __name__ == "__main__":
    sys.exit(main())
