"""Asks an observability server as a monitoring does."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from prometheus_client.parser import text_string_to_metric_families


def fetch(port: int, path: str) -> tuple[int, str]:
    """Return the status and the text of a page."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def health(port: int, path: str) -> tuple[int, dict[str, Any]]:
    """Return the status and the document of `/healthz` or `/readyz`."""
    status, text = fetch(port, path)
    document: dict[str, Any] = json.loads(text)
    return status, document


class Scrape:
    """One scrape, parsed by Prometheus' own parser."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.samples = [
            sample
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name.startswith("overshoot_flow_")
        ]

    @classmethod
    def of(cls, port: int) -> Scrape:
        status, text = fetch(port, "/metrics")
        assert status == 200, text
        return cls(text)

    def values(self, name: str, **labels: str) -> list[float]:
        """Return the values of all samples that have these labels, among others perhaps."""
        return [
            sample.value
            for sample in self.samples
            if sample.name == f"overshoot_flow_{name}" and labels.items() <= sample.labels.items()
        ]

    def value(self, name: str, **labels: str) -> float:
        """Return the one such value; 0 if there is none."""
        values = self.values(name, **labels)
        assert len(values) <= 1, values
        return values[0] if values else 0.0
