"""Engines of the local server, loaded only when asked for: some need an extra of their own."""

from __future__ import annotations

import importlib
from typing import Final, cast

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.local.engines.base import Engine

_ENGINES: Final = {
    "pixels": ("overshoot_flow.local.engines.pixels", "PixelsEngine", "local"),
    "ocr": ("overshoot_flow.local.engines.ocr", "OcrEngine", "local,ocr"),
}

ENGINE_NAMES: Final = tuple(_ENGINES)
"""Every name that `load_engine` knows."""


def load_engine(name: str) -> Engine:
    """Load the engine called `name`.

    Raises:
        ConfigurationError: There is no such engine, or its extra is not installed; the text has
            the command that installs it.
    """
    if name not in _ENGINES:
        raise ConfigurationError(f"no engine {name!r}; there are {', '.join(ENGINE_NAMES)}")
    module_name, class_name, extras = _ENGINES[name]
    try:
        module = importlib.import_module(module_name)
        # The class itself stays lazy about its model; a missing wheel shows here at the latest.
        return cast("Engine", getattr(module, class_name)())
    except ImportError as error:
        raise ConfigurationError(
            f"engine {name!r} needs {error.name}: pip install 'overshoot-flow[{extras}]'"
        ) from None
