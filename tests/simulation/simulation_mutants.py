"""All defects to plant. None of them may be equivalent to the original: each must be noticed."""

from __future__ import annotations

from typing import Final

from simulation_mutants_flow import FLOW_MUTANTS
from simulation_mutants_session import SESSION_MUTANTS
from simulation_mutants_sink import SINK_MUTANTS

MUTANTS: Final = (*FLOW_MUTANTS, *SESSION_MUTANTS, *SINK_MUTANTS)
