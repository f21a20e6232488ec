"""Where a camera is and who may watch it, with the secret parts kept apart."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit

from overshoot_flow.config import Secret
from overshoot_flow.errors import ConfigurationError

Transport: TypeAlias = Literal["tcp", "udp", "tls"]
"""How pictures travel: inside of the RTSP connection, beside it over UDP, or inside of TLS."""

_TRANSPORTS: Final = ("tcp", "udp", "tls")
_SCHEMES: Final = ("rtsp", "rtsps")
_LONGEST_CREDENTIALS: Final = 127
"""FFmpeg cuts `user:password`, percent-encoded, at this length, and then the camera refuses it."""
_SECRET_PARAMETER: Final = re.compile(
    r"(?<![A-Za-z])(password|passwd|pass|pwd|token|auth|key|apikey|secret)="
    r"(?![&;/]).+?(?=[&;/]|_[A-Za-z]+=|$)",
    re.IGNORECASE,
)
"""Some cameras want `user=…&password=…` in the query, others in the path, with `_` or `&`."""


def secret_parameter(text: str) -> str | None:
    """Return the name of the first parameter in a URL's path or query that is a secret, or None."""
    found = _SECRET_PARAMETER.search(text)
    return None if found is None else found[1]


def is_cut_by_its_credentials(parts: SplitResult) -> bool:
    """Whether the host of a URL is a piece of its credentials.

    In `rtsp://admin:2024/x@camera/live`, whose password is not percent-encoded, `admin` is the
    host, `2024` the port, and the rest of the password a part of the path, which people may read.
    """
    if parts.fragment:
        # A camera's URL has none.
        return True
    if parts.port is None and "@" not in parts.netloc:
        return False
    return "@" in parts.path or (not parts.path and "@" in parts.query)


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """One camera.

    After construction `url` has neither credentials nor a query that could hold some: they are
    kept as secrets, and no text or record ever shows them. Where the path has a password or a token
    by name, as in `/user=admin&password=…`, `url` shows three asterisks for it.

    Args:
        url: `rtsp://host[:port]/path`; credentials in it are split off.
        name: Name of the camera; the partition key, so it must stay the same while a run is gone
            on with. By default the URL's host, port and path.
        user: User name, unless the URL has one.
        password: Password, unless the URL has one.
        transport: `tcp`, `udp`, or `tls` (the default for `rtsps://`).
        query: The URL's query, split off.
        path: The URL's path where a part of it is a secret, split off.
        ca_file: PEM file with the certificates that are trusted; the camera's own may be one. By
            default no certificate is checked, because cameras sign their own: then TLS hides the
            video from who listens, and not from who pretends to be the camera.
        certificate_host: Host that the certificate must name, where that is not the URL's.

    Raises:
        ConfigurationError: The URL is none of a camera, credentials are given twice, by half, or
            too long, or a certificate is to be checked that is not there.
    """

    url: str
    name: str = ""
    user: str | None = None
    password: Secret | None = None
    transport: Transport = "tcp"
    query: Secret | None = None
    path: Secret | None = None
    ca_file: Path | None = None
    certificate_host: str | None = None

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
        if is_cut_by_its_credentials(parts):
            raise ConfigurationError(
                "a camera's URL has a # or @ behind its host; percent-encode what is special in "
                "its user name, password and path: @ is %40, # is %23, / is %2F"
            )
        if any(character.isspace() for character in self.url):
            raise ConfigurationError(f"the URL of the camera at {host} has spaces")
        self._take_credentials(parts.username, parts.password, host)
        is_tls = parts.scheme == "rtsps" or self.transport == "tls"
        netloc = f"[{host}]" if ":" in host else host
        netloc = netloc if port is None else f"{netloc}:{port}"
        scheme = "rtsps" if is_tls else "rtsp"
        path = _SECRET_PARAMETER.sub(r"\1=***", parts.path)
        self._set("url", urlunsplit((scheme, netloc, path, "", "")))
        if path != parts.path:
            self._set("path", Secret(parts.path))
        if parts.query:
            self._set("query", Secret(parts.query))
        if is_tls:
            self._set("transport", "tls")
        self._check_certificates(host)
        if not self.name:
            self._set("name", f"{netloc}{path}")

    def _check_certificates(self, host: str) -> None:
        if self.ca_file is None:
            if self.certificate_host is not None:
                raise ConfigurationError(
                    f"the camera at {host} has a certificate_host: give a ca_file too, without it "
                    "no certificate is checked"
                )
            return
        if self.transport != "tls":
            raise ConfigurationError(
                f"the camera at {host} has a ca_file, and no TLS: use rtsps:// or transport='tls'"
            )
        if not Path(self.ca_file).is_file():
            raise ConfigurationError(f"the ca_file of the camera at {host} is no file")

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
        shown = urlsplit(self.url)
        userinfo = self._userinfo()
        netloc = f"{userinfo}@{shown.netloc}" if userinfo else shown.netloc
        path = shown.path if self.path is None else self.path.reveal()
        query = "" if self.query is None else self.query.reveal()
        return Secret(urlunsplit((shown.scheme, netloc, path, query, "")))
