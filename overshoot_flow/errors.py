"""The one exception tree of overshoot-flow.

Bad data never raises: it flows to the dead letters as a value. What raises is a misconfigured
program (`ConfigurationError`, at construction) or a part of the world that failed. Exceptions of
libraries are translated into this tree where they enter; no text ever contains a secret.
"""

from __future__ import annotations

from collections.abc import Sequence


class OvershootFlowError(Exception):
    """Root of every exception that overshoot-flow raises on purpose."""


class ConfigurationError(OvershootFlowError):
    """The program asks for something impossible; the text says what to write instead."""


class LimitError(ConfigurationError):
    """A value lies outside a limit of the service, found before the call.

    Attributes:
        limit: Name of the limit, as the service's contract spells the field.
    """

    def __init__(self, limit: str, message: str) -> None:
        super().__init__(f"{limit}: {message}")
        self.limit = limit


class FleetFileError(ConfigurationError):
    """A fleet file is wrong; the text has all of its problems, one a line.

    Attributes:
        problems: The problems, such as `fleet.toml:12: camera "gate": name is empty`.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class UnsupportedSchemaError(ConfigurationError):
    """A JSON Schema has no typed column form.

    Attributes:
        schema_path: JSON pointer into the schema, `""` for its root.
    """

    def __init__(self, schema_path: str, message: str) -> None:
        super().__init__(f"schema at {schema_path or '(root)'}: {message}")
        self.schema_path = schema_path


class MediaError(OvershootFlowError):
    """A video cannot be opened or decoded; the text has no credentials."""


class CameraError(MediaError):
    """A camera cannot be reached or read; the text has no credentials."""


class CameraSilentError(CameraError):
    """A camera is connected and sends no picture."""


class CameraCredentialsError(CameraError):
    """A camera refuses the user name or the password."""


class TransportError(OvershootFlowError):
    """The network failed: no connection, no answer in time, or an answer outside the contract."""


class ServiceError(OvershootFlowError):
    """The service answered with an error.

    Attributes:
        status: HTTP status, or None where the error came over the WebSocket.
        code: The contract's error code (`error` field), or None.
        request_id: The service's id of the failed request, or None.
        retry_after_s: How long the service asks to wait before another attempt, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        facts = [
            f"{name}={value}"
            for name, value in (("status", status), ("code", code), ("request_id", request_id))
            if value is not None
        ]
        super().__init__(f"{message} ({', '.join(facts)})" if facts else message)
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after_s = retry_after_s


class RejectedRequestError(ServiceError):
    """400 or 422: the service refuses the request as written."""


class AuthenticationError(ServiceError):
    """401 or close code 1008: the API key is not accepted."""


class InsufficientCreditsError(ServiceError):
    """402: the account has no credit left. Terminal for the run."""


class StreamNotFoundError(ServiceError):
    """404: the stream does not exist or has ended."""


class StreamLimitError(ServiceError):
    """429: too many concurrent streams on this API key."""


class RateLimitError(ServiceError):
    """429: too many requests on this API key; `retry_after_s` says when to ask again."""


class WindowError(ServiceError):
    """The service cannot answer about this piece of video; it may about others."""


class WrongRegionError(ServiceError):
    """409: the stream is served elsewhere.

    Attributes:
        expected_region: Where.
    """

    expected_region: str = ""


class ServiceUnavailableError(ServiceError):
    """5xx: the service has a fault of its own."""


class StreamEndedError(OvershootFlowError):
    """The service ended the stream (WebSocket close code 1001).

    Attributes:
        reason: The contract's close reason, such as `lease_expired`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"the service ended the stream: {reason}")
        self.reason = reason


class PublishError(OvershootFlowError):
    """Video could not be published into the room."""


class SinkError(OvershootFlowError):
    """Records could not be written; the text names the path and the reason."""


class RequestsError(OvershootFlowError):
    """Requests for clips could not be read; the text names the topic and the reason."""


class StorageError(OvershootFlowError):
    """An object store cannot be reached or read. A run with a state folder can go on later."""


class CommitConflictError(SinkError):
    """A commit to a table did not go through now, or may have; another attempt finds out."""


class PeerMissingError(OvershootFlowError):
    """Processes of a cluster did not come in time; the text names them."""


class PeerLostError(OvershootFlowError):
    """Another process of the cluster failed or died, so that this one cannot go on.

    Started again together, with the same state folder, all go on from the last durable epoch.
    """
