"""The process's wish to stop: sources stop reading, what is under way is answered."""

from __future__ import annotations

import threading
from typing import Final

STOP: Final = threading.Event()
"""Set by `overshoot_flow.flow.run` on the first SIGTERM or SIGINT."""
