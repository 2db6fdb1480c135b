"""What every test shares: nothing is kept in, or taken from, the cache of whoever runs the tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(
    0, str(Path(__file__).parent)
)  # for the tests' own helper modules, whatever pytest's import mode

from postgresql_server import PostgreSQL

RAY_NODES = ("test_cluster.py", "test_node_loss.py", "test_autoscaling.py", "test_chaos.py")
"""Tests that start Ray nodes, which take each other's ports where two start at the same time."""


@pytest.hookimpl(tryfirst=True)  # xdist looks at the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of tests that run at the same time none are of one file: they share what is slow to set up."""
    for item in items:
        group = "Ray nodes" if item.path.name in RAY_NODES else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An empty folder as $XDG_CACHE_HOME, for the commands that tests start as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A running PostgreSQL server."""
    server = PostgreSQL()
    yield server
    server.remove()
