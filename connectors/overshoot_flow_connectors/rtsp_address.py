"""Where a camera is and who may watch it, with the secret parts kept apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from overshoot_flow.config import Secret
from overshoot_flow.errors import ConfigurationError

Transport: TypeAlias = Literal["tcp", "udp", "tls"]
"""How pictures travel: inside of the RTSP connection, beside it over UDP, or inside of TLS."""

_TRANSPORTS: Final = ("tcp", "udp", "tls")
_SCHEMES: Final = ("rtsp", "rtsps")
_LONGEST_CREDENTIALS: Final = 127
"""FFmpeg cuts `user:password`, percent-encoded, at this length, and then the camera refuses it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """One camera.

    After construction `url` has neither credentials nor a query that could hold some: they are
    kept as secrets, and no text or record ever shows them.

    Args:
        url: `rtsp://host[:port]/path`; credentials in it are split off.
        name: Name of the camera; the partition key, so it must stay the same while a run is gone
            on with. By default the URL's host, port and path.
        user: User name, unless the URL has one.
        password: Password, unless the URL has one.
        transport: `tcp`, `udp`, or `tls` (the default for `rtsps://`; the certificate is not
            checked, because cameras sign their own).

    Raises:
        ConfigurationError: The URL is none of a camera, or credentials are given twice, by half,
            or too long.
    """

    url: str
    name: str = ""
    user: str | None = None
    password: Secret | None = None
    transport: Transport = "tcp"
    query: Secret | None = None

    def __post_init__(self) -> None:
        """Split the URL and check what is left."""
        if self.transport not in _TRANSPORTS:
            raise ConfigurationError(f"the transport must be one of {', '.join(_TRANSPORTS)}")
        try:
            parts = urlsplit(self.url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ConfigurationError(
                "a camera's URL cannot be read; percent-encode what is special in its password"
            ) from None
        if parts.scheme not in _SCHEMES or not host:
            raise ConfigurationError("a camera's URL must be rtsp://host[:port]/path")
        if any(character.isspace() for character in self.url):
            raise ConfigurationError(f"the URL of the camera at {host} has spaces")
        self._take_credentials(parts.username, parts.password, host)
        is_tls = parts.scheme == "rtsps" or self.transport == "tls"
        netloc = f"[{host}]" if ":" in host else host
        netloc = netloc if port is None else f"{netloc}:{port}"
        scheme = "rtsps" if is_tls else "rtsp"
        self._set("url", urlunsplit((scheme, netloc, parts.path, "", "")))
        if parts.query:
            self._set("query", Secret(parts.query))
        if is_tls:
            self._set("transport", "tls")
        if not self.name:
            self._set("name", f"{netloc}{parts.path}")

    def _take_credentials(self, user: str | None, password: str | None, host: str) -> None:
        if user is not None or password is not None:
            if self.user is not None or self.password is not None:
                raise ConfigurationError(
                    f"the camera at {host} has credentials in its URL and beside it: give one"
                )
            self._set("user", unquote(user or ""))
            self._set("password", Secret(unquote(password or "")))
        if (self.user is None) != (self.password is None):
            raise ConfigurationError(
                f"the camera at {host} needs both a user name and a password, or neither"
            )
        if len(self._userinfo()) > _LONGEST_CREDENTIALS:
            raise ConfigurationError(
                f"user name and password of the camera at {host} are too long: at most "
                f"{_LONGEST_CREDENTIALS} characters together, percent-encoded"
            )

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _userinfo(self) -> str:
        if self.user is None or self.password is None:
            return ""
        return f"{quote(self.user, safe='')}:{quote(self.password.reveal(), safe='')}"

    def secret_url(self) -> Secret:
        """Return the URL with everything in it, for the one place that connects."""
        scheme, rest = self.url.split("://", 1)
        userinfo = self._userinfo()
        query = "" if self.query is None else f"?{self.query.reveal()}"
        return Secret(f"{scheme}://{userinfo}{'@' if userinfo else ''}{rest}{query}")
