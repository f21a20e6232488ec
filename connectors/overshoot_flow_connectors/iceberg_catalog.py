"""Opening a catalog of pyiceberg's, so that no request to it waits for ever."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.utils.config import Config, merge_config

if TYPE_CHECKING:
    from requests import Session

REQUEST_TIMEOUT_S: Final = 30.0
"""How long a REST catalog may be silent during a request."""


def all_settings(name: str, given: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings of a catalog: what pyiceberg is configured with, and what is given.

    Raises:
        ValueError: pyiceberg's configuration cannot be read.
    """
    return merge_config(Config().get_catalog_config(name) or {}, dict(given))


def open_catalog(name: str, given: Mapping[str, str]) -> Catalog:
    """Open a catalog.

    Raises:
        Exception: Whatever pyiceberg and its catalogs raise.
    """
    settings = all_settings(name, given)
    if _is_rest(settings):
        return _BoundedRestCatalog(name, **settings)
    return load_catalog(name, **given)


def _is_rest(settings: Mapping[str, Any]) -> bool:
    """Decide as `load_catalog` does."""
    if kind := settings.get("type"):
        return str(kind).lower() == "rest"
    return "py-catalog-impl" not in settings and str(settings.get("uri")).startswith("http")


class _BoundedRestCatalog(RestCatalog):
    """A REST catalog whose silence is an error (`requests.Timeout`)."""

    def _config_headers(self, session: Session) -> None:
        super()._config_headers(session)
        # pyiceberg has no setting for it, and every request, that for a token too, comes by here.
        session.request = partial(session.request, timeout=REQUEST_TIMEOUT_S)  # type: ignore[method-assign]
