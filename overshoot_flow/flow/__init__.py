"""The Bytewax operators; the only place in the core that imports the engine."""
