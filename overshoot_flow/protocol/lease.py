"""The lease of a stream: when to renew it, and when it is surely over.

The schedule is the vendor's own: a lease of 45 s is renewed every 15 s, a failed keepalive is
repeated three times, 2 s apart, then the stream counts as ended.
"""

from __future__ import annotations

from typing import Final

from overshoot_flow.errors import (
    AuthenticationError,
    InsufficientCreditsError,
    OvershootFlowError,
    RejectedRequestError,
    ServiceError,
    StreamNotFoundError,
)

RETRIES: Final = 3
RETRY_PAUSE_S: Final = 2.0
_RENEWALS_PER_LEASE: Final = 3
_TERMINAL: Final = (
    AuthenticationError,
    InsufficientCreditsError,
    RejectedRequestError,
    StreamNotFoundError,
)


class Lease:
    """A lease of `ttl_s` seconds, granted at `now_s` of a monotonic clock that the caller reads.

    Attributes:
        next_attempt_s: When the next keepalive is due.
        expires_s: When the service has surely ended the stream.
    """

    def __init__(self, ttl_s: float, now_s: float) -> None:
        self._failures = 0
        self.next_attempt_s = 0.0
        self.expires_s = 0.0
        self.renewed(now_s, ttl_s)

    def renewed(self, now_s: float, ttl_s: float) -> None:
        """The service has granted `ttl_s` seconds more."""
        self._ttl_s = ttl_s
        self._failures = 0
        self.next_attempt_s = now_s + ttl_s / _RENEWALS_PER_LEASE
        self.expires_s = now_s + ttl_s

    def failed(self, now_s: float, error: OvershootFlowError) -> bool:
        """A keepalive failed; return whether it makes sense to try again.

        Short leases, which only tests have, are retried at a tenth of their length. A longer
        wait that the service asks for is kept, unless the lease would run out meanwhile.
        """
        if isinstance(error, _TERMINAL):
            return False
        self._failures += 1
        pause_s = min(RETRY_PAUSE_S, self._ttl_s / 10)
        if isinstance(error, ServiceError) and error.retry_after_s is not None:
            pause_s = max(pause_s, error.retry_after_s)
        self.next_attempt_s = now_s + pause_s
        return self._failures <= RETRIES and self.next_attempt_s < self.expires_s

    def over(self, now_s: float) -> bool:
        """Whether the lease has run out."""
        return now_s >= self.expires_s
