"""A local Overshoot server for development and tests (extra `local`)."""
