"""The Bytewax operators; the only place in the core that imports the engine."""

from overshoot_flow.flow.arrow import to_arrow
from overshoot_flow.flow.inference import infer
from overshoot_flow.flow.running import run
from overshoot_flow.flow.user_functions import filter_frames, map_frames

__all__ = ["filter_frames", "infer", "map_frames", "run", "to_arrow"]
