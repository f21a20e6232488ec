"""The models that the server lists, and the engines behind them."""

from __future__ import annotations

import asyncio
from typing import Any

from overshoot_flow.errors import ConfigurationError
from overshoot_flow.local.api_errors import invalid, model_not_available
from overshoot_flow.local.engines import ENGINE_NAMES, load_engine
from overshoot_flow.local.engines.base import Engine
from overshoot_flow.local.server_config import MODEL_STATUSES, ModelStatus, ServerConfig

_READY_STATUSES = ("ready", "degraded")


class Models:
    """Model ids: `local/<engine>` for every engine, and the aliases of the default one.

    Args:
        config: The server's configuration.

    Raises:
        ConfigurationError: The default engine cannot be loaded, or a status is given for a model
            that does not exist.
    """

    def __init__(self, config: ServerConfig) -> None:
        default = load_engine(config.engine) if isinstance(config.engine, str) else config.engine
        self._engines: dict[str, Engine] = {default.name: default}
        self._engine_names = dict.fromkeys(config.model_aliases, default.name)
        self._engine_names |= {f"local/{name}": name for name in (default.name, *ENGINE_NAMES)}
        self._statuses: dict[str, ModelStatus] = dict(config.model_statuses)
        for model in self._statuses:
            if model not in self._engine_names:
                raise ConfigurationError(
                    f"model_statuses names {model!r}; there are {', '.join(self._engine_names)}"
                )

    def listing(self) -> list[dict[str, Any]]:
        """The answer to `GET /models`."""
        return [
            {"model": model, "ready": status in _READY_STATUSES, "status": status}
            for model in self._engine_names
            for status in (self._statuses.get(model, "ready"),)
        ]

    def set_status(self, model: str, status: str) -> None:
        """Change a model's status.

        Raises:
            ApiError: 422, there is no such model or status.
        """
        if model not in self._engine_names:
            raise invalid("model", "is not a model", allowed=list(self._engine_names))
        for known in MODEL_STATUSES:
            if known == status:
                self._statuses[model] = known
                return
        raise invalid("status", f"must be one of {', '.join(MODEL_STATUSES)}")

    async def engine(self, model: str) -> Engine:
        """Return the engine behind `model`, loading it when it is used for the first time.

        Raises:
            ApiError: 422 for a model that does not exist, 503 for one that takes no new streams.
        """
        name = self._engine_names.get(model)
        if name is None:
            raise invalid(
                "inference.model", f"{model!r} is not a model", allowed=list(self._engine_names)
            )
        status = self._statuses.get(model, "ready")
        if status not in _READY_STATUSES:
            raise model_not_available(model, status)
        if name not in self._engines:
            try:
                self._engines[name] = await asyncio.to_thread(load_engine, name)
            except ConfigurationError as error:
                raise model_not_available(model, str(error)) from None
        return self._engines[name]
