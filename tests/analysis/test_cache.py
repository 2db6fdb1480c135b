"""The cache: whatever happens to the store, the files or the folder, the tables are those of the store."""

from __future__ import annotations

import io
import logging
import os
import re
import shutil
import threading
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as options
from hypothesis import strategies as st
from invented_store import EXPERIMENT, Writer, invent, settings
from mlflow.entities import Metric

from analysis import _cache
from analysis._cache import load
from analysis._frames import Frames
from analysis._rows import History
from analysis._store import Experiment, Store, StoreError, connect, find_experiment
from memory_study.config import TrialConfig
from memory_study.record import Tag

Write = Callable[[list[TrialConfig]], Writer]
CURVES = ("train_accuracy",)
FEW = settings(range(2), [{}, {"dropout": 0.5}])


def arrays(writer: Writer, folder: Path | None) -> pd.Series:
    store = connect(writer.uri)
    trials = load(store, find_experiment(store, EXPERIMENT), [], folder, ["train_right"]).trials
    return trials.set_index("seed")["train_right"]


def test_arrays_are_columns_of_the_trials_that_have_them(store_with: Write) -> None:
    found = arrays(store_with(FEW), None)
    assert found.loc[1].isna().all()
    assert [array.dtype for array in found.loc[0]] == [np.dtype(bool)] * (len(FEW) // 2)


def test_arrays_that_were_read_once_are_not_read_again(store_with: Write, tmp_path: Path) -> None:
    writer = store_with(FEW)
    first = arrays(writer, tmp_path)
    shutil.rmtree(writer.artifacts)
    again = arrays(writer, tmp_path)
    assert again.dropna().map(list).equals(first.dropna().map(list))
    with pytest.raises(StoreError, match=r"arrays.npz cannot be read \(.*No such file"):
        arrays(writer, None)


def packed(**arrays: object) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


BAD_FILES = {
    "text": (b"no arrays", "File is not a zip file"),
    "nothing": (b"", "File is not a zip file"),
    "a file without the array": (packed(other=np.ones(3)), "train_right is not a file in the archive"),
    "an array of objects": (packed(train_right=np.array([{}])), "Object arrays cannot be loaded"),
    "something else by that name": (b"", "train_right is no array"),
}


def bad_file(kind: str) -> bytes:
    content = io.BytesIO(BAD_FILES[kind][0])
    if kind.startswith("something"):
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("train_right", "no array")
    return content.getvalue()


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_file_without_its_arrays_is_named_in_one_line_and_read_again_once_it_is_mended(
    kind: str, store_with: Write, tmp_path: Path
) -> None:
    writer = store_with(FEW)
    path = sorted(writer.artifacts.rglob("arrays.npz"))[0]
    good = path.read_bytes()
    path.write_bytes(bad_file(kind))
    run = path.parents[1].name
    for folder in (tmp_path, None):
        with pytest.raises(StoreError) as refusal:
            arrays(writer, folder)
        assert "\n" not in str(refusal.value)
        assert re.fullmatch(f"arrays.npz of run {run} .*{BAD_FILES[kind][1]}.*; .*", str(refusal.value))
    path.write_bytes(good)
    found, expected = arrays(writer, tmp_path), arrays(writer, None)
    assert found.dropna().map(list).equals(expected.dropna().map(list))


def test_a_file_is_kept_only_with_all_arrays_that_its_tag_lists(store_with: Write, tmp_path: Path) -> None:
    """Else one that was read for another array would be found wanting for ever."""
    writer = store_with(FEW)
    path = sorted(writer.artifacts.rglob("arrays.npz"))[0]
    writer.client.set_tag(path.parents[1].name, str(Tag.ARRAYS), "other,train_right")
    with pytest.raises(StoreError, match="other is not a file in the archive"):
        arrays(writer, tmp_path)
    path.write_bytes(packed(other=np.ones(3), train_right=np.ones(3, bool)))
    assert sorted(arrays(writer, tmp_path).dropna().map(len))[-1] == 3


def read(
    writer: Writer, folder: Path | None, curves: Sequence[str] = CURVES, experiment: str = EXPERIMENT
) -> Frames:
    store = connect(writer.uri)
    return load(store, find_experiment(store, experiment), curves, folder)


def assert_same(found: Frames, expected: Frames) -> None:
    pd.testing.assert_frame_equal(found.trials, expected.trials)
    pd.testing.assert_frame_equal(found.curves, expected.curves)


def assert_true_to_store(
    writer: Writer, folder: Path, curves: Sequence[str] = CURVES, experiment: str = EXPERIMENT
) -> None:
    """With the cache, whatever is in it, and once more with what that left, as without."""
    expected = read(writer, None, curves, experiment)
    assert_same(read(writer, folder, curves, experiment), expected)
    assert_same(read(writer, folder, curves, experiment), expected)


class Watched:
    """A store that notes of which runs it was asked for histories and gave facts."""

    def __init__(self, store: Store) -> None:
        self._store, self.identity = store, store.identity
        self.facts: list[int] = []
        self.histories: list[int] = []

    def experiment(self, name: str) -> Experiment:
        return self._store.experiment(name)

    def trials(self, experiment: Experiment, known: frozenset[str]) -> object:
        runs, news = self._store.trials(experiment, known)
        self.facts.append(len(news.params))
        return runs, news

    def history(self, runs: Sequence[str], key: str) -> History:
        self.histories.append(len(runs))
        return self._store.history(runs, key)


def watch(writer: Writer, folder: Path, curves: Sequence[str] = CURVES) -> Watched:
    store = Watched(connect(writer.uri))
    load(store, find_experiment(store, EXPERIMENT), curves, folder)  # type: ignore[arg-type]
    return store


def experiment_of(writer: Writer) -> str:
    return str(writer.client.get_experiment_by_name(EXPERIMENT).experiment_id)


def test_only_what_is_new_is_read(store_with: Write, tmp_path: Path) -> None:
    writer = store_with(FEW)
    first = watch(writer, tmp_path)
    assert (first.facts, first.histories) == ([len(FEW)], [len(FEW)])
    again = watch(writer, tmp_path)
    assert (again.facts, again.histories) == ([0], [])
    writer.trial(experiment_of(writer), invent(replace(FEW[0], seed=5)))
    later = watch(writer, tmp_path)
    assert (later.facts, later.histories) == ([1], [1])
    other = watch(writer, tmp_path, [*CURVES, "validation_accuracy"])
    assert (other.facts, other.histories) == ([0], [len(FEW) + 1])


CHANGES = st.sampled_from(["add", "delete", "restore", "rerun", "fail", "tag", "metric", "forget", "curves"])


class Changing:
    """A new experiment that changes at random, as people and sweeps change one."""

    def __init__(self, writer: Writer) -> None:
        self.name = uuid4().hex
        self.writer, self.experiment = writer, writer.experiment(self.name)
        self.active: dict[str, TrialConfig] = {}
        self.deleted: dict[str, TrialConfig] = {}
        self.clock = 3_000
        self.curves: tuple[str, ...] = CURVES

    def change(self, kind: str, which: int) -> None:
        self.clock += 1
        getattr(self, f"_{kind}")(which)

    def _write(self, config: TrialConfig, status: str = "FINISHED") -> None:
        invented = invent(config)
        curve = tuple((e, v + self.clock / 1e6) for e, v in invented.curves["train_accuracy"][:4])
        changed = replace(invented, curves={"train_accuracy": curve})
        run = self.writer.trial(self.experiment, changed, status, self.clock)
        if status == "FINISHED":
            self.active[run] = config

    def _add(self, which: int) -> None:
        kinds: list[dict[str, float]] = [{}, {"dropout": 0.5}, {"weight_decay": 0.01, "dropout": 0.25}]
        self._write(settings([which], [kinds[which % 3]])[which % 2])

    def _fail(self, which: int) -> None:
        self._write(settings([which], [{}])[0], "FAILED")

    def _delete(self, which: int) -> None:
        for run in list(self.active)[which % 7 : which % 7 + 1]:
            self.writer.client.delete_run(run)
            self.deleted[run] = self.active.pop(run)

    def _restore(self, which: int) -> None:
        for run in list(self.deleted)[which % 7 : which % 7 + 1]:
            self.writer.client.restore_run(run)
            self.active[run] = self.deleted.pop(run)

    def _rerun(self, which: int) -> None:
        for config in list(self.active.values())[which % 7 : which % 7 + 1]:
            self._delete(which)
            self._write(config)

    def _tag(self, which: int) -> None:
        for run in list(self.active)[which % 7 : which % 7 + 1]:
            self.writer.client.set_tag(run, "device", f"cuda:{which}")

    def _metric(self, which: int) -> None:
        for run in list(self.active)[which % 7 : which % 7 + 1]:
            point = Metric(
                "train_accuracy", which / 10, self.clock, step=self.clock
            )  # after all that are there
            self.writer.client.log_batch(run, [point])

    def _forget(self, which: int) -> None:
        """Nothing happens to the store."""

    def _curves(self, which: int) -> None:
        self.curves = ((), CURVES, (*CURVES, "seconds"), ("seconds",))[which % 4]


@pytest.fixture(scope="module")
def one_store(store_with: Write) -> Writer:
    return store_with([])


@options(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changes=st.lists(st.tuples(CHANGES, st.integers(0, 8), st.booleans()), max_size=10))
def test_no_change_of_the_store_makes_the_cache_differ_from_it(
    changes: list[tuple[str, int, bool]],
    one_store: Writer,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    store, folder = Changing(one_store), tmp_path_factory.mktemp("cache")
    for which in range(3):
        store.change("add", which)
    for kind, which, looked_at in changes:
        store.change(kind, which)
        if looked_at:
            assert_true_to_store(store.writer, folder, store.curves, store.name)
    assert_true_to_store(store.writer, folder, CURVES, store.name)


def test_a_database_made_anew_in_the_place_of_the_old_is_another(store_with: Write, tmp_path: Path) -> None:
    writer, other = store_with(FEW), store_with([replace(FEW[0], seed=6)])
    read(writer, tmp_path)
    path = Path(writer.uri.removeprefix("sqlite:///"))
    path.write_bytes(Path(other.uri.removeprefix("sqlite:///")).read_bytes())
    assert_true_to_store(Writer(writer.uri, tmp_path), tmp_path)
    assert len(read(writer, tmp_path).trials) == 1


def test_two_stores_share_a_folder_and_nothing_else(store_with: Write, tmp_path: Path) -> None:
    for writer in (store_with(FEW), store_with(FEW[:1])):
        assert_true_to_store(writer, tmp_path)
    assert len(list(tmp_path.iterdir())) == 4


def test_one_file_has_one_name_whatever_its_path_is_written_like(
    store_with: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(store_with(FEW[:1]).uri.removeprefix("sqlite:///"))
    monkeypatch.chdir(path.parent)
    assert connect("sqlite:///mlflow.db").identity == connect(f"sqlite:///{path}").identity


@pytest.mark.parametrize("scheme", ["postgresql+psycopg2", "http"])
def test_no_password_is_part_of_a_stores_identity(scheme: str) -> None:
    from analysis._sql import identity
    from analysis._store import hide_password

    uri = f"{scheme}://me:secret@host:1234/name?sslpassword=secret"
    assert "secret" not in (hide_password(uri) if scheme == "http" else identity(uri))


@options(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_read_from_the_store_and_mended(
    data: st.DataObject, filled: tuple[Writer, Path, Frames]
) -> None:
    writer, folder, expected = filled
    path = data.draw(st.sampled_from(sorted(folder.glob("*.npz"))))
    good = path.read_bytes()
    place = data.draw(st.integers(0, len(good) - 1))
    if data.draw(st.booleans()):
        path.write_bytes(good[:place])
    else:
        path.write_bytes(
            good[:place] + bytes([good[place] ^ data.draw(st.integers(1, 255))]) + good[place + 1 :]
        )
    assert_same(read(writer, folder), expected)
    assert np.array_equal(np.frombuffer(path.read_bytes(), np.uint8)[:16], np.frombuffer(good, np.uint8)[:16])


@pytest.fixture(scope="module")
def filled(store_with: Write, tmp_path_factory: pytest.TempPathFactory) -> tuple[Writer, Path, Frames]:
    writer, folder = store_with(FEW[:3]), tmp_path_factory.mktemp("filled")
    return writer, folder, read(writer, folder)


def test_files_of_another_format_are_left_alone(
    store_with: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = store_with(FEW[:2])
    read(writer, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(_cache, "FORMAT", _cache.FORMAT + 1)
    assert_true_to_store(writer, tmp_path)
    assert {path: path.read_bytes() for path in before} == before
    assert len(list(tmp_path.iterdir())) == 2 * len(before)


def full_disk(*_: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("step", ["replace", "open", "mkstemp"])
def test_a_full_disk_costs_a_line_and_nothing_else(
    step: str,
    store_with: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    writer = store_with(FEW[:2])
    expected = read(writer, None)
    with monkeypatch.context() as patch:
        if step == "mkstemp":
            patch.setattr(_cache.tempfile, "mkstemp", lambda **_: full_disk())
        elif step == "open":
            patch.setattr(_cache, "open", full_disk, raising=False)
        else:
            patch.setattr(_cache.os, "replace", full_disk)
        with caplog.at_level(logging.WARNING):
            assert_same(read(writer, tmp_path), expected)
    assert "cannot be written (No space left on device)" in caplog.text
    assert list(tmp_path.iterdir()) == []
    assert len(caplog.records) == 1


def test_a_folder_that_cannot_be_made_costs_a_line_and_nothing_else(
    store_with: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    writer = store_with(FEW[:2])
    assert_same(read(writer, tmp_path / "file" / "cache"), read(writer, None))
    assert len(caplog.records) == 1


def test_a_folder_in_the_place_of_a_file_costs_a_line_and_nothing_else(
    store_with: Write, tmp_path: Path
) -> None:
    writer = store_with(FEW[:2])
    read(writer, tmp_path)
    for path in list(tmp_path.iterdir()):
        path.unlink()
        path.mkdir()
    assert_true_to_store(writer, tmp_path)


def test_readers_that_write_at_once_leave_whole_files(store_with: Write, tmp_path: Path) -> None:
    writer = store_with(FEW)
    expected, wrong = read(writer, None), []

    def often() -> None:
        for _ in range(6):
            for path in tmp_path.glob("*.npz"):
                path.unlink(missing_ok=True)
            try:
                assert_same(read(writer, tmp_path), expected)
            except Exception as error:  # noqa: BLE001 - a thread's error is raised by the test
                wrong.append(error)

    threads = [threading.Thread(target=often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert all(path.suffix == ".npz" for path in tmp_path.iterdir())


def test_the_folder_follows_the_standard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert _cache.default_folder() == tmp_path / "memory-study"
    monkeypatch.setenv("HOME", str(tmp_path))
    for ignored in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert _cache.default_folder() == tmp_path / ".cache" / "memory-study"


def test_only_its_owner_may_read_the_folder(store_with: Write, tmp_path: Path) -> None:
    read(store_with(FEW[:1]), tmp_path / "memory-study")
    assert os.stat(tmp_path / "memory-study").st_mode & 0o077 == 0
