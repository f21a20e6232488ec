"""The broker and the registry are shared with other folders' tests."""

from __future__ import annotations

from kafka_support import (  # noqa: F401 - fixtures
    kafka,
    kafka_session,
    own_broker,
    registry,
    registry_session,
    sasl_kafka,
    topic_prefix,
)
