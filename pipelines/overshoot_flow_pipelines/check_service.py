"""Asks one service whether it takes the key and has the models that cameras ask."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from overshoot_flow.errors import AuthenticationError, OvershootFlowError
from overshoot_flow.protocol.v02 import ModelStatus
from overshoot_flow.transport.http import OvershootHttp
from overshoot_flow_connectors.fleet_model import Fleet, FleetService


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFacts:
    """What a service said.

    Attributes:
        key_accepted: Whether the key is; None when the service could not be asked.
        models: State of every model that is asked there, by name; None for one that it lacks.
        problems: What will not work.
    """

    key_accepted: bool | None
    models: Mapping[str, str | None] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def models_asked(fleet: Fleet, service: FleetService) -> list[str]:
    """Return the models of all cameras that may ask this service, sorted."""
    return sorted(
        {
            camera.inference.model
            for camera in fleet.cameras
            if camera.service in {None, service.name}
        }
    )


async def ask_service(
    service: FleetService, models: Sequence[str], timeout_s: float
) -> ServiceFacts:
    """Ask; everything that can go wrong is in the answer, without the key."""
    try:
        listed = await _list_models(service, timeout_s)
    except AuthenticationError as error:
        return ServiceFacts(key_accepted=False, problems=(f"the key is not accepted: {error}",))
    except TimeoutError:
        return ServiceFacts(key_accepted=None, problems=(f"no answer within {timeout_s:g} s",))
    except OvershootFlowError as error:
        return ServiceFacts(key_accepted=None, problems=(str(error),))
    by_name = {model.model: model for model in listed}
    return ServiceFacts(
        key_accepted=True,
        models={name: by_name[name].status if name in by_name else None for name in models},
        problems=tuple(_model_problems(models, by_name)),
    )


async def _list_models(service: FleetService, timeout_s: float) -> Sequence[ModelStatus]:
    http = OvershootHttp(replace(service.service, request_timeout_s=timeout_s))
    try:
        # The client repeats what fails; the whole has an end too.
        async with asyncio.timeout(timeout_s):
            return await http.models()
    finally:
        await http.aclose()


def _model_problems(models: Sequence[str], by_name: Mapping[str, ModelStatus]) -> Iterable[str]:
    for name in models:
        model = by_name.get(name)
        if model is None:
            yield f"it has no model {name}; it has {', '.join(sorted(by_name)) or 'none at all'}"
        elif not model.ready:
            yield f"the model {name} takes no new streams: {model.status}"
