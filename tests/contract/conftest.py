"""Databases for the store suites."""

from contextlib import ExitStack

import pytest

from tests.servers import fresh_database


@pytest.fixture
def store_database(request):
    """Makes an empty database on the server whose fixture is named; it is dropped afterwards."""
    with ExitStack() as stack:
        yield lambda server: stack.enter_context(fresh_database(request.getfixturevalue(server)))
