"""Fixtures: a real REST catalog, shared or of a test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from installed_services import ServiceMissingError
from rest_catalog import RestCatalog


def _started(folder: Path) -> RestCatalog:
    try:
        catalog = RestCatalog(folder)
    except ServiceMissingError as missing:
        pytest.skip(str(missing))
    catalog.start()
    return catalog


@pytest.fixture(scope="session")
def rest_catalog_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestCatalog]:
    """The catalog that all tests of this process share."""
    catalog = _started(tmp_path_factory.mktemp("rest-catalog"))
    yield catalog
    catalog.kill()


@pytest.fixture
def rest_catalog(rest_catalog_session: RestCatalog, request: pytest.FixtureRequest) -> RestCatalog:
    """The same; the session's summary says that the test has used it."""
    request.node.user_properties.append(("service", "Iceberg REST catalog"))
    return rest_catalog_session


@pytest.fixture
def own_rest_catalog(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[RestCatalog]:
    """A catalog that the test may kill."""
    catalog = _started(tmp_path / "rest-catalog")
    request.node.user_properties.append(("service", "Iceberg REST catalog of its own"))
    yield catalog
    catalog.kill()
