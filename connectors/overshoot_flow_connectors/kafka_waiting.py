"""Waiting for a broker: in the worker's thread, in short slices, so that signals are handled."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, NamedTuple

from confluent_kafka import KafkaError

from overshoot_flow.errors import OvershootFlowError, SinkError
from overshoot_flow_connectors.kafka_patience import Patience, Verdict
from overshoot_flow_connectors.kafka_settings import KafkaSettings

SLICE_S: Final = 0.2
"""Longest time in librdkafka: so long may a signal have to wait."""

DEFAULT_MAX_OUTAGE: Final = timedelta(minutes=30)

_REFUSED: Final = frozenset(
    {
        KafkaError._AUTHENTICATION,  # noqa: SLF001 - the library's spelling of its own codes
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)
"""What no waiting will change."""

_SILENT: Final = "no answer"

_logger = logging.getLogger(__name__)


class Wording(NamedTuple):
    """What a cluster does for whom one waits."""

    past: str = "took no records"
    present: str = "takes no records"
    again: str = "takes records again"


RECORDS: Final = Wording()
REQUESTS: Final = Wording("gave no requests", "gives no requests", "gives requests again")


@dataclass(slots=True)
class Waiting:
    """Waits for one cluster and remembers why.

    Args:
        settings: To say reasons without secrets.
        max_outage_s: How long one wait may last.
        wording: What the cluster does not do meanwhile.
        failure: What is raised.
    """

    settings: KafkaSettings
    max_outage_s: float
    wording: Wording = RECORDS
    failure: type[OvershootFlowError] = SinkError
    waits: int = 0
    """How many waits were long enough to be told of."""
    _reason: str | None = None
    _refusal: KafkaError | None = None
    _patience: Patience | None = field(default=None)

    def facts(self) -> tuple[int, float]:
        """Return `waits`, and how long the present wait lasts in seconds; any thread may ask."""
        patience = self._patience
        return self.waits, 0.0 if patience is None else patience.waited_s(time.monotonic())

    def on_error(self, error: KafkaError) -> None:
        """Remember what librdkafka says about the brokers; its `error_cb`."""
        # That all brokers are down is said after why the last one is.
        if self._reason is None or error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001
            self._reason = self.settings.reason(error)
        self._look_for_refusal(error)

    def step(self, error: KafkaError | None = None) -> None:
        """Say that nothing got on since `done`, and why; called again and again.

        Raises:
            OvershootFlowError: `failure`: the broker refuses for good, or the wait has lasted too
                long.
        """
        if error is not None:
            self._look_for_refusal(error)
            # What a call says is less than what is said about the brokers.
            self._reason = self._reason or self.settings.reason(error)
        if self._refusal is not None:
            raise self.failure(
                f"Kafka at {self.settings.bootstrap} refuses: "
                f"{self.settings.reason(self._refusal)}. Check the credentials in settings and "
                "what they are allowed to do, then start again: nothing of the finished epochs is "
                "lost"
            )
        now_s = time.monotonic()
        if self._patience is None:
            self._patience = Patience(self.max_outage_s, now_s)
        match self._patience.look(now_s):
            case Verdict.GIVE_UP:
                raise self.failure(
                    f"Kafka at {self.settings.bootstrap} {self.wording.past} for "
                    f"{self._patience.waited_s(now_s):.0f} s: {self._reason or _SILENT}. Start "
                    "again when it is back; max_outage says how long to wait"
                )
            case Verdict.SAY:
                self.waits += not self._patience.has_spoken
                _logger.warning(
                    "Kafka at %s %s: %s; waited %.0f s, the run waits up to %.0f s",
                    self.settings.bootstrap,
                    self.wording.present,
                    self._reason or _SILENT,
                    self._patience.waited_s(now_s),
                    self.max_outage_s,
                )
            case Verdict.WAIT:
                pass

    def _look_for_refusal(self, error: KafkaError) -> None:
        if error.code() in _REFUSED:
            self._refusal = error

    def done(self) -> None:
        """Say that something got on."""
        if self._patience is not None and self._patience.has_spoken:
            _logger.info(
                "Kafka at %s %s after %.0f s",
                self.settings.bootstrap,
                self.wording.again,
                self._patience.waited_s(time.monotonic()),
            )
        self._patience = None
        self._refusal = None
        self._reason = None
