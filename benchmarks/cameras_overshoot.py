"""A local Overshoot server for benchmarks with many streams, in a process of its own.

Usage: cameras_overshoot.py PORT KEY STREAMS. It decodes key frames alone, so that it leaves the
processors to what is measured. Faults can be ordered.
"""

from __future__ import annotations

import sys

from overshoot_flow.local.server import ServerConfig, serve


def main() -> int:
    port, key, streams = sys.argv[1:]
    return serve(
        ServerConfig(
            port=int(port),
            keys={key: 1e9},
            max_streams_per_key=int(streams),
            decode_key_frames_only=True,
            allow_faults=True,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
