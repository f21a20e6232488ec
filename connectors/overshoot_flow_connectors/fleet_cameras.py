"""Reads the cameras of a fleet file."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from overshoot_flow_connectors.fleet_address import ADDRESS_KEYS, read_address
from overshoot_flow_connectors.fleet_fields import FleetTable, FleetUnique
from overshoot_flow_connectors.fleet_mask import read_mask
from overshoot_flow_connectors.fleet_model import FleetCamera
from overshoot_flow_connectors.fleet_question import (
    QUESTION_KEYS,
    Question,
    inference_of,
    read_question,
)

_CAMERA_KEYS: Final = (
    "name",
    *ADDRESS_KEYS,
    *QUESTION_KEYS,
    "labels",
    "priority",
    "service",
    "mask",
    "budget_cents",
)


def read_cameras(root: FleetTable) -> tuple[FleetCamera, ...]:
    """Read every `[[camera]]` over `[defaults]`; without those that have problems."""
    defaults = Question()
    table = root.table("defaults")
    if table is not None:
        table.refuse_unknown(QUESTION_KEYS)
        defaults = read_question(table, defaults)
    if not root.has_tables("camera"):
        root.problem("camera", 'no camera; write [[camera]] with name = "…" and url = "rtsp://…"')
    # A service that has problems of its own is there all the same.
    services = {each.text("name") for each in root.tables("service")}
    names, addresses = FleetUnique(), FleetUnique()
    cameras = [
        _camera(each, defaults, services, names, addresses) for each in root.tables("camera")
    ]
    return tuple(camera for camera in cameras if camera is not None)


def _camera(
    table: FleetTable,
    defaults: Question,
    services: set[str | None],
    names: FleetUnique,
    addresses: FleetUnique,
) -> FleetCamera | None:
    table.refuse_unknown(_CAMERA_KEYS)
    name = table.name()
    if name is not None:
        names.take(table, "name", name, "name each camera differently")
    address = read_address(table, name or "")
    if address is not None:
        addresses.take(table, "url", (address.url, address.query), "write each camera once")
    question = read_question(table, defaults)
    inference = inference_of(table, question)
    service = table.text("service")
    if service is not None and service not in services:
        table.problem("service", f'there is no service "{service}"')
    labels = table.table("labels")
    texts = {} if labels is None else labels.texts()
    priority, mask = table.integer("priority"), read_mask(table)
    budget_cents = table.number("budget_cents", above=0)
    if name is None or address is None or inference is None:
        return None
    return FleetCamera(
        name=name,
        address=address,
        inference=inference,
        sample=question.sample,
        max_height=question.max_height,
        freeze_timeout_s=question.freeze_timeout_s,
        labels=MappingProxyType(texts),
        priority=priority or 0,
        service=service,
        mask=mask,
        budget_cents=budget_cents,
    )
