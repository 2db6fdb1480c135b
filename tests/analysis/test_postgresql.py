"""A PostgreSQL store, where its server and a driver are installed: the tables of a SQLite one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from invented_store import EXPERIMENT, SMALL, TRIES, Writer, invent, settings
from postgresql_server import PostgreSQL

from analysis._cache import load
from analysis._frames import Frames
from analysis._store import connect, find_experiment
from memory_study.config import TrialConfig

CONFIGS = settings(range(2), SMALL[:3])


@pytest.mark.slow
def test_postgresql_and_sqlite_give_the_same_tables(
    postgresql: PostgreSQL,
    store_with: Callable[[list[TrialConfig]], Writer],
    frames_of: Callable[[Writer], Frames],
    tmp_path: Path,
) -> None:
    database = postgresql.new_database()
    writer = Writer(database, tmp_path / "artifacts")
    experiment = writer.experiment()
    for config in CONFIGS[:-1]:
        writer.trial(experiment, invent(config))
    writer.failures(experiment, invent(CONFIGS[-1]))
    store = connect(database)
    found = find_experiment(store, EXPERIMENT)
    load(store, found, ["train_accuracy"], tmp_path / "cache")
    failed = store.failed(found)
    assert set(failed["trial"]) == {CONFIGS[-1].id}
    assert failed["error"].tolist() == [error for _, error in sorted(TRIES)]
    writer.trial(experiment, invent(CONFIGS[-1]))
    expected = frames_of(store_with(CONFIGS))
    for folder in (None, tmp_path / "cache"):
        frames = load(store, found, ["train_accuracy"], folder)
        pd.testing.assert_frame_equal(frames.trials, expected.trials)
        pd.testing.assert_frame_equal(frames.curves, expected.curves)
