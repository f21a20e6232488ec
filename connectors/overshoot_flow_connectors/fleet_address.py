"""Reads where a camera is, and keeps what is secret about it out of every text."""

from __future__ import annotations

from typing import Final, cast
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from overshoot_flow.config import Secret
from overshoot_flow.errors import ConfigurationError
from overshoot_flow_connectors.fleet_fields import FleetTable
from overshoot_flow_connectors.rtsp_address import (
    Camera,
    Transport,
    is_cut_by_its_credentials,
    secret_parameter,
)

ADDRESS_KEYS: Final = ("url", "user", "password", "transport")

_TRANSPORTS: Final = ("tcp", "udp", "tls")
_SCHEMES: Final = ("rtsp", "rtsps")
_WHOLE_URL_ADVICE: Final = (
    'put the whole url into an environment variable and write url = { env = "NAME_OF_A_VARIABLE" }'
)


def read_address(camera: FleetTable, name: str) -> Camera | None:
    """Read where the camera `name` is; None after noting what is wrong with it."""
    transport = cast("Transport | None", camera.choice("transport", _TRANSPORTS))
    user, password = camera.text("user"), camera.secret("password")
    has_user, has_password = "user" in camera, "password" in camera
    if has_user != has_password:
        present, absent = ("user", "password") if has_user else ("password", "user")
        camera.problem(present, f"{present} is given without {absent}; give both or neither")
        return None
    parts, is_secret = _url(camera)
    if parts is None or (has_user and (user is None or password is None)):
        return None
    if parts.username is not None or parts.password is not None:
        if has_user:
            camera.problem("url", "credentials are given in the url and beside it; give one")
            return None
        user, password = unquote(parts.username or ""), Secret(unquote(parts.password or ""))
    netloc = parts.netloc.rpartition("@")[2]
    try:
        return Camera(
            url=urlunsplit((parts.scheme, netloc, parts.path, parts.query, "")),
            name=name,
            user=user,
            password=password,
            transport=transport or "tcp",
        )
    except ConfigurationError as error:
        camera.problem("url" if is_secret else "user", str(error))
        return None


def _url(camera: FleetTable) -> tuple[SplitResult | None, bool]:
    """Return the URL's parts, and whether it came through a reference."""
    if not camera.is_text("url"):
        secret = camera.secret("url", required=True)
        return (None if secret is None else _split(camera, secret.reveal())), True
    text = camera.text("url")
    parts = None if text is None else _split(camera, text)
    if parts is None:
        return None, False
    if parts.username is not None or parts.password is not None:
        camera.problem(
            "url",
            "url must not contain credentials; write user = … and "
            'password = { env = "NAME_OF_A_VARIABLE" } beside it',
        )
        return None, False
    name = secret_parameter(parts.path) or secret_parameter(parts.query)
    if name is not None:
        camera.problem("url", f'url has a secret in "{name}"; {_WHOLE_URL_ADVICE}')
        return None, False
    return parts, False


def _split(camera: FleetTable, url: str) -> SplitResult | None:
    # No text repeats the URL: what cannot be read may hold a password anywhere.
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        camera.problem("url", "url cannot be read; its port must be a number up to 65535")
        return None
    if parts.scheme not in _SCHEMES or not host or port == 0:
        camera.problem("url", "url must be rtsp://host[:port]/path")
        return None
    if is_cut_by_its_credentials(parts):
        camera.problem(
            "url",
            "url has a # or @ behind its host; percent-encode what is special in a user name, a "
            "password and the path: @ is %40, # is %23, / is %2F",
        )
        return None
    if any(character.isspace() or not character.isprintable() for character in url):
        camera.problem("url", "url has spaces or control characters")
        return None
    return parts
