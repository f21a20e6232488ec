from __future__ import annotations

import pytest
from rest_catalog_support import own_rest_catalog, rest_catalog, rest_catalog_session
from s3_support import bucket, s3_server
from table_support import ON_DISK, RestTables, Tables

__all__ = ["bucket", "own_rest_catalog", "rest_catalog", "rest_catalog_session", "s3_server"]

_REST = "iceberg in a REST catalog"


@pytest.fixture(params=[*ON_DISK, pytest.param(_REST, marks=pytest.mark.xdist_group("rest"))])
def kind(request: pytest.FixtureRequest) -> Tables:
    """Each kind of tables."""
    if request.param == _REST:
        return RestTables(request.getfixturevalue("rest_catalog"))
    return ON_DISK[request.param]
