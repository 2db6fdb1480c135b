"""A PostgreSQL store, where its server and a driver are installed: the tables of a SQLite one."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from invented_store import EXPERIMENT, SMALL, Writer, invent, settings

from analysis._cache import load
from analysis._frames import Frames
from analysis._store import connect, find_experiment
from memory_study.config import TrialConfig

CONFIGS = settings(range(2), SMALL[:3])


def binary(name: str) -> str:
    """A program of the server. Debian keeps them off the path."""
    pytest.importorskip("psycopg2", reason="no driver for PostgreSQL: pip install psycopg2-binary")
    places = [shutil.which(name), *map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}")))]
    found = [place for place in places if place]
    if not found:
        pytest.skip(f"no PostgreSQL server: {name} is not installed")
    return found[-1]


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """URI of an empty database on a server of its own, which is ended by its folder's process id."""
    initdb, server = binary("initdb"), binary("pg_ctl")
    user = {"user": "postgres"} if os.geteuid() == 0 else {}  # the server refuses to run as root
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        if user:
            shutil.chown(folder, "postgres")
        data = f"{folder}/data"
        quiet = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([initdb, "-D", data, "-A", "trust", "-U", "me"], check=True, **user, **quiet)
        settings = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
        subprocess.run([server, "-D", data, "-w", "-o", settings, "start"], check=True, **user, **quiet)
        try:
            yield f"postgresql+psycopg2://me:secret@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run([server, "-D", data, "-w", "-m", "fast", "stop"], check=True, **user, **quiet)


@pytest.mark.slow
def test_postgresql_and_sqlite_give_the_same_tables(
    database: str,
    store_with: Callable[[list[TrialConfig]], Writer],
    frames_of: Callable[[Writer], Frames],
    tmp_path: Path,
) -> None:
    writer = Writer(database, tmp_path / "artifacts")
    experiment = writer.experiment()
    for config in CONFIGS[:-1]:
        writer.trial(experiment, invent(config))
    store = connect(database)
    found = find_experiment(store, EXPERIMENT)
    load(store, found, ["train_accuracy"], tmp_path / "cache")
    writer.trial(experiment, invent(CONFIGS[-1]))
    expected = frames_of(store_with(CONFIGS))
    for folder in (None, tmp_path / "cache"):
        frames = load(store, found, ["train_accuracy"], folder)
        pd.testing.assert_frame_equal(frames.trials, expected.trials)
        pd.testing.assert_frame_equal(frames.curves, expected.curves)
