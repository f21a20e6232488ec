"""What a check of a fleet found, as a table and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from overshoot_flow_connectors.fleet_model import Fleet, FleetCamera, FleetService
from overshoot_flow_connectors.fleet_plan import without_slot
from overshoot_flow_pipelines.check_facts import CameraFacts
from overshoot_flow_pipelines.check_service import ServiceFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraCheck:
    """One camera: facts, or the problem that kept them away."""

    camera: FleetCamera
    facts: CameraFacts | None
    problem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceCheck:
    """One service and what it said."""

    service: FleetService
    facts: ServiceFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetCheck:
    """A whole fleet, in the file's order."""

    cameras: tuple[CameraCheck, ...]
    services: tuple[ServiceCheck, ...]

    @property
    def is_good(self) -> bool:
        """Whether everything would work."""
        return not any(each.problem for each in self.cameras) and not any(
            each.facts.problems for each in self.services
        )

    @property
    def streams(self) -> int:
        """How many streams all services have together."""
        return sum(each.service.service.max_streams for each in self.services)

    @property
    def waiting(self) -> int:
        """How many cameras find no free stream at a service that they may use."""
        cameras = tuple(each.camera for each in self.cameras)
        services = tuple(each.service for each in self.services)
        return len(without_slot(Fleet(cameras=cameras, services=services)))


def as_json(check: FleetCheck) -> dict[str, Any]:
    """Return the check as JSON data; it has no secret."""
    return {
        "ok": check.is_good,
        "cameras": [
            {
                "name": each.camera.name,
                "url": each.camera.address.url,
                "ok": each.problem is None,
                "problem": each.problem,
                "facts": None if each.facts is None else asdict(each.facts),
            }
            for each in check.cameras
        ],
        "services": [
            {
                "name": each.service.name,
                "base_url": each.service.service.base_url,
                "ok": not each.facts.problems,
                "max_streams": each.service.service.max_streams,
                "credit": _credit(each),
                **asdict(each.facts),
            }
            for each in check.services
        ],
    }


def as_tables(check: FleetCheck) -> RenderableType:
    """Return the check as tables for a terminal."""
    parts: list[RenderableType] = [_camera_table(check), _service_table(check)]
    if check.waiting:
        parts.append(
            Text(
                f"{len(check.cameras)} cameras share {check.streams} streams: "
                f"{check.waiting} at a time must wait for a slot"
            )
        )
    return Group(*parts)


def _camera_table(check: FleetCheck) -> Table:
    table = Table("camera", "codec", "size", "fps", "GOP", "B-frames", "clock", "published")
    for each in check.cameras:
        facts = each.facts
        if facts is None:
            cells = [*[""] * 6, each.problem or ""]
        else:
            cells = [
                facts.codec,
                f"{facts.width}x{facts.height}",
                "unknown" if facts.fps is None else f"{facts.fps:.4g}",
                _gop(facts),
                "yes" if facts.has_b_frames else "no",
                _clock(facts),
                _published(facts),
            ]
        *plain, last = cells
        style = "red" if facts is None else ""
        table.add_row(_text(each.camera.name), *map(_text, plain), _text(last, style))
    return table


def _gop(facts: CameraFacts) -> str:
    if facts.gop_pictures is None:
        return f"above {facts.pictures}"
    return f"{facts.gop_pictures}" + ("" if facts.gop_s is None else f" ({facts.gop_s:.1f} s)")


def _clock(facts: CameraFacts) -> str:
    if facts.clock_offset_s is None:
        return "arrival"
    ahead = f"{abs(facts.clock_offset_s):.1f} s {'ahead' if facts.clock_offset_s > 0 else 'behind'}"
    return f"{facts.clock_basis} ({ahead})"


def _published(facts: CameraFacts) -> str:
    if facts.passthrough_refusal is None:
        return "passthrough"
    return f"decoded: {facts.passthrough_refusal}"


def _service_table(check: FleetCheck) -> Table:
    table = Table("service", "URL", "key", "credit", "streams", "models", "problem")
    keys = {True: "accepted", False: "refused", None: "unknown"}
    for each in check.services:
        facts, service = each.facts, each.service.service
        models = [f"{name}: {status or 'missing'}" for name, status in facts.models.items()]
        table.add_row(
            _text(each.service.name),
            _text(service.base_url),
            keys[facts.key_accepted],
            _credit(each),
            str(service.max_streams),
            _text("\n".join(models)),
            _text("\n".join(facts.problems), "red"),
        )
    return table


def _credit(check: ServiceCheck) -> str:
    if check.service.service.generation == "v0.2":
        return "told only while a stream runs"
    cents = check.facts.balance_cents
    return "unknown" if cents is None else f"{cents:.2f} cents"


def _text(words: str, style: str = "") -> Text:
    """Make a cell; what cameras, services and files say is no markup."""
    return Text(words, style=style)
