"""What is kept of cohorts in training, and who goes on with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import fsspec
import pytest

from memory_study._fingerprint import fingerprint
from sweeps import _checkpoints
from sweeps._checkpoints import CohortCheckpoints, Folder, Kept
from sweeps._options import resolve
from sweeps.regularization import SWEEP

Start = Callable[..., "subprocess.Popen[str]"]
Rows = Callable[[str], Sequence[tuple[object, ...]]]

LONG = ("--scale", "smoke", "--kinds", "dropout", "--strengths", "dropout=0.5", "--corruptions", "randY",
        "--epochs", "1500", "--device", "cpu", "--cpus", "1", "--checkpoint-seconds", "0.2")  # fmt: skip


@pytest.fixture(params=["folder", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Folder]:
    """A folder of this machine, and an object store."""
    yield Folder.of(
        str(tmp_path) if request.param == "folder" else "memory://bucket", "an experiment", "store"
    )
    fsspec.filesystem("memory").store.clear()


def test_what_was_written_last_is_read(folder: Folder) -> None:
    assert folder.read("a") is None
    folder.write("a", ["1", "2"], 3, b"three")
    folder.write("a", ["1", "2"], 4, b"four")
    folder.write("b", ["5"], 1, b"one")
    assert folder.read("a") == b"four"
    assert sorted(folder.resumable(()), key=lambda k: k.name) == [
        Kept("a", frozenset("12"), 4),
        Kept("b", frozenset("5"), 1),
    ]


def test_a_cohort_is_forgotten_when_its_results_are_safe(folder: Folder) -> None:
    folder.write("a", ["1"], 3, b"three")
    folder.forget("a")
    folder.forget("a")
    assert folder.read("a") is None
    assert folder.resumable(()) == []


def test_states_that_nobody_goes_on_with_are_deleted(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write("done", ["1", "2"], 3, b"")
    folder.write("half done", ["2", "3"], 3, b"")
    monkeypatch.setattr(_checkpoints, "fingerprint", lambda: "older")
    folder.write("older", ["4"], 3, b"")
    monkeypatch.undo()
    assert [kept.name for kept in folder.resumable({"1", "2"})] == ["half done"]
    assert folder.read("done") is folder.read("older") is None


def test_a_state_is_of_use_only_on_devices_of_its_kind_and_with_its_torch(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is what memory_study loads: a plan that counts on others takes a training for a tenth of what it is."""
    folder.write("on a gpu", ["1"], 90, b"", gpu=True)
    folder.write("on a cpu", ["1"], 40, b"")
    names = ["on a gpu", "on a cpu"]
    assert [kept.name for kept in folder.resumable((), gpu=True)] == ["on a gpu"]
    assert [kept.name for kept in folder.resumable(())] == ["on a cpu"]
    assert (folder.furthest(names, ["1"], gpu=True), folder.furthest(names, ["1"])) == (90, 40)
    monkeypatch.setattr(_checkpoints.importlib.metadata, "version", lambda name: "newer")
    assert folder.resumable(()) == []
    assert folder.furthest(names, ["1"]) == 0
    monkeypatch.undo()
    assert [kept.name for kept in folder.resumable(())] == ["on a cpu"]


