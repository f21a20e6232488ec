"""Asks one service whether it takes the key and has the models that cameras ask."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from overshoot_flow.config import Service
from overshoot_flow.errors import AuthenticationError, OvershootFlowError
from overshoot_flow.transport.http import OvershootHttp
from overshoot_flow.transport.http_v1 import OvershootV1
from overshoot_flow_connectors.fleet_model import Fleet, FleetService


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFacts:
    """What a service said.

    Attributes:
        key_accepted: Whether the key is; None when the service could not be asked.
        models: State of every model that is asked there, by name; None for one that it lacks.
        balance_cents: What is left on the key's account; None where the service does not tell,
            as v0.2, which tells only while a stream runs.
        problems: What will not work.
    """

    key_accepted: bool | None
    models: Mapping[str, str | None] = field(default_factory=dict)
    balance_cents: float | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """Models by name, whether each is ready, and its state; what is left on the account."""

    models: Mapping[str, tuple[bool, str]]
    balance_cents: float | None = None


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
    asked = replace(service.service, request_timeout_s=timeout_s)
    ask = _ask_v02 if asked.generation == "v0.2" else _ask_v1
    try:
        # The client repeats what fails; the whole has an end too.
        async with asyncio.timeout(timeout_s):
            told = await ask(asked)
    except AuthenticationError as error:
        return ServiceFacts(key_accepted=False, problems=(f"the key is not accepted: {error}",))
    except TimeoutError:
        return ServiceFacts(key_accepted=None, problems=(f"no answer within {timeout_s:g} s",))
    except OvershootFlowError as error:
        return ServiceFacts(key_accepted=None, problems=(str(error),))
    return ServiceFacts(
        key_accepted=True,
        models={name: told.models[name][1] if name in told.models else None for name in models},
        balance_cents=told.balance_cents,
        problems=(*_model_problems(models, told.models), *_credit_problems(told.balance_cents)),
    )


async def _ask_v02(service: Service) -> _Told:
    http = OvershootHttp(service)
    try:
        listed = await http.models()
    finally:
        await http.aclose()
    return _Told(models={model.model: (model.ready, model.status) for model in listed})


async def _ask_v1(service: Service) -> _Told:
    http = OvershootV1(service)
    try:
        # This comes first, because the list of models needs no key.
        balance = await http.balance()
        listed = await http.models()
    finally:
        await http.aclose()
    return _Told(
        models={model.id: (model.ready, model.status) for model in listed},
        balance_cents=balance.cents,
    )


def _model_problems(
    models: Sequence[str], by_name: Mapping[str, tuple[bool, str]]
) -> Iterable[str]:
    for name in models:
        if name not in by_name:
            yield f"it has no model {name}; it has {', '.join(sorted(by_name)) or 'none at all'}"
            continue
        is_ready, status = by_name[name]
        if not is_ready:
            yield f"the model {name} takes nothing new: {status}"


def _credit_problems(balance_cents: float | None) -> Iterable[str]:
    if balance_cents is not None and balance_cents <= 0:
        yield "the account has no credit left"
