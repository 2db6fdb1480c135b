"""Reading a server: no point is lost to its limits, and it gives the tables that its database gives."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from invented_store import EXPERIMENT, TRIES, Writer
from served import served

from analysis import _rest
from analysis._cache import load
from analysis._frames import Frames
from analysis._store import MissingExperimentError, StoreError, connect, find_experiment


class LimitedServer:
    """Answers as the server does: at most 100 runs a call, and silently no point beyond the 25,000th."""

    def __init__(self, points: dict[str, int]) -> None:
        self.points, self.calls = points, 0

    def __call__(self, runs: Sequence[str], key: str) -> list[dict[str, Any]]:
        assert 0 < len(runs) <= 100
        self.calls += 1
        rows = [
            {"run_id": run, "key": key, "step": step, "value": step / 7}
            for run in runs
            for step in range(self.points[run])
        ]
        return rows[:25_000]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([0, 1, 64, 250, 5_000, 24_999]), max_size=130))
def test_no_point_is_lost_to_a_limit_of_the_server(counts: list[int]) -> None:
    points = {f"run{place}": count for place, count in enumerate(counts)}
    found = _rest.history(LimitedServer(points), list(points), "loss")
    assert found.counts.tolist() == counts
    assert found.steps.tolist() == [step for count in counts for step in range(count)]


def test_a_common_store_needs_one_call_for_a_hundred_runs() -> None:
    server = LimitedServer({f"run{place}": 64 for place in range(250)})
    _rest.history(server, list(server.points), "loss")
    assert server.calls == 3


def test_a_run_that_no_call_can_hold_is_an_error_and_not_a_gap() -> None:
    with pytest.raises(StoreError, match="read its database"):
        _rest.history(LimitedServer({"run0": 25_000}), ["run0"], "loss")


def test_a_server_that_is_down_is_noticed_within_seconds() -> None:
    start = time.monotonic()
    with pytest.raises(StoreError, match="does not answer"):
        connect("http://127.0.0.1:9")
    assert time.monotonic() - start < 15


@pytest.fixture(scope="module")
def server(store: Writer) -> Iterator[str]:
    """A real server over the session's store."""
    with served(store.uri) as address:
        yield address


@pytest.mark.slow
def test_a_server_and_its_database_give_the_same_tables(server: str, frames: Frames, tmp_path: Path) -> None:
    reader = connect(server)
    for _ in range(2):  # the second time from the cache
        found = load(reader, find_experiment(reader, EXPERIMENT), ["train_accuracy"], tmp_path)
        pd.testing.assert_frame_equal(found.trials, frames.trials)
        pd.testing.assert_frame_equal(found.curves, frames.curves)


@pytest.mark.slow
def test_a_server_and_its_database_give_the_same_failed_runs_in_one_order(server: str, store: Writer) -> None:
    through, direct = (
        reader.failed(find_experiment(reader, EXPERIMENT)) for reader in (connect(server), connect(store.uri))
    )
    assert through["error"].tolist() == [error for _, error in sorted(TRIES)]
    pd.testing.assert_frame_equal(through, direct)


@pytest.mark.slow
def test_a_server_and_its_database_give_the_same_arrays(server: str, store: Writer, tmp_path: Path) -> None:
    through, direct = (
        load(reader, find_experiment(reader, EXPERIMENT), [], None, ["train_right"]).trials["train_right"]
        for reader in (connect(server), connect(store.uri))
    )
    assert through.dropna().map(list).equals(direct.dropna().map(list))
    assert len(direct.dropna())


@pytest.mark.slow
def test_a_server_without_the_experiment_says_so(server: str) -> None:
    with pytest.raises(MissingExperimentError, match="there: Default, regularization"):
        connect(server).experiment("capacity")