def test_what_other_processes_write_and_delete_is_seen_at_once(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Object stores' clients remember listings, unless they are told not to."""
    asked: list[dict[str, object]] = []
    url_to_fs = fsspec.core.url_to_fs

    def spied(path: str, **options: object) -> object:
        asked.append(options)
        return url_to_fs(path, **options)

    monkeypatch.setattr(fsspec.core, "url_to_fs", spied)
    folder.write("a", ["1"], 3, b"")
    folder.resumable(())
    assert asked
    assert all(options == {"use_listings_cache": False} for options in asked)


def test_a_cohort_that_ended_in_parts_is_forgotten_at_the_end(folder: Folder) -> None:
    asked = []

    def finished() -> set[str]:
        asked.append(True)
        return {"1", "2", "3"}

    folder.prune(finished)
    assert not asked, "the store is not asked for nothing"
    folder.write("whole", ["1", "2"], 3, b"")
    folder.write("somebody's", ["3", "4"], 3, b"")
    folder.prune(finished)
    assert [kept.name for kept in folder.resumable(())] == ["somebody's"]
    assert folder.read("whole") is None


def test_what_a_process_left_that_died_while_it_wrote_is_deleted_when_nobody_can_still_write_it(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write("whole", ["1"], 3, b"")
    folder._write(folder._state("no list"), b"")
    leftovers = [
        f"{folder.path}/{name}" for name in ("a.state.1234.partial", "b.json.5678.partial", ".probe-9")
    ]
    for leftover in leftovers:
        folder._write(leftover, b"")

    def there() -> set[str]:
        found = folder._files.find(folder._inner(folder.path))
        return {file.rpartition("/")[2] for file in found}

    new = there()
    folder.resumable(())
    assert there() == new
    monkeypatch.setattr(_checkpoints, "LEFTOVER_SECONDS", -1.0)
    assert [kept.name for kept in folder.resumable(())] == ["whole"]
    assert there() == {"whole.state", "whole.json"}


def test_experiments_of_two_stores_with_one_name_do_not_touch_each_other(tmp_path: Path) -> None:
    stores = ("sqlite:////a/mlflow.db", "sqlite:////b/mlflow.db")
    first, second = (Folder.of(str(tmp_path), "e", store) for store in stores)
    first.write("a", ["1"], 3, b"first")
    second.write("a", ["1"], 4, b"second")
    second.prune(lambda: {"1"})
    second.resumable({"1"})
    assert (first.read("a"), second.read("a")) == (b"first", None)
    with_password = "postgresql+psycopg2://me:{}@host/x"
    again = [Folder.of(str(tmp_path), "e", with_password.format(word)).path for word in ("old", "new")]
    assert again[0] == again[1]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": "1"}'])
def test_a_list_that_was_cut_short_stops_nobody(tmp_path: Path, content: str) -> None:
    folder = Folder.of(str(tmp_path), "e", "store")
    folder.write("broken", ["1"], 3, b"")
    folder.write("whole", ["2"], 3, b"")
    (Path(folder.path) / "broken.json").write_text(content)
    assert [kept.name for kept in folder.resumable(())] == ["whole"]
    assert folder.read("broken") is None


def test_an_experiment_may_have_any_name(tmp_path: Path) -> None:
    names = ["a/b", "../a", "*", "ä ö", "%2F"]
    folders = [Folder.of(str(tmp_path), name, "store") for name in names]
    for index, folder in enumerate(folders):
        folder.write("x", [str(index)], index, b"%d" % index)
    assert [folder.read("x") for folder in folders] == [b"%d" % index for index in range(len(names))]
    assert [len(folder.resumable(())) for folder in folders] == [1] * len(names)
    assert {path.parent for path in tmp_path.rglob("x.state")} == {
        path.parent for path in tmp_path.glob("*/x.state")
    }


def test_a_reader_never_sees_half_a_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder.of(str(tmp_path), "e", "store")
    folder.write("a", ["1"], 1, b"whole")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        folder.write("a", ["1"], 2, b"half")
    assert folder.read("a") == b"whole"
    assert list(Path(folder.path).glob("*.partial")) == []


def test_a_state_is_kept_when_it_is_time_and_not_before(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(_checkpoints.time, "monotonic", lambda: now[0])
    checkpoints = CohortCheckpoints(folder, ("a",), ["1"], 60)

    def slow() -> bytes:
        now[0] += 10
        return b"state"

    def never() -> bytes:
        raise AssertionError("too early")

    now[0] += 59
    checkpoints.offer(1, never)
    now[0] += 1
    checkpoints.offer(2, slow)
    assert folder.resumable(()) == [Kept("a", frozenset("1"), 2)]
    now[0] += 199  # keeping took 10 seconds, and may take a twentieth of the time
    checkpoints.offer(3, never)
    now[0] += 1
    checkpoints.offer(4, lambda: b"next")
    assert folder.read("a") == b"next"


def test_the_state_under_the_own_name_goes_before_others(folder: Folder) -> None:
    checkpoints = CohortCheckpoints(folder, ("own", "whole"), ["1"], 60)
    assert list(checkpoints.states()) == []
    folder.write("whole", ["1", "2"], 3, b"whole")
    assert list(checkpoints.states()) == [b"whole"]
    folder.write("own", ["1"], 4, b"own")
    assert list(checkpoints.states()) == [b"own", b"whole"]


def test_a_place_that_cannot_be_used_is_logged_and_costs_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Folder.of(str(tmp_path), "e", "store")
    Path(folder.path).write_text("a file where a folder should be")
    checkpoints = CohortCheckpoints(folder, ("a",), ["1"], 0)
    checkpoints.offer(1, lambda: b"state")
    assert list(checkpoints.states()) == []
    assert "Error" in capsys.readouterr().err


def test_asking_whether_a_place_can_be_used_leaves_nothing_there(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for place in ("there", "not/there"):
        Folder.of(str(tmp_path / place), "e", "store").check()
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_a_folder_goes_with_its_last_state(tmp_path: Path) -> None:
    folder = Folder.of(str(tmp_path), "e", "store")
    folder.write("a", ["1"], 1, b"")
    folder.leave()
    assert folder.read("a") == b""
    folder.forget("a")
    folder.leave()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["{}/file", "/proc/nowhere", "nosuch://bucket/x"])
def test_a_place_that_cannot_be_used_is_refused_before_anything_starts(
    run: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    (here / "file").write_text("")
    code = run("--scale", "smoke", "--address", "inline", "--checkpoint-dir", place.format(here))
    error = capsys.readouterr().err.strip()
    assert code == 2
    assert error.startswith("error: --checkpoint-dir ")
    assert len(error.splitlines()) == 1
    assert "--checkpoint-seconds 0" in error


def test_a_sweep_leaves_nothing_of_a_cohort_whose_trials_ended_in_another(
    run: Callable[..., int], here: Path
) -> None:
    first, *_ = SWEEP.plan(resolve(SWEEP, {"scale": "smoke"}))
    folder = Folder.of(str(here / "kept"), "regularization", f"sqlite:///{here}/mlflow.db")
    folder.write("a larger cohort", [first.id], 3, b"cut short")
    assert (
        run("--scale", "smoke", "--address", "inline", "--limit", "1", "--checkpoint-dir", str(here / "kept"))
        == 0
    )
    assert list((here / "kept").iterdir()) == []


def measured(rows: Rows) -> list[tuple[object, ...]]:
    """All numbers in the store but those that the clock decides."""
    return sorted(rows(
        "select t.value, m.key, m.step, m.value from metrics m join runs r using (run_uuid) join tags t using (run_uuid) "
        "where t.key = 'trial' and r.status = 'FINISHED' and m.key not like '%seconds' and m.key <> 'resumed_epoch'"
    ))  # fmt: skip


def killed_after_a_checkpoint(process: subprocess.Popen[str], here: Path, epochs: int) -> dict[str, Any]:
    """Kill a sweep once a cohort has trained ``epochs``; what its checkpoint says of itself."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if any(json.loads(file.read_text())["epoch"] >= epochs for file in here.glob("checkpoints/*/*.json")):
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            (file,) = here.glob("checkpoints/*/*.json")
            about: dict[str, Any] = json.loads(file.read_text())
            return about
        time.sleep(0.02)
    raise AssertionError(f"no checkpoint was written: {process.communicate()}")


@pytest.mark.slow
@pytest.mark.parametrize("address", ["inline", ""])
def test_a_driver_that_was_killed_goes_on_where_it_was_and_its_records_are_those_of_an_undisturbed_one(
    start: Start, here: Path, rows: Rows, address: str
) -> None:
    way = ("--address", address) if address else ()
    about = killed_after_a_checkpoint(start(*LONG, *way), here, epochs=200)
    assert about["version"] == fingerprint()
    again = start(*LONG, *way)
    _, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    interrupted = measured(rows)
    resumed = rows("select value from latest_metrics where key = 'resumed_epoch'")
    assert len(resumed) == len(about["trials"])
    assert all(
        value >= about["epoch"] for (value,) in resumed
    )  # Ray's workers outlive the driver by a moment
    assert list(here.glob("checkpoints/*")) == []
    (here / "mlflow.db").unlink()
    undisturbed = start(*LONG, "--address", "inline")
    undisturbed.communicate(timeout=300)
    assert undisturbed.returncode == 0
    assert interrupted == measured(rows)
