"""What a running process tells its operators: metrics and health over HTTP.

with observe("127.0.0.1:9464", source):
    run(flow, state="state")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from overshoot_flow_pipelines.commands.common import missing_extra
from overshoot_flow_pipelines.observability.cameras import CameraSource


def observe(
    address: str,
    *sources: CameraSource,
    checks: Mapping[str, Callable[[], str | None]] | None = None,
) -> AbstractContextManager[object]:
    """Serve `/metrics`, `/healthz` and `/readyz` while the block runs.

    Args:
        address: `HOST:PORT` to listen on; port 0 takes a free one. Nothing is encrypted, nobody
            is asked for a password: open it to the monitoring only.
        sources: The flow's sources of cameras; streams of other sources are seen all the same.
        checks: What else must be right for `/readyz`, by name: a function that returns what is
            wrong, or None. It is called at every request, from several threads, and must not wait.

    Raises:
        ConfigurationError: The extra `metrics` is not installed, or the address cannot be
            listened on.
    """
    try:
        # Pipelines run without the extra as well, unobserved.
        from overshoot_flow_pipelines.observability.server import (  # noqa: PLC0415
            ObservabilityServer,
        )
    except ImportError as error:
        raise missing_extra("metrics", error) from None
    return ObservabilityServer(address, *sources, checks=checks)
