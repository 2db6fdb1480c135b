"""Sweeps on PostgreSQL, directly and through MLflow's server, against the same on a SQLite file."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from many_writers import EXPECTED, EXPERIMENT, outcome, runs_of, write_at_once
from mlflow_server import Server
from postgresql_server import PostgreSQL

from memory_study.config import TrialConfig
from sweeps import _alone, _tables, _writers
from sweeps._ledger import LedgerError, read_ledger, tables
from sweeps._results import Archive
from sweeps._tracking import Tracker
from sweeps._writers import open_writer

Start = Callable[..., "subprocess.Popen[str]"]
ROOT = Path(__file__).parents[2]
TROUBLE = ("deadlock detected", "could not serialize", "lock timeout", "duplicate key", "already exists")


@pytest.fixture
def database(postgresql: PostgreSQL) -> str:
    """An empty one."""
    return postgresql.new_database()


@pytest.fixture(scope="module")
def served(postgresql: PostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """MLflow's server on a database, with several processes; tests have experiments of their own there."""
    server = Server(tmp_path_factory.mktemp("server"), postgresql.new_database(), workers=2)
    yield server
    server.stop()


def swept(start: Start, uri: str, experiment: str, sweep: str = "noise") -> str:
    """What the sweep prints."""
    argv = ("--scale", "smoke", "--address", "inline", "--tracking-uri", uri, "--experiment", experiment)
    process = start(*argv, sweep=sweep)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, out + err
    assert "secret" not in out + err
    return out


def figures(uri: str, experiment: str, out: Path) -> dict[str, bytes]:
    """The numbers of the figures and of the claims table, by file."""
    command = [
        sys.executable,
        "-m",
        "analysis",
        "noise_accuracy_csr",
        "csr_real_vs_noise",
        "claims",
        "--no-log",
    ]
    command += ["--tracking-uri", uri, "--experiment", experiment, "--out", str(out)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return {path.name: path.read_bytes() for path in sorted(out.glob("*.csv"))}


@pytest.mark.slow
def test_a_sweep_and_its_figures_are_the_same_on_every_store(
    start: Start, here: Path, served: Server
) -> None:
    file, database = f"sqlite:///{here}/mlflow.db", served.store
    for uri, experiment in ((file, "direct"), (database, "direct"), (served.uri, "served")):
        assert "5 trials finished in" in swept(start, uri, experiment)
    for uri, experiment in ((database, "served"), (served.uri, "direct")):
        assert "0 trials finished (5 more were finished before)" in swept(start, uri, experiment)
    expected = figures(file, "direct", here / "file")
    assert expected.keys() == {"noise_accuracy_csr.csv", "csr_real_vs_noise.csv", "claims.csv"}
    assert len(expected["noise_accuracy_csr.csv"].splitlines()) > 50
    for name in ("direct", "served"):
        assert figures(served.uri, name, here / f"server-{name}") == expected
    assert figures(database, "served", here / "database") == expected


@pytest.mark.slow
def test_a_search_is_the_same_on_every_store(start: Start, here: Path, served: Server) -> None:
    database = served.store
    stores = {"file": f"sqlite:///{here}/mlflow.db", "direct": database, "served": served.uri}
    for uri in stores.values():
        assert "trials finished in" in swept(start, uri, "frontier" + uri[:4], "frontier")
    found = [Archive(uri, "frontier" + uri[:4]).results(()) for uri in stores.values()]
    suggested = [{trial: result.suggested for trial, result in results.items()} for results in found]
    assert suggested[0] == suggested[1] == suggested[2]
    assert len(suggested[0]) >= 10
    assert (here / "optuna.db").exists()  # of the search through the server
    assert "0 trials finished" in swept(start, database, "frontierpost", "frontier")


@pytest.mark.slow
def test_four_processes_create_and_write_a_database_at_once(database: str, postgresql: PostgreSQL) -> None:
    before = len(postgresql.log())
    write_at_once(database)
    assert runs_of(database) == EXPECTED
    assert not any(words in postgresql.log()[before:] for words in TROUBLE)


@pytest.mark.slow
@pytest.mark.parametrize("directly_too", [False, True])
def test_four_processes_write_through_a_server_at_once(
    directly_too: bool, served: Server, postgresql: PostgreSQL
) -> None:
    before = len(postgresql.log())
    experiment = f"many, directly too: {directly_too}"
    write_at_once(served.uri, *([served.store] if directly_too else []), experiment=experiment)
    assert runs_of(served.uri, experiment) == runs_of(served.store, experiment) == EXPECTED
    assert "deadlock" not in postgresql.log()[before:]


@pytest.mark.slow
@pytest.mark.parametrize("ours_ended_first", [False, True])
def test_a_run_that_another_ends_while_a_transaction_is_open_leaves_one(
    ours_ended_first: bool, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As through a server: what it writes is in the database before the transaction ends, and it sees none of that."""
    client, experiment = _writers._open(database, EXPERIMENT)
    directly, ours, theirs = open_writer(database, EXPERIMENT), outcome(0), outcome(0)
    theirs = replace(theirs, end=ours.end + (1 if ours_ended_first else -1))
    claim = _tables.TableWriter._claim

    def claimed(*given: Any) -> set[str]:
        found = claim(*given)
        _writers.ClientWriter(client, experiment).write([theirs])
        return found

    monkeypatch.setattr(_tables.TableWriter, "_claim", claimed)
    directly.write([ours])
    (run,) = client.search_runs([experiment])
    assert run.info.end_time == min(ours.end, theirs.end)


@pytest.mark.slow
def test_a_database_that_fails_and_comes_back_loses_nothing(database: str, postgresql: PostgreSQL) -> None:
    tracker = Tracker(lambda: open_writer(database, EXPERIMENT))
    tracker.open()
    for seed in range(50):
        tracker.submit([outcome(seed)])
    postgresql.stop("immediate")
    for seed in range(50, 100):
        tracker.submit([outcome(seed)])
    time.sleep(2)
    assert tracker.tally().trouble
    postgresql.start()
    tally = tracker.close(60)
    assert (tally.finished, tally.lost) == (100, ())
    assert runs_of(database) == EXPECTED


@pytest.mark.slow
def test_reading_a_new_database_creates_nothing(database: str) -> None:
    assert not read_ledger(database, EXPERIMENT).entries
    with tables(database) as read:
        assert read is None
    open_writer(database, EXPERIMENT).write([outcome(0)])
    entries = read_ledger(database, EXPERIMENT).entries
    assert {trial: entry.status for trial, entry in entries.items()} == {
        TrialConfig(seed=0, epochs=10).id: "FINISHED"
    }


@pytest.mark.slow
def test_a_process_that_hangs_alone_in_a_database_keeps_nobody_waiting_for_ever(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_alone, "LOCK_SECONDS", 0.3)
    began = time.monotonic()
    with (
        _alone.alone(database),
        pytest.raises(
            LedgerError, match=r"for 0.3 s.*lock timeout.*select pid.*end it, then run again"
        ) as refusal,
        _alone.alone(database),
    ):
        pass
    assert 0.3 <= time.monotonic() - began < 20
    assert len(str(refusal.value).splitlines()) == 1
    assert "secret" not in str(refusal.value)
    with _alone.alone(database):  # free again
        pass
