"""What every test shares: a cache of its own, one thread, and the place of its file in the order of all."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(
    0, str(Path(__file__).parent)
)  # for the tests' own helper modules, whatever pytest's import mode

from postgresql_server import PostgreSQL

# Tests run side by side, a process for each core, and so do the commands that they start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Nor does any of MLflow's servers need the eight processes that judge the answers of language models.
os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, else one of them runs last while the other cores have nothing to do."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, item.path.name not in LONGEST))


def pytest_collection_finish() -> None:
    """What is imported stays: statsmodels and MLflow have Python look through all of it for garbage, a second each time."""
    gc.collect()
    gc.freeze()


LONGEST = {"test_chaos.py", "test_readme.py", "test_databases.py", "test_services.py"}
"""Files that take minutes, of those with slow tests."""


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
