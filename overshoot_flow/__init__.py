"""overshoot-flow: video in, typed answers of vision-language models out, on Bytewax."""

__version__ = "0.1.0"
